"""The thresholds of other tools, applied to each unit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

import torch
from torch import Tensor

from leakyrelu._errors import InputError
from leakyrelu.health._layers import LayerHealth
from leakyrelu.health._result import table_of

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["RULES", "Rule", "check"]


class HasLayers(Protocol):
    """An `Examination`, or a `Watch`."""

    @property
    def layers(self) -> list[LayerHealth]:
        """Its layers."""


def _zero_gradient(layer: LayerHealth) -> Tensor:
    if layer.zero_gradient is None:  # nothing is known: nothing is flagged
        return torch.full((layer.units,), torch.nan)
    return layer.zero_gradient.float()


Measure = Literal["firing rate", "mean derivative", "dormancy", "near zero", "zero gradient"]
MEASURES: dict[Measure, Callable[[LayerHealth], Tensor]] = {
    "firing rate": lambda layer: layer.counts.rate,
    "mean derivative": lambda layer: layer.counts.positive_rate,
    "dormancy": lambda layer: layer.counts.dormancy,
    "near zero": lambda layer: layer.counts.near_zero_rate,
    "zero gradient": _zero_gradient,
}


@dataclass(frozen=True)
class Rule:
    """When a unit is flagged, and when a layer is.

    Attributes
    ----------
    measure : {"firing rate", "mean derivative", "dormancy", "near zero", "zero gradient"}
        Of each unit: the share of examples for which it fired; the share of positions at which
        it fired; its mean absolute activation over that of the layer; the share of positions at
        which its activation is within 0.05 of 0; 1 if all of its weights have a gradient of 0,
        else 0.
    below, above : float
        A unit is flagged if the measure is `below` or less, or `above` or more.
    share : float
        A layer is flagged if more than this share of its units is.
    """

    measure: Measure
    below: float = -torch.inf
    above: float = torch.inf
    share: float = 0.0

    def flags(self, layer: LayerHealth) -> Tensor:
        """Return which units of the layer are flagged, bool of shape (units,)."""
        try:
            value = MEASURES[self.measure](layer)
        except KeyError:
            raise InputError(
                f"measure must be one of {', '.join(MEASURES)}, but is {self.measure!r}"
            ) from None
        return ((value <= self.below) | (value >= self.above)) & ~layer.counts.has_nan


RULES = {
    "keras-contrib": Rule("firing rate", below=0.0, share=0.1),
    "sagemaker": Rule("firing rate", below=0.01, share=0.5),
    "loss-of-plasticity": Rule("firing rate", below=0.01),
    "kaldi": Rule("mean derivative", below=0.05, above=0.95),
    "redo": Rule("dormancy", below=0.1),
    "redo-strict": Rule("dormancy", below=0.025),
    "fastai": Rule("near zero", above=0.95, share=0.5),
    "autotrainer": Rule("zero gradient", above=1.0, share=0.7),
}


def check(health: HasLayers, rule: str | Rule) -> pd.DataFrame:
    """Apply the thresholds of another tool to the result of `examine` or `watch`.

    Parameters
    ----------
    health : Examination or Watch
        The result of `examine` or `watch`.
    rule : str or Rule
        A name in `leakyrelu.health.RULES`: keras-contrib (DeadReluDetector), sagemaker
        (Debugger's DeadRelu), loss-of-plasticity (the dead count of Dohare et al.), kaldi (also
        icefall's balancers), redo and redo-strict (dormant neurons), fastai (ActivationStats),
        autotrainer. Or a `Rule` of your own.

    Returns
    -------
    pandas.DataFrame
        One row for each layer: layer, units, "flagged units", and whether the layer is flagged.

    Raises
    ------
    InputError
        If there is no rule of that name.

    Examples
    --------
    >>> import torch
    >>> from leakyrelu.health import check, examine
    >>> model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.ReLU())
    >>> _ = model[0].bias.data.copy_(torch.tensor([-100.0, 0.0, 100.0]))
    >>> check(examine(model, torch.randn(50, 2)), "kaldi")
      layer  units  flagged units  flagged
    0     1      3              2     True
    """
    if isinstance(rule, str):
        if rule not in RULES:
            raise InputError(f"rule must be one of {', '.join(RULES)}, but is {rule!r}")
        rule = RULES[rule]
    rows = []
    for layer in health.layers:
        flags = rule.flags(layer)
        rows.append(
            {
                "layer": layer.layer,
                "units": layer.units,
                "flagged units": int(flags.sum()),
                "flagged": flags.float().mean().item() > rule.share,
            }
        )
    return table_of(rows)
