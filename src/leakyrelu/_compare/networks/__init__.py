"""The networks that are trained: those made here, and those of the user."""
