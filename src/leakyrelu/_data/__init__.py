"""The user's files, data, models and checkpoints, and how they are read."""
