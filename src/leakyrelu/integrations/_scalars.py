"""The result of watching as named numbers, which loggers plot over the steps."""

from __future__ import annotations

import re
from typing import Any

from leakyrelu.health._watch import Watch

__all__ = ["scalars"]

SHARES = ("dead", "stuck negative", "dormant")


def scalars(health: Watch, *, by_layer: bool = True) -> dict[str, float]:
    """Return the numbers of the last window.

    Parameters
    ----------
    health : Watch
        After its first window.
    by_layer : bool, default True
        Whether to return those of each layer, too.

    Returns
    -------
    dict of str to float
        ``health/dead``, ``health/stuck_negative`` and ``health/dormant``, shares of all units.
        For each layer the same and ``median_rate`` and ``gradient``, such as
        ``health/dead/encoder.1``. Characters that loggers refuse in a name become underscores.

    Examples
    --------
    >>> import torch
    >>> from leakyrelu.health import watch
    >>> model = torch.nn.Sequential(torch.nn.Linear(2, 4), torch.nn.ReLU())
    >>> _ = model[0].bias.data.copy_(torch.tensor([-100.0, 0.0, 0.0, 100.0]))
    >>> with watch(model, window=5) as health:
    ...     for _ in range(5):
    ...         model(torch.randn(50, 2)).mean().backward()
    >>> scalars(health)["health/dead/1"]
    0.25
    """
    rows = [layer.row() for layer in health.layers]
    units = sum(row["units"] for row in rows)
    found: dict[str, Any] = {}
    for name in SHARES:
        total = sum(row["units"] * row[f"{name} %"] for row in rows)
        found[f"health/{name}"] = total / max(units, 1) / 100
    if by_layer:
        for row in rows:
            layer = re.sub(r"[^\w.-]", "_", row["layer"])
            for name in SHARES:
                found[f"health/{name}/{layer}"] = row[f"{name} %"] / 100
            for name in ("median rate", "gradient"):
                found[f"health/{name}/{layer}"] = row[name]
    return {name.replace(" ", "_"): value for name, value in found.items() if value is not None}
