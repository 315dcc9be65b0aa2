"""Initial weights that suit an activation: drawn, or scaled."""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from leakyrelu._errors import InputError
from leakyrelu._trace.graph import Graph
from leakyrelu._trace.weights import by_group, is_transposed

__all__ = ["check_sizes_are_known", "drawn", "reinitialize", "rescale"]


def check_sizes_are_known(model: nn.Module) -> None:
    """Refuse a model with lazy layers that have seen no example yet."""
    lazy = [path for path, module in model.named_modules() if _is_lazy(module)]
    if lazy:
        raise InputError(
            f"model has lazy layers, whose size is not known yet: {', '.join(lazy)}; give the "
            "sizes, or call it once on an example before"
        )


def _is_lazy(module: nn.Module) -> bool:
    own: tuple[Any, ...] = (*module._parameters.values(), *module._buffers.values())
    return any(nn.parameter.is_lazy(tensor) for tensor in own)


@torch.no_grad()
def reinitialize(model: nn.Module, new: Iterable[nn.Module], gain: float) -> None:
    """Draw the weights of the layers that feed the `new` activations, and zero their biases."""
    layers: dict[Any, None] = {}  # in their order, so that draws can be repeated
    for _, found, complaint in _feeders(model, set(new)):
        if not found:
            raise InputError(complaint)
        layers |= dict.fromkeys(found)
    computed = []
    for layer in layers:
        if not _change_weight(layer, partial(drawn, gain=gain)):
            computed.append(layer)
        elif layer.bias is not None:
            layer.bias.zero_()
    _warn_computed(model, computed)


@torch.no_grad()
def rescale(model: nn.Module, factors: Mapping[nn.Module, float]) -> None:
    """Multiply the weights of the layers that feed each activation by its factor."""
    of_layer: dict[Any, float] = {}  # one that feeds several is scaled once
    for module, found, _ in _feeders(model, set(factors)):
        of_layer |= dict.fromkeys(found, factors[module])
    computed = [
        layer
        for layer, factor in of_layer.items()
        if factor != 1 and not _change_weight(layer, partial(_scaled, factor=factor))
    ]
    _warn_computed(model, computed)


def _feeders(model: nn.Module, new: set[nn.Module]) -> Iterator[tuple[nn.Module, list[Any], str]]:
    """Yield each activation, the layers that feed it, and what to say if there are none."""
    graph = Graph(model, new)
    reason = f" ({graph.why_not})" if graph.why_not else ""
    for path, module in model.named_modules():
        if module in new:
            yield (
                module,
                list(graph.feeders(path)),
                f"can't tell which layer feeds {path}, to reinitialize it{reason}",
            )


def _scaled(layer: Any, factor: float) -> Tensor:
    weight: Tensor = layer.weight * factor
    return weight


def drawn(layer: Any, gain: float, generator: torch.Generator | None = None) -> Tensor:
    """Draw a weight that keeps the scale from layer to layer, after He et al. 2015.

    Always in float32 and on the device of the generator, the CPU by default, so that it is the
    same for all dtypes and devices.
    """
    weight: Tensor = layer.weight
    inputs = by_group(layer, weight)[0, 0].numel()
    if is_transposed(layer) and weight.ndim > 2:
        # Of all positions, a stride reaches one in so many.
        inputs = max(inputs // math.prod(layer.stride), 1)
    device = generator.device if generator is not None else torch.device("cpu")
    normal = torch.randn(weight.shape, generator=generator, device=device)
    return (normal * (gain / math.sqrt(inputs))).to(weight)


def _change_weight(layer: Any, changed: Callable[[Any], Tensor]) -> bool:
    """Set the weight of a layer to ``changed(layer)``; False if something else computes it."""
    if "weight" in layer._parameters:
        layer.weight.copy_(changed(layer))
        return True
    if not parametrize.is_parametrized(layer, "weight"):  # a hook, as of nn.utils.weight_norm
        return False
    parametrization = layer.parametrizations.weight
    before = copy.deepcopy(parametrization.state_dict())  # to look at the weight may change it
    wanted = changed(layer)
    try:
        layer.weight = wanted
        is_changed = torch.allclose(layer.weight, wanted, rtol=1e-3, atol=1e-6)
    except Exception:  # whatever it raises of a weight that it never gives
        is_changed = False
    if not is_changed:
        parametrization.load_state_dict(before)
    return is_changed


def _warn_computed(model: nn.Module, layers: list[nn.Module]) -> None:
    if layers:
        names = ", ".join(path for path, module in model.named_modules() if module in layers)
        warnings.warn(
            f"the initial weights of {names} were not changed, as a hook or parametrization "
            "computes them; torch.nn.utils.parametrizations.weight_norm lets them be scaled",
            stacklevel=4,
        )
