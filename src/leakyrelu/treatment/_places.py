"""Where the activations of a model are, and which of them `where=` selects."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from typing import Any

from torch import nn

from leakyrelu._errors import InputError
from leakyrelu._trace.known import is_among, known
from leakyrelu._trace.names import layer_name, path_of
from leakyrelu._trace.sites import Site, sites_of
from leakyrelu.treatment._capped import Capped
from leakyrelu.treatment._rewrite import names_of

__all__ = ["REPLACED", "Place", "but_gates", "chosen", "each_call", "places_of", "replaced_modules"]

# The attribute of a new module that keeps what it replaced: a module, a function, or None for a
# call in the source.
REPLACED = "_replaced"


@dataclass(frozen=True)
class Place:
    """Where an activation is."""

    layer: str  # its name, as in `examine`
    parent: nn.Module  # that it is an attribute of, or that makes the call
    attribute: str  # its name there; empty for a call
    what: Any  # a module, a function, a Site, or in words a call out of reach

    @property
    def owner(self) -> str:
        """The name of the layer without the number of the call."""
        return path_of(self.layer)

    @property
    def module(self) -> nn.Module | None:
        """The module that is, or is called, there; None of functions."""
        if isinstance(self.what, Site) and self.what.is_module:
            return getattr(self.parent, self.what.function)  # type: ignore[no-any-return]
        return self.what if isinstance(self.what, nn.Module) else None

    @property
    def cap(self) -> float | None:
        """The upper bound of what is returned there, as by ReLU6."""
        if isinstance(self.what, Site) and not self.what.is_module:
            return self.what.cap
        module: Any = self.module
        if module is None:
            return known().cap(*_call_of(self.what))
        cap = module.cap if isinstance(module, Capped) else getattr(module, "max_val", None)
        return None if cap is None or math.isinf(cap) else float(cap)

    @property
    def is_rectifier(self) -> bool:
        """Whether 0 is returned there for negative inputs, as by ReLU."""
        has, module = known(), self.module
        if isinstance(self.what, Site) and not self.what.is_module:
            return self.what.is_rectifier
        if module is None:
            return bool(has.blocks_gradient(*_call_of(self.what)))
        if isinstance(module, nn.PReLU):
            return not module.weight.detach().any()
        activation = has.activation(module)
        return activation is None or activation.is_rectifier

    @property
    def in_place(self) -> bool:
        """Whether the input is overwritten there."""
        in_source = isinstance(self.what, Site) and self.what.in_place
        return in_source or bool(getattr(self.module, "inplace", False))

    @property
    def repeats(self) -> bool:
        """Whether one call there is made several times, in a loop."""
        if isinstance(self.what, Site):
            return self.what.repeats
        return any(site.repeats for site in _calls_of(self.parent, self.attribute)[:1])


def places_of(model: nn.Module, only_replaced: bool = False) -> list[Place]:
    """Find all places of activations, or of those that `replace` put there."""
    places: list[Place] = []
    has = known()
    for path, parent in model.named_modules():
        for name, child in parent._modules.items():
            was_put = child is not None and REPLACED in vars(child)
            is_seen = has.is_module(child) or has.is_gate(child)
            if was_put or (is_seen and not only_replaced):
                places.append(Place(f"{path}.{name}".strip("."), parent, name, child))
        if not only_replaced:
            places += _places_of_calls(path, parent)
    return places


def replaced_modules(model: nn.Module) -> dict[str, nn.Module]:
    """Return the modules that `replace` put there, by their names."""
    return {place.layer: place.what for place in places_of(model, only_replaced=True)}


def _places_of_calls(path: str, parent: nn.Module) -> list[Place]:
    places = []
    has = known()
    layer, replaceable = layer_name(path), has.replaceable
    for name, value in vars(parent).items():
        function, args, words = _call_of(value)
        is_known = is_among(function, replaceable)
        if is_known and has.blocks_gradient(function, args, words) is not None:
            places.append(Place(layer, parent, name, value))
    have_modules = {(method, index) for method, index, _ in names_of(parent)}
    sites, out_of_reach = sites_of(parent)
    if isinstance(parent, (nn.RNN, nn.RNNCell)) and parent.nonlinearity == "relu":
        out_of_reach = [*out_of_reach, f"relu inside nn.{type(parent).__name__}"]
    numbers = Counter[str]()
    for site in sites:
        if site.is_module or (site.method, site.index) in have_modules:
            continue
        if site.method in vars(parent):
            why = f"{site.function} in {site.method}, which was set on the object itself"
            out_of_reach = [*out_of_reach, why]
            continue
        numbers[site.function] += 1
        places.append(Place(layer_name(path, numbers[site.function]), parent, "", site))
    return places + [Place(layer, parent, "", text) for text in out_of_reach]


def _call_of(function: Any) -> tuple[Any, tuple[Any, ...], dict[str, Any]]:
    """Return what is called by a function, or a part of one, and the arguments it has."""
    if isinstance(function, partial):
        return function.func, (None, *function.args), function.keywords
    return function, (), {}


def each_call(places: list[Place]) -> list[Place]:
    """Add a place for each further call, in the source, of the modules that are there."""
    found = []
    for place in places:
        found.append(place)
        if isinstance(place.what, nn.Module):
            calls = _calls_of(place.parent, place.attribute)
            found += [Place(place.layer, place.parent, "", call) for call in calls[1:]]
    return found


def _calls_of(parent: nn.Module, attribute: str) -> list[Site]:
    """Return the calls of a module in the source that have no module of their own."""
    taken = {(method, index) for method, index, _ in names_of(parent)}
    return [
        site
        for site in sites_of(parent)[0]
        if site.is_module
        and site.function == attribute
        and (site.method, site.index) not in taken
        and site.method not in vars(parent)
    ]


def but_gates(places: list[Place], where: Any) -> list[Place]:
    """Leave out what may be a gate or an output, but for those that `where` has the names of."""
    is_list = isinstance(where, Iterable) and not hasattr(where, "layers")
    names = {where} if isinstance(where, str) else set(where) if is_list else set()
    has = known()

    def is_meant(place: Place) -> bool:
        module = place.what
        return not has.is_gate(module) or REPLACED in vars(module) or place.layer in names

    return [place for place in places if is_meant(place)]


def chosen(places: list[Place], where: Any) -> list[Place]:
    """Return the places that `where`, as `replace` takes it, selects; refuse if there are none."""
    if where is None:
        return [_but_clamp(place) for place in places]
    if hasattr(where, "layers"):
        return _with_dead_units(places, where.layers)
    if callable(where):
        kept = [
            place
            for place in places
            if where(place.layer, place.what if isinstance(place.what, nn.Module) else place.parent)
        ]
    else:
        patterns = [where] if isinstance(where, str) else list(where)
        patterns += [f"{pattern}.*" for pattern in patterns]
        kept = [p for p in places if any(fnmatchcase(p.layer, pattern) for pattern in patterns)]
    if not kept:
        names = ", ".join(dict.fromkeys(place.layer for place in places))
        raise InputError(f"where={where!r} fits none of the activations of model: {names}")
    return kept


def _but_clamp(place: Place) -> Place:
    """Put a clamp out of reach: it may be of lengths, or of the argument of a root."""
    site = place.what
    if not (isinstance(site, Site) and site.function.startswith("clamp")):
        return place
    text = f"{site.function} in {site.method}, which is replaced if where= selects it"
    return Place(place.layer, place.parent, "", text)


def _with_dead_units(places: list[Place], layers: Iterable[Any]) -> list[Place]:
    layers = list(layers)
    dead = {(layer.layer, layer.function) for layer in layers if bool(layer.dead.any())}
    owners = {path_of(name) for name, _ in dead}
    ran = Counter((path_of(layer.layer), layer.function) for layer in layers)
    every = max((layer.examples for layer in layers), default=0)
    partly = {(path_of(layer.layer), layer.function) for layer in layers if layer.examples < every}
    calls = [place for place in places if isinstance(place.what, Site)]
    written = Counter((place.owner, place.what.function) for place in calls)

    def is_dead(place: Place) -> bool:
        if place.owner not in owners or not isinstance(place.what, Site):
            return place.owner in owners
        # Calls in the source can be matched with those that ran if all ran once and in order;
        # else all calls of the module are selected.
        kind = (place.owner, place.what.function)
        same = [other.what for other in calls if (other.owner, other.what.function) == kind]
        in_order = all(site.method == "forward" and not site.repeats for site in same)
        is_known = in_order and ran[kind] == written[kind] and kind not in partly
        return (place.layer, place.what.function) in dead or not is_known

    return [place for place in places if is_dead(place)]
