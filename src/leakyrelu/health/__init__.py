"""Which units are dying: `examine` a model with one pass over some data.

`watch` it while it trains, and see which units die, since when and why. `odds` tells before
it trains how likely it is dead from the start.
"""

from leakyrelu.health.examine import Examination, LayerHealth, examine
from leakyrelu.health.odds import Odds, odds
from leakyrelu.health.watch import Deaths, HealthWarning, Watch, watch

__all__ = [
    "Deaths",
    "Examination",
    "HealthWarning",
    "LayerHealth",
    "Odds",
    "Watch",
    "examine",
    "odds",
    "watch",
]
