"""How a batch of networks is trained."""
