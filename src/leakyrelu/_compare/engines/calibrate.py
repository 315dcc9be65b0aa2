"""Finds the fastest way to train on this machine by measuring for a second or two."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, count

import torch
from torch import Tensor

from leakyrelu._compare.memory import available_memory
from leakyrelu._compare.networks.models import SingleModel
from leakyrelu._compare.networks.noise import kept_generators
from leakyrelu._compare.settings import Batch
from leakyrelu._compare.training.stackable import reason_against
from leakyrelu._compare.training.train import Experiment, Training
from leakyrelu._compare.trial import Key
from leakyrelu._errors import InputError
from leakyrelu.treatment._places import replaced_modules

__all__ = ["Way", "calibrate", "seconds_a_step", "told"]

STACKS = (4, 16, 64)
SECONDS = 0.2  # how long each way is measured, but for at least STEPS
STEPS = 3
STACKS_GAIN = 0.9  # a stack slower than this fraction of the time alone is not worth its memory
MEMORY_SHARE = 0.25  # of the available memory, for what trains at once


@dataclass(frozen=True)
class Way:
    """How the trials of an experiment are trained.

    Attributes
    ----------
    stack : int
        How many networks train as one stack; 1 means one at a time.
    seconds : float
        Measured time per step per network.
    seconds_alone : float
        Time per step of one network that trains alone, with all threads.
    note : str
        Why networks are not stacked, if they can't be.
    workers : int
        How many processes train at the same time; with several, each has one thread.
    where : str
        These processes, in words.
    """

    stack: int
    seconds: float
    seconds_alone: float
    note: str = ""
    workers: int = 1
    where: str = ""

    @property
    def stacked(self) -> bool:
        """Whether networks are stacked at all."""
        return self.stack > 1

    def __str__(self) -> str:
        networks = f"stacks of {self.stack}" if self.stacked else "one at a time"
        where = f" {self.where}" if self.where else ""
        is_alone = self.seconds == self.seconds_alone
        alone = "" if is_alone else f", {_time(self.seconds_alone)} alone"
        note = f" ({self.note})" if self.note else ""
        return f"{networks}{where}: {_time(self.seconds)} per step per network{alone}{note}"


def _time(seconds: float) -> str:
    return f"{1e6 * seconds:,.0f} µs" if seconds < 0.01 else f"{1e3 * seconds:,.0f} ms"


def calibrate(experiment: Experiment, keys: Sequence[Key]) -> Way:
    """Measure the ways of training in this process; refuse a model that can't be trained."""
    activation = keys[0][0]
    each = sorted((rate, seed) for other, rate, seed in keys if other == activation)

    def batch(size: int) -> Batch:
        return Batch(activation, *zip(*each[:size], strict=True))

    try:
        _look_before(experiment, batch(1))
        alone, memory = _measure(experiment, batch(1), stacked=False)
    except Exception as error:  # whatever the user's own code raises
        what, task = experiment.recipe.name or "the network", experiment.task
        has_whole = task.loss is not None and task.y.dtype.kind == "i"
        hint = "; does the loss need y as float?" if has_whole and "dtype" in str(error) else ""
        raise InputError(
            f"{what} can't be trained on this data with these settings: {told(error)}{hint}"
        ) from error
    best = Way(1, alone, alone, reason_against(experiment, activation, each))
    most = available_memory() * MEMORY_SHARE / max(memory, 1)
    for size in [*(size for size in STACKS if size < len(each)), len(each)]:
        if best.note or not 1 < size <= most:
            break
        seconds, _ = _measure(experiment, batch(size), stacked=True)
        if seconds < (STACKS_GAIN if best.stack == 1 else 1.0) * best.seconds:
            best = Way(size, seconds, alone)
        elif seconds > 1.5 * best.seconds:
            break
    return best


def _look_before(experiment: Experiment, batch: Batch) -> None:
    """Evaluate a network, measure it and take a step; refuse one that can't show a difference."""
    with kept_generators():
        training = Training(experiment, batch, stacked=False)
        own = training.networks
        swapped = replaced_modules(own.model) if isinstance(own, SingleModel) else {}
        called: set[str] = set()
        for name, module in swapped.items():
            module.register_forward_hook(lambda *_, name=name: called.add(name))
        training.test()
        (look,) = training.look()[0]
        next(training.epoch())
    if not swapped:  # built-in networks always call it
        return
    names, verb = ", ".join(swapped), "is" if len(swapped) == 1 else "are"
    if not called:
        raise InputError(
            f"{names} {verb} never called in forward, so every activation would train the same "
            "network; call the activations to compare there"
        )
    if not look.layers:
        raise InputError(
            f"{names} {verb} called only in training mode, but networks are scored in evaluation "
            "mode; call the activations to compare in both"
        )


def told(error: BaseException) -> str:
    """Describe in one line what the user's code raised; an InputError already is a sentence."""
    text = " ".join(str(error).split())
    return text if isinstance(error, InputError) else f"{type(error).__name__}: {text}"


def seconds_a_step(experiment: Experiment, batch: Batch, stacked: bool) -> float:
    """Measure the seconds per step per network of a batch."""
    return _measure(experiment, batch, stacked)[0]


def _measure(experiment: Experiment, batch: Batch, stacked: bool) -> tuple[float, float]:
    """Return seconds per step per network, and bytes per network."""
    # The schedule must not end, however many steps are measured.
    endless = dataclasses.replace(experiment.settings, epochs=10**6)
    experiment = dataclasses.replace(experiment, settings=endless)
    with kept_generators():
        training = Training(experiment, batch, stacked)
        steps = chain.from_iterable(training.epoch() for _ in count())
        with _bytes_saved() as saved:
            next(steps)  # the first step is slower
        taken, start, seconds = 0, time.perf_counter(), 0.0
        while taken < STEPS or seconds < SECONDS:
            next(steps)
            taken += 1
            seconds = time.perf_counter() - start
    return seconds / taken / len(batch), sum(saved) / len(batch) + training.bytes_of_state


@contextmanager
def _bytes_saved() -> Iterator[list[int]]:
    """Collect how many bytes are saved for the backward pass."""
    found: list[int] = []

    def pack(x: Tensor) -> Tensor:
        found.append(x.numel() * x.element_size())
        return x

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        yield found
