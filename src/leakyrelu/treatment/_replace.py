"""Swapping the rectifiers of a model for ones that pass a gradient on the negative side."""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Callable, Container, Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - its usual name

from leakyrelu._errors import InputError
from leakyrelu.activations import KINDS, Activation, parse
from leakyrelu.treatment import _flow
from leakyrelu.treatment._graph import Graph
from leakyrelu.treatment._places import REPLACED, Place, chosen, each_call, places_of
from leakyrelu.treatment._rewrite import call_modules, names_of
from leakyrelu.treatment._sites import MODULES, OTHER_MODULES, Site, others_of
from leakyrelu.treatment._warm_up import WarmUpLeakyReLU
from leakyrelu.treatment._weights import change_weight, drawn

if TYPE_CHECKING:
    from leakyrelu.health._examine import Examination
    from leakyrelu.health._watch import Watch

__all__ = ["replace"]

MOST_NAMED = 4  # places of one kind of activation that stays


def replace(
    model: nn.Module,
    activation: str | Activation = "leaky_relu:0.1",
    *,
    where: (
        str | Iterable[str] | Callable[[str, nn.Module], bool] | Examination | Watch | None
    ) = None,
    warm_up: int = 0,
    reinitialize: bool = False,
    rescale: bool = False,
    inplace: bool = False,
) -> nn.Module:
    """Swap the rectifiers of `model`, modules and calls, for another activation.

    Parameters
    ----------
    model : torch.nn.Module
        Its ReLU, ReLU6, LeakyReLU, PReLU, RReLU, ELU, GELU and SiLU modules are swapped, and
        the calls of such functions in forward and the methods that it uses: ``F.relu(x)``,
        ``torch.relu(x)``, ``x.relu()``, ``nn.ReLU()(x)``. Calls of ``x.clamp(min=0)`` are if
        `where` is given, as they may be of lengths or areas. Everything else stays: weights,
        hooks, modes, and the names in its ``state_dict``.
    activation : spec, default "leaky_relu:0.1"
        As `leakyrelu.activations.parse` takes it; or "original": put back what was there
        before the first time.
    where : optional
        Which rectifiers, by the names that `examine` gives them; all by default. A pattern such
        as ``"layer1.*"`` or the name of a module that they are in, or several; a function of
        the name and the module (of a call, the module that makes it), which returns whether to
        swap it; or what `examine` or `watch` found: those with dead units.
    warm_up : int, default 0
        Let the slope of a leaky_relu grow from 0, that is from ReLU, over so many training
        forwards: see `leakyrelu.treatment.WarmUpLeakyReLU`.
    reinitialize : bool, default False
        Draw the weights of the linear layers and convolutions that feed what is swapped anew,
        from a normal distribution with the gain of the new activation [1]_, and set their
        biases to 0. For a model that is not trained yet.
    rescale : bool, default False
        Keep the model's own initialisation instead, and multiply the weights of these layers by
        the gain of the new activation over that of the one before. Layers that can't be told
        stay as they are. For a model that is not trained yet.
    inplace : bool, default False
        Change `model` itself instead of a copy.

    Returns
    -------
    torch.nn.Module
        The changed copy, or `model`.

    Warns
    -----
    UserWarning
        If a call is out of reach, such as one that another function makes on behalf of a
        method, if the calls of a loop share one PReLU, or if weights to rescale or reinitialize
        are computed from others. It says what to change. And without `where`, if the model has
        activations of other kinds, such as Hardswish, Mish, SELU, Tanh or GLU: it names them, as
        they stay.

    Raises
    ------
    TypeError
        If `model` is not a module.
    InputError
        If the activation is unknown, nothing is there to be swapped, `where` fits nothing,
        `warm_up` is given for another activation than a leaky_relu, both `reinitialize` and
        `rescale` are, it can't be told which layers to reinitialize, or the size of layers is
        not known yet.

    See Also
    --------
    revive : Make the dead units new and keep the activation.
    parameter_groups : Keep the slopes of PReLUs out of weight decay.

    Notes
    -----
    A trained ReLU model goes on as it was with ``"prelu:0"``, whose slopes are 0 at first and
    are learned, or with `warm_up`. For finite inputs both equal ReLU bit for bit, but for the
    sign of zeros: they make -0.0 of negative numbers. Where pre-activations are far below 0, as
    those of dead units may be, the gradient of a slope is large: give `warm_up` or `treat` such a
    model, or train it at a lower rate. Give the new slopes to the optimizer, and wrap the model for
    several processes after this.

    Each call of a shared module gets a PReLU of its own, as each call in the source does; the
    calls of one place in a loop share one.

    Calls get modules by a rewritten copy of the methods' source, in a subclass that stands in
    for the class of the module: the rest of the method is as it was, as is ``isinstance``.
    Where a module overwrites its input, the new one does so too if its class can.

    References
    ----------
    .. [1] K. He, X. Zhang, S. Ren and J. Sun, "Delving deep into rectifiers: Surpassing
       human-level performance on ImageNet classification", ICCV 2015.

    Examples
    --------
    >>> model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))
    >>> leaky = replace(model, "leaky_relu:0.2")
    >>> leaky[1]
    LeakyReLU(negative_slope=0.2)
    >>> replace(leaky, "original")[1]
    ReLU()
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, but is {type(model).__name__}")
    if isinstance(model, MODULES):
        raise InputError("model is a rectifier itself; give the network that it is part of")
    goes_back = activation == "original"
    spec = parse("relu" if goes_back else activation)
    if warm_up and (goes_back or spec.name != "leaky_relu"):
        raise InputError(
            f"warm_up is for leaky_relu, not for {activation!r}; prelu:0 starts as ReLU by itself"
        )
    if reinitialize and rescale:
        raise InputError("reinitialize draws weights anew and rescale keeps them; choose one")
    lazy = [path for path, module in model.named_modules() if _is_lazy(module)]
    if lazy and (reinitialize or rescale):
        raise InputError(
            f"model has lazy layers, whose size is not known yet: {', '.join(lazy)}; give the "
            "sizes, or call it once on an example before"
        )
    if not inplace:
        try:
            model = copy.deepcopy(model)
        except RuntimeError as error:  # of a tensor that was computed
            raise InputError(
                f"model can't be copied: {str(error).partition('.')[0]}. If that is due to "
                "torch.nn.utils.weight_norm, take torch.nn.utils.parametrizations.weight_norm; "
                "or give inplace=True"
            ) from error
    places = places_of(model, only_replaced=goes_back)
    if not places:
        raise InputError(
            "model has nothing that replace() put there"
            if goes_back
            else "model has no rectifier module, and its methods call no rectifier that could be "
            f"found, such as torch.relu(x){_hint(model)}"
        )
    if where is None and not goes_back and (others := _others(model)):
        warnings.warn(f"only rectifiers are swapped: {others} as before", stacklevel=2)
    places = chosen(places, where)
    within_reach = [place for place in places if not isinstance(place.what, str)]
    texts = (f"{place.layer}: {place.what}" for place in places if isinstance(place.what, str))
    out_of_reach = list(dict.fromkeys(texts))
    advice = "; let the module itself call an nn.ReLU() module there"
    if out_of_reach and not within_reach:
        raise InputError(f"can't reach {', '.join(out_of_reach)}{advice}")
    if out_of_reach:
        warnings.warn(f"left as it is: {', '.join(out_of_reach)}{advice}", stacklevel=2)
    near = _parameters_near(model)
    if goes_back:
        for place in within_reach:
            _put_back(place, near)
        _adapt_transformers(model)
        return model
    has_state = spec.name == "prelu" or warm_up > 0  # then no two calls may share a module
    if has_state:
        within_reach = each_call(within_reach)
        in_loops = dict.fromkeys(place.layer for place in within_reach if place.repeats)
        if in_loops:
            shared = ", ".join(in_loops)
            warnings.warn(f"the calls of a loop share one {spec.name}: {shared}", stacklevel=2)
    made: dict[nn.Module, nn.Module] = {}
    gains: dict[nn.Module, float] = {}  # of what the new ones stand for
    for place in within_reach:
        old = place.module
        if old is None or has_state or old not in made:
            module = WarmUpLeakyReLU(spec.parameters[0], warm_up) if warm_up else spec.module()
            _settle(module, place, near)
            made[old or module] = module
            gains[module] = _gain_before(place) if rescale else 0.0
        _put(made[old or module], place)
    _adapt_transformers(model)
    if reinitialize:
        _reinitialize(model, set(made.values()), spec.gain)
    if rescale:
        _rescale(model, {module: spec.gain / gain for module, gain in gains.items()})
    return model


def _is_lazy(module: nn.Module) -> bool:
    own: tuple[Any, ...] = (*module._parameters.values(), *module._buffers.values())
    return any(nn.parameter.is_lazy(tensor) for tensor in own)


def _hint(model: nn.Module) -> str:
    if any(isinstance(module, torch.jit.ScriptModule) for module in model.modules()):
        return "; code that is compiled can't be rewritten, so give it as before torch.jit.script"
    others = _others(model)
    return f"; only rectifiers are swapped: {others} as before" if others else ""


def _others(model: nn.Module) -> str:
    """Name activations that are no rectifiers: ``"Tanh (1, 3) stay"``."""
    found: dict[str, list[str]] = {}
    for path, module in model.named_modules():
        if isinstance(module, OTHER_MODULES) and not isinstance(module, MODULES):
            found.setdefault(type(module).__name__, []).append(path)
        for name in others_of(module):
            found.setdefault(f"{name}()", []).append(path or "forward")
    told = []
    for kind, paths in found.items():
        more = f" and {len(paths) - MOST_NAMED} more" if len(paths) > MOST_NAMED else ""
        told.append(f"{kind} ({', '.join(paths[:MOST_NAMED])}{more})")
    return f"{', '.join(told)} {'stays' if len(told) == 1 else 'stay'}" if told else ""


def _parameters_near(model: nn.Module) -> dict[nn.Module, Tensor]:
    """Return a parameter near each module, whose device and dtype new ones are to have."""
    first = next((p for p in model.parameters() if p.is_floating_point()), None)
    if first is None:
        return {}
    near: dict[nn.Module, Tensor] = {}
    latest: Tensor = first
    for module in model.modules():
        own = [p for p in module.parameters(recurse=False) if p.is_floating_point()]
        latest = own[-1] if own else latest
        near[module] = latest
    return near


def _settle(module: nn.Module, place: Place, near: dict[nn.Module, Tensor]) -> None:
    """Give a new module what the one before had: mode, device, dtype, hooks, in place or not."""
    old = place.module
    module.train((old or place.parent).training)
    _move(module, place, near)
    slopes = getattr(module, "negative_slope", 0.0), getattr(module, "lower", 0.0)
    if place.in_place and hasattr(module, "inplace") and min(slopes) >= 0:
        module.inplace = True  # type: ignore[assignment]
    if old is not None:  # handles of hooks go on working, as these are the same dicts
        vars(module).update({name: v for name, v in vars(old).items() if "hook" in name})


def _put(module: nn.Module, place: Place) -> None:
    parent, what = place.parent, place.what
    if isinstance(what, Site):
        vars(module)[REPLACED] = None
        number, name = 1, what.function
        while hasattr(parent, name):
            number += 1
            name = f"{what.function}{number}"
        setattr(parent, name, module)
        call_modules(parent, names_of(parent) | {(what.method, what.index, name)})
    else:
        is_module = isinstance(what, nn.Module)
        vars(module)[REPLACED] = vars(what).get(REPLACED, what) if is_module else what
        setattr(parent, place.attribute, module)


def _put_back(place: Place, near: dict[nn.Module, Tensor]) -> None:
    parent, name, module = place.parent, place.attribute, place.what
    original = vars(module)[REPLACED]
    if isinstance(original, nn.Module):
        original.train(module.training)
        _move(original, place, near)
        setattr(parent, name, original)
        return
    delattr(parent, name)
    if original is None:
        call_modules(parent, frozenset(call for call in names_of(parent) if call[2] != name))
    else:
        setattr(parent, name, original)


def _move(module: nn.Module, place: Place, near: dict[nn.Module, Tensor]) -> None:
    if near:
        of_parent = (p for p in place.parent.parameters() if p.is_floating_point())
        like = near[place.module] if place.module else next(of_parent, near[place.parent])
        module.to(like.device, like.dtype)
        near[module] = like  # for the next call of what stood there


def _adapt_transformers(model: nn.Module) -> None:
    """Tell PyTorch's transformers by which activation they may choose a fused kernel."""
    for module in model.modules():
        if isinstance(module, nn.TransformerEncoderLayer):
            activation = module.activation
            is_relu = activation is F.relu or isinstance(activation, nn.ReLU)
            is_gelu = activation is F.gelu or isinstance(activation, nn.GELU)
            module.activation_relu_or_gelu = 1 if is_relu else 2 if is_gelu else 0
    for module in model.modules():
        if isinstance(module, nn.TransformerEncoder):
            can_nest = all(getattr(m, "activation_relu_or_gelu", 0) for m in module.layers)
            if module.use_nested_tensor and not can_nest:
                module.use_nested_tensor = False
                vars(module)[REPLACED] = True
            elif can_nest and vars(module).pop(REPLACED, False):
                module.use_nested_tensor = True


def _gain_before(place: Place) -> float:
    """Return the gain of what stands there: 1 / sqrt(E[f(z)²]) for z from N(0, 1)."""
    module = place.module
    if module is None:
        named = getattr(place.what, "function", getattr(place.what, "__name__", ""))
        name = named.lower().rstrip("_")
        return parse(name if name in KINDS else "relu").gain  # relu6 and clamps are nearly that
    if isinstance(module, nn.PReLU):
        return math.sqrt(2 / (1 + float(module.weight.detach().square().mean())))
    for kind in KINDS:
        activation = parse(kind)
        if isinstance(module, type(activation.module())):
            given = (getattr(module, name) for name in KINDS[kind].parameters)
            return Activation(kind, tuple(given)).gain
    return parse("relu").gain


def _feeders(model: nn.Module, new: Container[nn.Module]) -> Iterator[tuple[Any, list[Any], str]]:
    """Yield each new module, the layers that feed it, and what to say if there are none."""
    graph = Graph(model)
    for path, module in model.named_modules():
        if module in new:
            found = [layer for node in graph.calls(path) for layer in _flow.feeders(graph, node)]
            reason = f" ({graph.why_not})" if graph.why_not else ""
            yield module, found, f"can't tell which layer feeds {path}, to reinitialize it{reason}"


@torch.no_grad()
def _reinitialize(model: nn.Module, new: set[nn.Module], gain: float) -> None:
    layers: dict[Any, None] = {}  # in their order, so that draws can be repeated
    for _, found, complaint in _feeders(model, new):
        if not found:
            raise InputError(complaint)
        layers |= dict.fromkeys(found)
    computed = []
    for layer in layers:
        if not change_weight(layer, partial(drawn, gain=gain)):
            computed.append(layer)
        elif layer.bias is not None:
            layer.bias.zero_()
    _tell_computed(model, computed)


@torch.no_grad()
def _rescale(model: nn.Module, factors: dict[nn.Module, float]) -> None:
    of_layer: dict[Any, float] = {}  # that feeds several is scaled once
    for module, found, _ in _feeders(model, factors):
        of_layer |= dict.fromkeys(found, factors[module])
    computed = [
        layer
        for layer, factor in of_layer.items()
        if factor != 1 and not change_weight(layer, partial(_scaled, factor=factor))
    ]
    _tell_computed(model, computed)


def _scaled(layer: Any, factor: float) -> Tensor:
    weight: Tensor = layer.weight * factor
    return weight


def _tell_computed(model: nn.Module, layers: list[nn.Module]) -> None:
    if layers:
        names = ", ".join(path for path, module in model.named_modules() if module in layers)
        warnings.warn(
            f"the initial weights of {names} stay as they are, as a hook or parametrization "
            "computes them; torch.nn.utils.parametrizations.weight_norm lets them be scaled",
            stacklevel=4,
        )
