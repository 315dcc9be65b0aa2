"""The networks that are trained: the built-in ones, and the user's own."""
