"""Parameter groups for an optimizer."""

from __future__ import annotations

from typing import Any

from torch import nn
from torch.nn.utils import parametrize

from leakyrelu.nn._model import check_model

__all__ = ["parameter_groups"]


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Keep the slopes of PReLU layers out of weight decay.

    Weight decay pulls slopes to 0: towards ReLU, whose units can die. If slopes are computed from
    other parameters, by pruning or a parametrization, these are kept out instead.

    Parameters
    ----------
    model : torch.nn.Module
        PReLU layers are those of PyTorch and their subclasses.
    weight_decay : float
        For all other parameters.

    Returns
    -------
    list of dict
        Two groups for an optimizer: all other parameters with `weight_decay`, and the slopes
        with 0; empty if there are none. To exclude biases or normalization too, split the first.

    Raises
    ------
    TypeError
        If `model` is not a module.

    References
    ----------
    .. [1] K. He, X. Zhang, S. Ren and J. Sun, "Delving deep into rectifiers: Surpassing
       human-level performance on ImageNet classification", ICCV 2015, section 2.1.

    Examples
    --------
    >>> import torch
    >>> model = nn.Sequential(nn.Linear(2, 3), nn.PReLU(), nn.Linear(3, 1))
    >>> optimizer = torch.optim.AdamW(parameter_groups(model, weight_decay=0.01))
    >>> [(len(group["params"]), group["weight_decay"]) for group in optimizer.param_groups]
    [(4, 0.01), (1, 0.0)]
    """
    check_model(model)
    slopes = {
        id(parameter): parameter
        for module in model.modules()
        if isinstance(module, nn.PReLU)
        for parameter in _slopes_of(module)
    }
    others = [parameter for parameter in model.parameters() if id(parameter) not in slopes]
    return [
        {"params": others, "weight_decay": weight_decay},
        {"params": list(slopes.values()), "weight_decay": 0.0},
    ]


def _slopes_of(module: Any) -> list[nn.Parameter]:
    """Return the parameter that holds the slopes, or all that they are computed from."""
    own = dict(module.named_parameters(recurse=False))
    if "weight" in own:
        return [own["weight"]]
    if parametrize.is_parametrized(module, "weight"):
        return list(module.parametrizations["weight"].parameters())
    # Of pruning, and of the older weight_norm and spectral_norm: weight_orig, weight_g, weight_v.
    return [parameter for name, parameter in own.items() if name.startswith("weight_")]
