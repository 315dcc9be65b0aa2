"""The file that keeps every finished trial."""
