"""Curing a model: `replace` its rectifiers, `revive` its dead units, or let `treat` choose.

`parameter_groups` keeps learned slopes out of weight decay.
"""

from leakyrelu.treatment._groups import parameter_groups
from leakyrelu.treatment._replace import replace
from leakyrelu.treatment._revive import Revival, revive
from leakyrelu.treatment._treat import Reviver, Treatment, treat
from leakyrelu.treatment._warm_up import WarmUpLeakyReLU

__all__ = [
    "Revival",
    "Reviver",
    "Treatment",
    "WarmUpLeakyReLU",
    "parameter_groups",
    "replace",
    "revive",
    "treat",
]
