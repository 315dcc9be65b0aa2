"""The functions of arrays of other libraries than NumPy, each computed as its library would."""
