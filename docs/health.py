"""A network that loses units when its learning rate is raised, watched.

python docs/health.py writes docs/watch.svg, and prints what docs/health.md quotes.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional as F  # noqa: N812 - its usual name

from leakyrelu import watch
from leakyrelu.health import HealthWarning, check


def network() -> nn.Module:
    layers: list[nn.Module] = [nn.Linear(64, 96), nn.ReLU()]
    for _ in range(5):
        layers += [nn.Linear(96, 96), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(96, 10))


def main() -> None:
    """Train, print and draw."""
    torch.manual_seed(0)
    images, labels = load_digits(return_X_y=True)
    x, y = torch.tensor(images / 16, dtype=torch.float32), torch.tensor(labels)
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9)
    warnings.simplefilter("ignore", HealthWarning)
    with watch(model, window=50) as health:
        for step in range(1000):
            if step == 500:
                optimizer.param_groups[0]["lr"] = 0.3
            batch = torch.randint(len(x), (64,))
            optimizer.zero_grad()
            F.cross_entropy(model(x[batch]), y[batch]).backward()
            optimizer.step()
    print(health)
    print("\nWhat SageMaker Debugger's DeadRelu would say:")
    print(check(health, "sagemaker").to_string(index=False))
    figure = health.plot()
    figure.savefig(Path(__file__).with_name("watch.svg"), metadata={"Date": None})


if __name__ == "__main__":
    sys.exit(main())
