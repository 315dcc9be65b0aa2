"""Replacing the activations of a model, and putting the old ones back."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - its usual name

from leakyrelu._errors import InputError
from leakyrelu._trace.known import function_name, known
from leakyrelu._trace.sites import Site, others_of
from leakyrelu.activations import KINDS, Activation, parse
from leakyrelu.nn._model import check_model, model_to_change
from leakyrelu.treatment import _initial
from leakyrelu.treatment._capped import capped
from leakyrelu.treatment._initial import check_sizes_are_known
from leakyrelu.treatment._places import REPLACED, Place, but_gates, chosen, each_call, places_of
from leakyrelu.treatment._rewrite import call_modules, names_of
from leakyrelu.treatment._warm_up import WarmUpLeakyReLU

if TYPE_CHECKING:
    from leakyrelu.health._examine import Examination
    from leakyrelu.health._watch import Watch

__all__ = ["replace", "restore"]

Where: TypeAlias = (
    "str | Iterable[str] | Callable[[str, nn.Module], bool] | Examination | Watch | None"
)

MOST_NAMED = 4  # places of one kind of activation that stays


def replace(
    model: nn.Module,
    activation: str | Activation | Callable[..., Any] = "leaky_relu:0.1",
    *,
    where: Where = None,
    warm_up: int = 0,
    reinitialize: bool = False,
    rescale: bool = False,
    inplace: bool = False,
) -> nn.Module:
    """Replace the activations of `model`, modules and calls, by another one.

    Parameters
    ----------
    model : torch.nn.Module
        Its modules of the activations in `leakyrelu.activations.KINDS`, such as ReLU, GELU or
        Hardswish, are replaced, and the calls of such functions in forward and the methods that
        it uses: ``F.relu(x)``, ``torch.relu(x)``, ``x.relu()``, ``nn.ReLU()(x)``. Calls of
        ``x.clamp(min=0)`` are if `where` is given, as they may be of lengths or areas. What may
        be a gate or an output, as Sigmoid, Tanh and Softplus may, is if `where` has the very
        name of the module. Everything else stays: weights, hooks, modes, and the names in its
        ``state_dict``.
    activation : spec, default "leaky_relu:0.1"
        As `leakyrelu.activations.parse` takes it. One of the Leaky ReLU family keeps the upper
        bound of what it replaces, such as the 6 of ReLU6, of ``nn.Hardtanh(0, 6)`` and of
        ``x.clamp(0, 6)``.
    where : optional
        Which activations, by the names that `examine` gives them; all by default. A pattern such
        as ``"layer1.*"`` or the name of a module that they are in, or several; a function of
        the name and the module (for a call, the module that makes it), which returns whether to
        replace it; or the result of `examine` or `watch`: the layers with dead units.
    warm_up : int, default 0
        Let the slope of a leaky_relu grow from 0, that is from ReLU, over this many training
        forwards: see `leakyrelu.treatment.WarmUpLeakyReLU`. Activations that are no ReLU, such
        as GELU, stay, as this would change what they compute at once.
    reinitialize : bool, default False
        Draw new weights for the linear layers and convolutions that feed the activations,
        from a normal distribution with the gain of the new activation [1]_, and set their
        biases to 0. For models that are not trained yet.
    rescale : bool, default False
        Keep the model's own initialization instead, and multiply the weights of these layers by
        the gain of the new activation over that of the old one. Layers that can't be
        identified stay as they are. For models that are not trained yet.
    inplace : bool, default False
        Change `model` itself, not a copy.

    Returns
    -------
    torch.nn.Module
        `model`, or its changed copy.

    Warns
    -----
    UserWarning
        If a call is out of reach, such as one in a function that a method calls; if the calls of
        a loop share one PReLU; or if weights to rescale or reinitialize are computed from
        others. Without `where`, also if the model has activations that are not replaced, such
        as Tanh or GLU.

    Raises
    ------
    TypeError
        If `model` is not a module.
    InputError
        If the activation is unknown, there is nothing to replace, `where` fits nothing,
        `warm_up` is given for another activation than a leaky_relu, both `reinitialize` and
        `rescale` are given, the layers to reinitialize can't be identified, the size of layers
        is not known yet, or `model` can't be copied; with `warm_up`, if none is a ReLU.

    See Also
    --------
    restore : Undo it.
    revive : Reinitialize the dead units and keep the activation.
    parameter_groups : Keep the slopes of PReLUs out of weight decay.

    Notes
    -----
    With ``"prelu:0"``, whose slopes start at 0 and are learned, or with `warm_up`, a trained model
    of ReLUs, also of ReLU6, computes what it did before. For finite inputs both equal ReLU bit for
    bit, except for the sign of zeros: they return -0.0 for negative numbers. Where pre-activations
    are far below 0, as those of dead units may be, the gradient of a slope is large: for such a
    model use `warm_up`, `treat` or a lower learning rate. Give the new slopes to the optimizer, and
    wrap the model in DistributedDataParallel after this.

    Each call of a shared module gets its own PReLU, as does each call in the source; the calls
    of one line in a loop share one.

    To give calls modules, the source of their methods is rewritten, in a subclass that takes the
    place of the module's class: the rest of the methods is as it was, as is ``isinstance``. The
    new activation works in place where the old one did, if its class can.

    References
    ----------
    .. [1] K. He, X. Zhang, S. Ren and J. Sun, "Delving deep into rectifiers: Surpassing
       human-level performance on ImageNet classification", ICCV 2015.

    Examples
    --------
    >>> model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))
    >>> replace(model, "leaky_relu:0.2")[1]
    LeakyReLU(negative_slope=0.2)
    """
    spec = parse(activation)
    if warm_up and spec.name != "leaky_relu":
        raise InputError(
            f"warm_up is for leaky_relu, not for {activation!r}; prelu:0 starts out as ReLU"
        )
    if reinitialize and rescale:
        raise InputError("reinitialize draws new weights and rescale keeps them; choose one")
    check_model(model)
    if known().is_module(model):
        raise InputError("model is an activation itself; give the network that it is part of")
    if reinitialize or rescale:
        check_sizes_are_known(model)
    model = model_to_change(model, inplace)
    if where is not None and not isinstance(where, str) and not callable(where):
        where = where if hasattr(where, "layers") else list(where)  # it is read twice
    places = but_gates(places_of(model), where)
    if not places:
        raise InputError(
            "model has no activation module, and its methods call no activation that could be "
            f"found, such as torch.relu(x){_hint(model)}"
        )
    if where is None and (others := _others(model)):
        warnings.warn(f"activations not replaced: {others}", stacklevel=2)
    places = chosen(places, where)
    within_reach = [place for place in places if not isinstance(place.what, str)]
    others_than_relu = [place.layer for place in within_reach if not place.is_rectifier]
    if warm_up and others_than_relu:
        why = f"a leak that grows from 0 starts as ReLU, which {', '.join(others_than_relu)} is not"
        if len(others_than_relu) == len(within_reach):
            raise InputError(f"{why}; leave warm_up= out")
        warnings.warn(f"not replaced: {why}", stacklevel=2)
        within_reach = [place for place in within_reach if place.is_rectifier]
    texts = (f"{place.layer}: {place.what}" for place in places if isinstance(place.what, str))
    out_of_reach = ", ".join(dict.fromkeys(texts))
    advice = "; have the module itself call an nn.ReLU() module there"
    if out_of_reach and not within_reach:
        raise InputError(f"can't replace {out_of_reach}{advice}")
    if out_of_reach:
        warnings.warn(f"not replaced: {out_of_reach}{advice}", stacklevel=2)
    has_state = KINDS[spec.name].is_learned or warm_up > 0  # then no two calls may share a module
    if has_state:
        within_reach = each_call(within_reach)
        in_loops = dict.fromkeys(place.layer for place in within_reach if place.repeats)
        if in_loops:
            shared = ", ".join(in_loops)
            warnings.warn(f"the calls of a loop share one {spec.name}: {shared}", stacklevel=2)
    near = _parameters_near(model)
    made: dict[nn.Module, nn.Module] = {}
    gains: dict[nn.Module, float] = {}  # of the activations replaced, by new module
    for place in within_reach:
        old = place.module
        if old is None or has_state or old not in made:
            module = WarmUpLeakyReLU(spec.parameters[0], warm_up) if warm_up else spec.module()
            if place.cap is not None and spec.is_leaky:
                module = capped(module, place.cap)
            _settle(module, place, near)
            made[old or module] = module
            gains[module] = _gain_before(place) if rescale else spec.gain
        _put(made[old or module], place)
    _adapt_transformers(model)
    if reinitialize:
        _initial.reinitialize(model, gains, spec.gain)
    if rescale:
        _initial.rescale(model, {module: spec.gain / gain for module, gain in gains.items()})
    return model


def restore(model: nn.Module, *, where: Where = None, inplace: bool = False) -> nn.Module:
    """Undo `replace`: put back the activations that were there before the first time.

    Parameters
    ----------
    model : torch.nn.Module
        One that `replace` returned or changed.
    where : optional
        Which activations, as in `replace`; all by default.
    inplace : bool, default False
        Change `model` itself, not a copy.

    Returns
    -------
    torch.nn.Module
        `model`, or its changed copy.

    Raises
    ------
    TypeError
        If `model` is not a module.
    InputError
        If nothing was replaced in it, or `where` fits nothing.

    Examples
    --------
    >>> model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))
    >>> restore(replace(model, "leaky_relu:0.2"))[1]
    ReLU()
    """
    model = model_to_change(model, inplace)
    places = places_of(model, only_replaced=True)
    if not places:
        raise InputError("model has nothing that replace() put there")
    near = _parameters_near(model)
    for place in chosen(places, where):
        _put_back(place, near)
    _adapt_transformers(model)
    return model


def _hint(model: nn.Module) -> str:
    if any(isinstance(module, torch.jit.ScriptModule) for module in model.modules()):
        return "; compiled code can't be rewritten, so give the model from before torch.jit.script"
    others = _others(model)
    return f"; activations not replaced: {others}" if others else ""


def _others(model: nn.Module) -> str:
    """Name the activations that can't be replaced: ``"Tanh (1, 3)"``."""
    found: dict[str, list[str]] = {}
    has = known()
    for path, module in model.named_modules():
        if isinstance(module, has.other_modules) and not has.is_module(module):
            found.setdefault(type(module).__name__, []).append(path)
        for name in others_of(module):
            found.setdefault(f"{name}()", []).append(path or "forward")
    listed = []
    for kind, paths in found.items():
        more = f" and {len(paths) - MOST_NAMED} more" if len(paths) > MOST_NAMED else ""
        listed.append(f"{kind} ({', '.join(paths[:MOST_NAMED])}{more})")
    return ", ".join(listed)


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
    """Set by what PyTorch's transformers choose a fused kernel, as their constructors do."""
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
    """Return the gain of the activation that is there, as far as it is known."""
    module = place.module
    if isinstance(module, nn.PReLU):
        return math.sqrt(2 / (1 + float(module.weight.detach().square().mean())))
    has = known()
    if module is not None:
        return (has.activation(module) or parse("relu")).gain
    named = getattr(place.what, "function", None) or function_name(place.what)
    return parse(has.by_name.get(named.lower(), "relu")).gain
