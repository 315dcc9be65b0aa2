"""A comparison's settings, and its trials in batches that train together."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from leakyrelu._compare.trial import Key
from leakyrelu._errors import InputError
from leakyrelu.activations import KINDS, Activation, parse

__all__ = ["DEFAULT_ACTIVATIONS", "Batch", "Settings", "batches", "check_rope", "make_settings"]

DEFAULT_ACTIVATIONS = (
    "relu",
    "leaky_relu:0.01",
    "leaky_relu:0.2",
    "prelu",
    "rrelu",
    "elu",
    "gelu",
    "silu",
)

# Fields of settings that may change later, or grow.
CAN_CHANGE = ("activations", "learning_rates", "seeds", "asked")
PROTOCOL = 4
DEPTH, WIDTH = 24, 32  # of the networks made here
WHOLE = (int, np.integer)


@dataclass(frozen=True)
class Batch:
    """Trials of one activation that train as one stack of networks.

    Attributes
    ----------
    activation : Activation
    learning_rates, seeds : tuple
        One per trial; trials with the same learning rate are adjacent.
    """

    activation: Activation
    learning_rates: tuple[float, ...]
    seeds: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.seeds)


@dataclass(frozen=True)
class Settings:
    """Everything that decides a comparison's numbers; built by `make_settings`.

    Epochs, batch size and the only learning rate are 0 where they are not known.
    """

    data: str
    activations: tuple[Activation, ...]
    seeds: tuple[int, ...]
    epochs: int
    learning_rates: tuple[float, ...]
    batch_size: int = 64
    # Of the built-in networks; None with the user's own model.
    depth: int | None = None
    width: int | None = None
    # The user's model, loss and so on: a readable name, and a hash of their code.
    model: str | None = None
    recipe: str | None = None
    # Raised when a change to the training makes other numbers of the same settings.
    protocol: int = PROTOCOL
    # How many seeds were asked for, run by run; the first number is what was planned.
    asked: tuple[int, ...] = ()

    def to_json(self) -> str:
        """Return the settings as text; equal settings give equal text."""
        return json.dumps(self._as_text(), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Settings:
        """Read what `to_json` wrote."""
        fields: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in json.loads(text).items()
        }
        return cls(**{**fields, "activations": tuple(map(parse, fields["activations"]))})

    def _as_text(self) -> dict[str, Any]:
        return {**vars(self), "activations": list(map(str, self.activations))}

    @property
    def identity(self) -> dict[str, Any]:
        """All that decides the numbers of a trial: not which others there are."""
        return {n: v for n, v in self._as_text().items() if n not in CAN_CHANGE}

    @property
    def planned(self) -> int:
        """How many seeds were planned before the first look."""
        return self.asked[0] if self.asked else len(self.seeds)

    @property
    def is_of_earlier_version(self) -> bool:
        """Whether trials were trained in another way, without results of each example."""
        return self.protocol < PROTOCOL

    def added_to(self, stored: Settings, begun: Collection[int]) -> Settings:
        """Return these settings for an experiment that has begun.

        Its seeds, those that were begun, stay and come first; what was planned stays planned.
        """
        kept = [seed for seed in stored.seeds if seed in begun]
        seeds = (*kept, *(seed for seed in self.seeds if seed not in kept))
        asked = stored.asked if begun else ()
        if len(seeds) not in asked:
            asked = (*asked, len(seeds))
        return dataclasses.replace(self, seeds=seeds, asked=asked)

    @property
    def fingerprint(self) -> str:
        """Short hash that identifies the experiment."""
        text = json.dumps(self.identity, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:8]

    def cover(self, key: Key) -> bool:
        """Whether a trial belongs to these settings."""
        return key[0] in self.activations and key[1] in self.learning_rates and key[2] in self.seeds

    @property
    def reference(self) -> Activation:
        """The activation that all others are compared with: relu if present, else the first."""
        relu = parse("relu")
        return relu if relu in self.activations else self.activations[0]

    @property
    def network(self) -> str:
        """The network, in words; none if it is not known."""
        layers = f"{self.depth} hidden layers of {self.width} units" if self.depth else ""
        return self.model or layers

    @property
    def candidates(self) -> str:
        """The candidates, in words."""
        rates = ", ".join(f"{rate:g}" for rate in self.learning_rates)
        return f"{', '.join(map(str, self.activations))} at learning rates {rates}"

    @property
    def trials(self) -> int:
        """How many networks are trained at most."""
        return len(self.activations) * len(self.learning_rates) * len(self.seeds)


def batches(keys: Iterable[Key], most: int) -> list[Batch]:
    """Divide trials into batches of one activation each and at most `most` trials."""
    by_activation: dict[Activation, list[tuple[float, int]]] = {}
    for activation, rate, seed in keys:
        by_activation.setdefault(activation, []).append((rate, seed))
    found = []
    for activation, each in by_activation.items():
        size = math.ceil(len(each) / math.ceil(len(each) / most))  # even sizes, not 29 and 1
        found += [
            Batch(activation, *zip(*sorted(each[start : start + size]), strict=True))
            for start in range(0, len(each), size)
        ]
    return found


def make_settings(
    data: str,
    activations: Iterable[str | Activation | Callable[..., Any]],
    seeds: int | Sequence[int],
    epochs: int,
    learning_rates: float | Sequence[float],
    *,
    batch_size: int = 64,
    depth: int | None = None,
    width: int | None = None,
    model: str | None = None,
    recipe: str | None = None,
    is_stacked: bool = False,
) -> Settings:
    """Check the user's settings."""
    if isinstance(activations, (str, Activation)) or callable(activations):
        activations = [activations]
    if not isinstance(activations, Iterable):
        raise InputError(
            f"activations is {activations!r}, but should be a list of two or more, such as "
            "['relu', 'elu']"
        )
    parsed = tuple(map(parse, activations))
    if len(parsed) < 2:
        raise InputError(
            f"the number of activations is {len(parsed)}, but a comparison needs two or more"
        )
    _refuse_repeats("activation", parsed)
    own = {str(each): KINDS[each] for each in parsed if callable(KINDS[each.name].module)}
    for own_name, kind in own.items():
        if kind.is_learned and is_stacked:
            raise InputError(
                f"{own_name} has parameters to learn; give a model= that it is put into"
            )
    if own:  # other code of the same name is another experiment
        from leakyrelu._compare.fingerprint import hash_of  # which imports PyTorch

        code = hash_of([(each, own[each].module) for each in sorted(own)])
        recipe = f"{recipe or ''} {code}".strip()
    if isinstance(seeds, WHOLE):
        if seeds < 1:
            raise InputError(f"seeds is {seeds}, but a comparison needs 1 or more (10 is usual)")
        seeds = range(int(seeds))
    seeds = list(seeds) if isinstance(seeds, Iterable) else [seeds]
    if not seeds or any(not isinstance(seed, WHOLE) or not 0 <= seed < 2**32 for seed in seeds):
        raise InputError(
            f"seeds must be whole numbers from 0 to 2**32 - 1, at least one, but are {seeds}"
        )
    _refuse_repeats("seed", seeds)
    counts = {"epochs": epochs, "batch_size": batch_size}
    if model is None:
        depth = DEPTH if depth is None else depth
        counts = {"depth": depth, "width": WIDTH if width is None else width, **counts}
    elif depth is not None or width is not None:
        raise InputError(
            f"depth and width are for the built-in network, but the model is {model}; leave them "
            "out"
        )
    for name, value in counts.items():
        if not isinstance(value, WHOLE) or value < 1:
            told = name.replace("_", " ")
            raise InputError(f"{told} is {value!r}, but must be a whole number, 1 or more")
    if isinstance(learning_rates, (int, float, str, np.number)):
        learning_rates = (learning_rates,)
    try:
        rates = tuple(float(rate) for rate in learning_rates)
    except (TypeError, ValueError):
        rates = ()
    if not rates or any(not (math.isfinite(rate) and rate > 0) for rate in rates):
        raise InputError(
            f"learning rates must be positive numbers, at least one, but are {learning_rates}"
        )
    _refuse_repeats("learning rate", rates)
    return Settings(
        data=data,
        activations=parsed,
        seeds=tuple(int(seed) for seed in seeds),
        learning_rates=tuple(sorted(rates)),
        model=model,
        recipe=recipe,
        asked=(len(seeds),),
        **{name: int(value) for name, value in counts.items()},
    )


def check_rope(rope: float) -> None:
    """Refuse a rope that is not a finite number, 0 or more."""
    if not isinstance(rope, (int, float, np.number)) or not 0 <= rope < math.inf:
        raise InputError(f"rope must be a difference of scores, 0 or more, but is {rope!r}")


def _refuse_repeats(what: str, values: Sequence[Any]) -> None:
    for value in values:
        if list(values).count(value) > 1:
            raise InputError(f"{what} {value} was given twice; give each once")
