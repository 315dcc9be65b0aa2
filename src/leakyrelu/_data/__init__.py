"""What a user brings in files, and how it is read."""
