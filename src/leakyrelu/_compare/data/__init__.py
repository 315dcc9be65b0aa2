"""The examples, their split, and what is scored."""
