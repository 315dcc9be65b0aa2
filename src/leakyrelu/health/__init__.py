"""Which units are dying: `examine` a model with one pass over some data."""

from leakyrelu.health.examine import Examination, LayerHealth, examine

__all__ = ["Examination", "LayerHealth", "examine"]
