"""The picture of activations."""
