"""Where trials are trained: on this machine, or on a Ray cluster."""
