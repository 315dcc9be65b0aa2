"""Curing a model: swap its rectifiers for ones that pass a gradient on the negative side."""

from __future__ import annotations

import copy

from torch import nn

from leakyrelu.activations import KINDS, Activation, parse

__all__ = ["replace"]

_RECTIFIERS = tuple(getattr(nn, kind.torch_class) for kind in KINDS.values())


def replace(
    model: nn.Module, activation: str | Activation = "leaky_relu:0.1", *, inplace: bool = False
) -> nn.Module:
    """Swap every rectifier module of `model` for another activation.

    Parameters
    ----------
    model : torch.nn.Module
        Its ReLU, LeakyReLU, PReLU, RReLU, ELU, GELU and SiLU modules are swapped. All
        weights are kept.
    activation : spec, default "leaky_relu:0.1"
        As `leakyrelu.activations.parse` takes it.
    inplace : bool, default False
        Change `model` itself instead of a copy.

    Returns
    -------
    torch.nn.Module
        The changed copy, or `model`.

    Raises
    ------
    ValueError
        If the activation is unknown, or `model` has no rectifier module. Calls such as
        ``torch.relu(x)`` in a forward method are no modules and are not reached.

    Examples
    --------
    >>> model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))
    >>> replace(model, "leaky_relu:0.2")[1]
    LeakyReLU(negative_slope=0.2)
    """
    spec = parse(activation)
    if isinstance(model, _RECTIFIERS):
        raise ValueError("model is a rectifier itself; give the network that it is part of")
    if not inplace:
        model = copy.deepcopy(model)
    weight = next(model.parameters(), None)
    replacements: dict[nn.Module, nn.Module] = {}  # a shared module stays shared
    for name, module in list(model.named_modules(remove_duplicate=False)):
        if not isinstance(module, _RECTIFIERS):
            continue
        if module not in replacements:
            replacements[module] = spec.module().train(module.training)
            if weight is not None:
                replacements[module].to(device=weight.device, dtype=weight.dtype)
        model.set_submodule(name, replacements[module])
    if not replacements:
        raise ValueError(
            "model has no rectifier module; if its forward calls torch.relu(x) or F.relu(x), "
            "make that an nn.ReLU() module first"
        )
    return model
