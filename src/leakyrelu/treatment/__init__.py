"""Curing a model: `replace` its rectifiers, `revive` its dead units, or let `treat` choose.

`parameter_groups` keeps learned slopes out of weight decay.
"""

from leakyrelu.treatment.groups import parameter_groups
from leakyrelu.treatment.replace import replace
from leakyrelu.treatment.revive import Revival, revive
from leakyrelu.treatment.treat import Reviver, Treatment, treat
from leakyrelu.treatment.warm_up import WarmUpLeakyReLU

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
