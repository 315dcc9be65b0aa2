"""Which units are dying: `examine` a model with one pass over some data.

`watch` it while it trains, and see which units die, since when and why. `odds` tells before
it trains how likely it is dead from the start. `check` holds what was found against the
thresholds of other tools.
"""

from leakyrelu.health._examine import Examination, examine
from leakyrelu.health._findings import Deaths
from leakyrelu.health._layers import LayerHealth
from leakyrelu.health._odds import Odds, odds
from leakyrelu.health._rules import RULES, Rule, check
from leakyrelu.health._watch import HealthWarning, Watch, watch

__all__ = [
    "RULES",
    "Deaths",
    "Examination",
    "HealthWarning",
    "LayerHealth",
    "Odds",
    "Rule",
    "Watch",
    "check",
    "examine",
    "odds",
    "watch",
]
