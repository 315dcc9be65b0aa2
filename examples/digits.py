"""Networks and data to compare activations on: handwritten digits as images and as sequences.

leakyrelu compare examples.digits:make_cnn --data examples.digits:make_images
leakyrelu compare examples.digits:make_transformer --data examples.digits:make_sequences
"""

from __future__ import annotations

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn


def make_images() -> tuple[Tensor, Tensor]:
    """Return 1,797 images of shape (1, 8, 8), from 0 to 1, and their digits."""
    X, y = load_digits(return_X_y=True)
    return torch.tensor(X / 16, dtype=torch.float32).reshape(-1, 1, 8, 8), torch.tensor(y)


def make_sequences() -> tuple[Tensor, Tensor]:
    """Return the images as sequences of their eight rows, shape (8, 8), and their digits."""
    images, y = make_images()
    return images.squeeze(1), y


def make_cnn() -> nn.Module:
    """Return a small convolutional network, untrained."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.Flatten(),
        nn.Dropout(0.2),
        nn.Linear(32 * 4 * 4, 64),
        nn.ReLU(),
        nn.Linear(64, 10),
    )


class Transformer(nn.Module):
    """Two encoder layers over the rows of an image, averaged over positions."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Linear(8, 32)
        self.position = nn.Parameter(torch.zeros(8, 32))
        layer = nn.TransformerEncoderLayer(32, 4, 64, dropout=0.1, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2)
        self.head = nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Map (examples, 8, 8) to (examples, 10)."""
        encoded: Tensor = self.encoder(self.embedding(x) + self.position)
        output: Tensor = self.head(encoded.mean(1))
        return output


def make_transformer() -> nn.Module:
    """Return a small Transformer, untrained."""
    return Transformer()
