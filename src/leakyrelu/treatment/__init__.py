"""Cures for dead units.

`treat` a model: it finds the dead units and chooses the cure. Or `replace` its activations and
`restore` them, and `revive` its dead units. While it trains, `Reviver` and `SelfRepair` do so.
`parameter_groups` keeps learned slopes out of weight decay.
"""

from leakyrelu.treatment._groups import parameter_groups
from leakyrelu.treatment._replace import replace, restore
from leakyrelu.treatment._revive import Revival, Reviver, revive
from leakyrelu.treatment._self_repair import SelfRepair
from leakyrelu.treatment._treat import Treatment, treat
from leakyrelu.treatment._warm_up import WarmUpLeakyReLU

__all__ = [
    "Revival",
    "Reviver",
    "SelfRepair",
    "Treatment",
    "WarmUpLeakyReLU",
    "parameter_groups",
    "replace",
    "restore",
    "revive",
    "treat",
]
