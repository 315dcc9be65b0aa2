"""Which units are dying, when and why.

`examine` a model by one pass over data. `watch` it while it trains: which units die, when, and
why. `born_dead` estimates beforehand whether it is dead from the start. `check` applies the
thresholds of other tools.
"""

from leakyrelu.health._born_dead import BornDead, born_dead
from leakyrelu.health._examine import Examination, examine
from leakyrelu.health._findings import Deaths
from leakyrelu.health._layers import HealthWarning, LayerHealth
from leakyrelu.health._rules import RULES, Rule, check
from leakyrelu.health._watch import Watch, watch

__all__ = [
    "RULES",
    "BornDead",
    "Deaths",
    "Examination",
    "HealthWarning",
    "LayerHealth",
    "Rule",
    "Watch",
    "born_dead",
    "check",
    "examine",
    "watch",
]
