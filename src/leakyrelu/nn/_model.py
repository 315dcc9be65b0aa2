"""The model that a function is given: checked, and copied unless it may be changed."""

from __future__ import annotations

import copy

from torch import nn

from leakyrelu._errors import InputError

__all__ = ["check_model", "model_to_change"]


def check_model(model: object) -> None:
    """Refuse what is no module."""
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, but is {type(model).__name__}")


def model_to_change(model: nn.Module, inplace: bool) -> nn.Module:
    """Return the model itself, or else a copy.

    Raises
    ------
    TypeError
        If `model` is not a module.
    InputError
        If it can't be copied.
    """
    check_model(model)
    if inplace:
        return model
    try:
        return copy.deepcopy(model)
    except RuntimeError as error:  # of a tensor that was computed
        raise InputError(
            f"model can't be copied: {str(error).partition('.')[0]}. If that is due to "
            "torch.nn.utils.weight_norm, use torch.nn.utils.parametrizations.weight_norm; "
            "or give inplace=True"
        ) from error
