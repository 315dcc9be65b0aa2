"""What the user brings beside the data: how a network is made, and how it is trained."""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from leakyrelu._compare.data.task import Task, name_of
from leakyrelu._compare.fingerprint import hash_in_use, hash_of
from leakyrelu._compare.networks.noise import kept_generators, seed_generators
from leakyrelu._data.loading import called
from leakyrelu._errors import InputError
from leakyrelu.activations import Activation
from leakyrelu.treatment._replace import replace

__all__ = ["Recipe", "fingerprint", "make_recipe"]


default_optimizer = functools.partial(torch.optim.Adam, fused=True)


def default_schedule(
    optimizer: torch.optim.Optimizer, steps: int
) -> torch.optim.lr_scheduler.LRScheduler:
    """Let the learning rate go to 0 along a half cosine."""
    return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)


@dataclass(frozen=True)
class Recipe:
    """How networks are made and trained; make it with `make_recipe`.

    Attributes
    ----------
    model : callable or None
        Returns a new network of the user's; None for the networks that are made here.
    optimizer : callable
        Given parameter groups and a learning rate, returns the optimizer.
    schedule : callable
        Given the optimizer and the number of steps, returns what is stepped after each.
    notes : list of str
        What should be known about the model, in sentences.
    """

    model: Callable[[], nn.Module] | None = None
    optimizer: Callable[..., torch.optim.Optimizer] = default_optimizer
    schedule: Callable[[torch.optim.Optimizer, int], Any] = default_schedule
    notes: list[str] = field(default_factory=list)

    def make(self, seed: int) -> Any:
        """Call the user's function, with the generators of a seed: PyTorch's and others."""
        assert self.model is not None
        with kept_generators():
            seed_generators(seed)
            return self.model()

    def build(self, activation: Activation, seed: int) -> nn.Module:
        """Make a network whose rectifiers are `activation`.

        Its initial weights are those that the user's function draws after
        ``torch.manual_seed(seed)``, and the same of NumPy's and Python's generator. They are the
        same for every activation up to the gain.
        """
        model = self.make(seed)
        if not isinstance(model, nn.Module):
            raise InputError(
                f"{self.name}() returned a {type(model).__name__}, but should return a "
                "new torch.nn.Module each time"
            )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # said once, by make_recipe
            return replace(model, activation, rescale=True, inplace=True)

    def make_optimizer(self, groups: list[dict[str, Any]], rate: float) -> torch.optim.Optimizer:
        """Call the user's function, and refuse what can't be stepped by gradients alone."""
        _refuse_if_asking("optimizer", getattr(self.optimizer, "func", self.optimizer))
        optimizer = self.optimizer(groups, lr=rate)
        if not isinstance(optimizer, torch.optim.Optimizer):
            raise InputError(
                f"the optimizer is a {type(optimizer).__name__}, but should be a "
                "torch.optim.Optimizer"
            )
        _refuse_if_asking("optimizer", optimizer)
        return optimizer

    def make_schedule(self, optimizer: torch.optim.Optimizer, steps: int) -> Any:
        """Call the user's function, and refuse what does not go by the number of steps."""
        _refuse_if_asking("schedule", getattr(self.schedule, "func", self.schedule))
        _refuse_other_numbers(self.schedule)
        schedule = self.schedule(optimizer, steps)
        if not hasattr(schedule, "step"):
            raise InputError(
                f"the schedule is a {type(schedule).__name__}, but should have a method step(), as "
                "those of torch.optim.lr_scheduler do"
            )
        _refuse_if_asking("schedule", schedule)
        return schedule

    @property
    def name(self) -> str | None:
        """What people call the model."""
        if self.model is None:
            return None
        inner = getattr(self.model, "func", self.model)
        return f"{getattr(inner, '__module__', '')}:{name_of(self.model)}".removeprefix("__main__:")


_INSTEAD = {
    "optimizer": "take one that needs the gradients alone, such as torch.optim.Adam or SGD",
    "schedule": "take one that goes by the number of steps, such as CosineAnnealingLR, the default",
}
# What the classes of torch.optim.lr_scheduler call a number of steps.
_STEPS = {"T_max", "T_0", "total_iters"}


def _refuse_if_asking(role: str, own: Any) -> None:
    """Refuse an object, or the class of one, whose step has to be given something."""
    if not hasattr(own, "step"):
        return
    parameters = inspect.signature(own.step).parameters.values()
    needed = [
        p.name
        for p in parameters
        if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    ]
    needed = [name for name in needed if name != "self"]
    if needed:
        name = getattr(own, "__name__", type(own).__name__)
        raise InputError(
            f"{role} {name} can't be used: its step() needs {', '.join(needed)}, but is called "
            f"after each batch with nothing; {_INSTEAD[role]}"
        )


def _refuse_other_numbers(schedule: Callable[..., Any]) -> None:
    """Refuse a class of PyTorch, or a partial of it, that would take the steps for something else.

    Some would go on without an error: steps as the factor of an ExponentialLR.
    """
    own = getattr(schedule, "func", schedule)
    if not (isinstance(own, type) and own.__module__ == "torch.optim.lr_scheduler"):
        return
    parameters = list(inspect.signature(schedule).parameters.values())
    free = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD][1:]
    if not free or free[0] not in _STEPS:
        takes = f"takes {free[0]} after the optimizer" if free else "takes the optimizer alone"
        example = _EXAMPLES.get(own.__name__, "optimizer, ...")
        raise InputError(
            f"schedule {own.__name__} {takes}, not the number of steps; give a function of both: "
            f"lambda optimizer, steps: {own.__name__}({example})"
        )


_EXAMPLES = {
    "OneCycleLR": "optimizer, [g['lr'] for g in optimizer.param_groups], total_steps=steps + 1",
    "StepLR": "optimizer, max(steps // 3, 1)",
    "MultiStepLR": "optimizer, [steps // 2, 3 * steps // 4]",
    "ExponentialLR": "optimizer, 0.01 ** (1 / steps)",
    "LinearLR": "optimizer, 1.0, 0.01, steps",
    "ConstantLR": "optimizer, 0.1, steps // 10",
}


def make_recipe(
    model: Any, optimizer: Callable[..., Any] | None, schedule: Callable[..., Any] | None
) -> Recipe:
    """Check what the user brings, and make a `Recipe` of it.

    Raises
    ------
    InputError
        If the model can't be made, or has nothing to compare.
    """
    given = {"model": model, "optimizer": optimizer, "schedule": schedule}
    if isinstance(model, nn.Module):
        raise InputError(
            "model is a network, but a new one is needed for every trial: give a function that "
            f"returns it, such as lambda: {type(model).__name__}(...)"
        )
    for name in ("optimizer", "schedule"):
        if given[name] is not None and not callable(given[name]):
            raise InputError(
                f"{name} is of type {type(given[name]).__name__}, but every network needs its own: "
                f"give a function that makes it, or its class"
            )
    recipe = Recipe(**{name: value for name, value in given.items() if value is not None})
    if model is None:
        return recipe
    if not callable(model):
        raise InputError(
            f"model is a {type(model).__name__}, but should be a function that returns a new "
            "torch.nn.Module; give data as data="
        )
    made = called(functools.partial(recipe.make, 0), f"{recipe.name}()")
    if isinstance(made, nn.Module):
        if not any(parameter.requires_grad for parameter in made.parameters()):
            raise InputError(f"{recipe.name}(): it has no parameters to train, or all are frozen")
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                replace(made, "prelu", rescale=True, inplace=True)
            except ValueError as error:
                raise InputError(f"{recipe.name}(): {error}") from error
        recipe.notes.extend(f"The model: {warning.message}." for warning in caught)
        recipe.notes.extend(_beginnings(recipe))
    if recipe.build(Activation("relu"), 0) is made:
        raise InputError(
            f"{recipe.name}() returned the same network twice; make a new one each time"
        )
    return recipe


def _beginnings(recipe: Recipe) -> Iterator[str]:
    """Say where the weights that networks begin with do not follow the seed."""
    first, again, other = (_state(recipe.make(seed)) for seed in (0, 0, 1))
    changing = [name for name, value in first.items() if not _is_same(value, again.get(name))]
    if changing:
        yield (
            f"{recipe.name}() draws other numbers each time, also for the same seed "
            f"({changing[0]} for one): networks of a seed are not paired in them. Draw from "
            "PyTorch's, NumPy's or Python's own generator, which are seeded before each call."
        )
    elif first and all(_is_same(value, other.get(name)) for name, value in first.items()):
        yield (
            f"{recipe.name}() begins with the same weights for every seed, as after "
            "torch.manual_seed() in it or where weights are loaded: seeds then differ in split, "
            "order and dropout only."
        )


def _state(model: nn.Module) -> dict[str, torch.Tensor]:
    return dict(model.named_parameters()) | dict(model.named_buffers())


def _is_same(one: torch.Tensor, other: torch.Tensor | None) -> bool:
    return other is not None and torch.equal(one, other)


def fingerprint(task: Task, recipe: Recipe) -> str | None:
    """Hash what the user has brought: the same code and the same networks give the same text."""
    brought = [task.loss, task.metric, recipe.model, recipe.optimizer, recipe.schedule]
    defaults = [None, None, *(getattr(Recipe(), n) for n in ("model", "optimizer", "schedule"))]
    if brought == defaults:
        return None
    networks: set[str] = set()

    def make() -> None:
        if recipe.model is not None:
            networks.update(hash_of(recipe.make(0)) for _ in range(2))

    known = hash_in_use(brought, make)
    # A network with something else in it each time, such as the time, is known by its code alone.
    return hash_of((known, *(networks if len(networks) == 1 else ())))[:16]
