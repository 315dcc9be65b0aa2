"""What an optimizer remembers of weights that were made new."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from leakyrelu._errors import InputError

__all__ = ["check_optimizer", "forget"]


def check_optimizer(optimizer: torch.optim.Optimizer, model: nn.Module) -> None:
    """Refuse an optimizer that does not train the model, or can't forget single weights."""
    name = type(optimizer).__name__
    if isinstance(optimizer, torch.optim.LBFGS):
        raise InputError(
            f"{name} remembers directions of all weights together, of which those of single units "
            "can't be reset; leave optimizer= out, and make a new one afterwards"
        )
    parameters = list(model.parameters())
    trained = {id(p) for group in optimizer.param_groups for p in group["params"]}
    if trained.isdisjoint(map(id, parameters)):
        raise InputError("optimizer has no parameter of model; give the one that trains it")
    for parameter in parameters:
        for key, value in optimizer.state.get(parameter, {}).items():
            if isinstance(value, Tensor) and value.ndim and _axis(key, value, parameter) is None:
                raise InputError(
                    f"{name} remembers {key} of shape {tuple(value.shape)} for weights of shape "
                    f"{tuple(parameter.shape)}, of which that of single units can't be reset; "
                    "leave optimizer= out, and make a new one afterwards"
                )


def forget(optimizer: torch.optim.Optimizer, parameter: Tensor, entries: Tensor) -> None:
    """Make the state of some entries of a parameter as if new; `entries` is a mask of them."""
    for key, value in optimizer.state.get(parameter, {}).items():
        if isinstance(value, Tensor) and value.ndim:
            axis = _axis(key, value, parameter)
            # What is of a whole row or column is made new if all its entries are.
            among = entries if axis == _NONE else entries.all(axis).reshape(value.shape)
            new = _new(key, _group_of(optimizer, parameter), parameter)
            among, new = among.to(value.device), torch.as_tensor(new).to(value)
            value.copy_(torch.where(among, new, value))


_NONE = 0  # no axis is missing; 0 never is


def _axis(key: str, value: Tensor, parameter: Tensor) -> int | None:
    """Return over which axis the state has one value, as Adafactor's; None if that is unknown."""
    if value.shape == parameter.shape:
        return _NONE
    for word, axis in (("row", -1), ("col", -2)):
        if word in key and parameter.ndim > 1:
            sizes = list(parameter.shape)
            del sizes[axis]
            if [size for size in value.shape if size > 1] == [size for size in sizes if size > 1]:
                return axis
    return None


def _new(key: str, group: dict[str, Any], parameter: Tensor) -> Any:
    """Return with what the state of a weight starts."""
    if key == "step_size":  # of Rprop
        return group["lr"]
    if key == "sum":  # of Adagrad
        return group.get("initial_accumulator_value", 0.0)
    if key == "ax":  # of ASGD: the average of the weight itself
        return parameter.detach()
    return 0.0


def _group_of(optimizer: torch.optim.Optimizer, parameter: Tensor) -> dict[str, Any]:
    return next(
        group for group in optimizer.param_groups if any(p is parameter for p in group["params"])
    )
