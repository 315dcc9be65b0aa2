"""The functions for arrays of libraries other than NumPy, each computed as its library would."""
