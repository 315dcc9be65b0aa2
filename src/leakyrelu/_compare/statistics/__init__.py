"""Which trials come next, and what the scores show."""
