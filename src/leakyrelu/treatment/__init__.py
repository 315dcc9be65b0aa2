"""Curing a model."""

from leakyrelu.treatment.replace import replace

__all__ = ["replace"]
