"""What the user gives besides the data: how networks are made and trained."""

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
    """Decay the learning rate to 0 along a half cosine."""
    return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)


@dataclass(frozen=True)
class Recipe:
    """How networks are made and trained; built by `make_recipe`.

    Attributes
    ----------
    model : callable or None
        Returns a new network; None for the built-in ones.
    optimizer : callable
        Given parameter groups and a learning rate, returns the optimizer.
    schedule : callable
        Given the optimizer and the number of steps, returns a scheduler that is stepped after each
        of them.
    notes : list of str
        What the user should know about the model, in sentences.
    """

    model: Callable[[], nn.Module] | None = None
    optimizer: Callable[..., torch.optim.Optimizer] = default_optimizer
    schedule: Callable[[torch.optim.Optimizer, int], Any] = default_schedule
    notes: list[str] = field(default_factory=list)

    def make(self, seed: int) -> Any:
        """Call the user's function with the global generators seeded."""
        assert self.model is not None
        with kept_generators():
            seed_generators(seed)
            return self.model()

    def build(self, activation: Activation, seed: int) -> nn.Module:
        """Make a network whose activations are `activation`.

        Its initial weights are those that the user's function draws after
        ``torch.manual_seed(seed)``, with NumPy's and Python's generators seeded too. They are the
        same for every activation, up to the gain.
        """
        model = self.make(seed)
        if not isinstance(model, nn.Module):
            raise InputError(
                f"{self.name}() returned a {type(model).__name__}, but should return a "
                "new torch.nn.Module each time"
            )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # make_recipe has already noted them
            return replace(model, activation, rescale=True, inplace=True)

    def make_optimizer(self, groups: list[dict[str, Any]], rate: float) -> torch.optim.Optimizer:
        """Call the user's function; refuse an optimizer that needs more than gradients."""
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
        """Call the user's function; refuse a scheduler not based on the number of steps."""
        _refuse_if_asking("schedule", getattr(self.schedule, "func", self.schedule))
        _refuse_other_numbers(self.schedule)
        schedule = self.schedule(optimizer, steps)
        if not hasattr(schedule, "step"):
            raise InputError(
                f"the schedule is a {type(schedule).__name__}, but should have a step() method, "
                "like those of torch.optim.lr_scheduler"
            )
        _refuse_if_asking("schedule", schedule)
        return schedule

    @property
    def name(self) -> str | None:
        """The model's name: module and function."""
        if self.model is None:
            return None
        inner = getattr(self.model, "func", self.model)
        return f"{getattr(inner, '__module__', '')}:{name_of(self.model)}".removeprefix("__main__:")


_INSTEAD = {
    "optimizer": "use one that needs only gradients, such as torch.optim.Adam or SGD",
    "schedule": "use one based on the number of steps, such as the default, CosineAnnealingLR",
}
# Parameters of torch.optim.lr_scheduler's classes that are a number of steps.
_STEPS = {"T_max", "T_0", "total_iters"}


def _refuse_if_asking(role: str, own: Any) -> None:
    """Refuse an object, or a class, whose step() has required arguments."""
    if not hasattr(own, "step"):
        return
    needed = [
        p.name
        for p in inspect.signature(own.step).parameters.values()
        if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
        if p.name != "self"
    ]
    if needed:
        name = getattr(own, "__name__", type(own).__name__)
        raise InputError(
            f"{role} {name} can't be used: its step() needs {', '.join(needed)}, but is called "
            f"without arguments after each batch; {_INSTEAD[role]}"
        )


def _refuse_other_numbers(schedule: Callable[..., Any]) -> None:
    """Refuse a scheduler class, or a partial of one, whose next argument is not a number of steps.

    Some would silently run: ExponentialLR would take it as its factor.
    """
    own = getattr(schedule, "func", schedule)
    if not (isinstance(own, type) and own.__module__ == "torch.optim.lr_scheduler"):
        return
    parameters = list(inspect.signature(schedule).parameters.values())
    free = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD][1:]
    if not free or free[0] not in _STEPS:
        takes = f"takes {free[0]} after the optimizer" if free else "takes only the optimizer"
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
    """Check what the user gives, and make a `Recipe` from it."""
    given = {"model": model, "optimizer": optimizer, "schedule": schedule}
    if isinstance(model, nn.Module):
        raise InputError(
            "model is a network, but every trial needs a new one: give a function that returns it, "
            f"such as lambda: {type(model).__name__}(...)"
        )
    for name in ("optimizer", "schedule"):
        if given[name] is not None and not callable(given[name]):
            raise InputError(
                f"{name} is a {type(given[name]).__name__}, but every network needs its own: give "
                "its class, or a function that makes it"
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
            raise InputError(f"{recipe.name}() has no trainable parameters; unfreeze some")
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
    """Note initial weights that do not depend on the seed as they should."""
    made = [recipe.make(seed) for seed in (0, 0, 1)]
    first, again, other = (dict([*m.named_parameters(), *m.named_buffers()]) for m in made)

    def changes(name: str, other: dict[str, torch.Tensor]) -> bool:
        return name not in other or not torch.equal(first[name], other[name])

    if changing := [name for name in first if changes(name, again)]:
        yield (
            f"{recipe.name}() is not reproducible: {changing[0]}, for example, differs between "
            "calls with the same seed, so networks with the same seed are not paired in it. Draw "
            "from the global generators of PyTorch, NumPy or Python, which are seeded before each "
            "call."
        )
    elif first and not any(changes(name, other) for name in first):
        yield (
            f"{recipe.name}() starts from the same weights for every seed (does it load weights or "
            "call torch.manual_seed()?): seeds differ only in split, order and dropout."
        )


def fingerprint(task: Task, recipe: Recipe) -> str | None:
    """Hash what the user gave: the same code and the same networks give the same text."""
    brought = [task.loss, task.metric, recipe.model, recipe.optimizer, recipe.schedule]
    defaults = [None, None, *(getattr(Recipe(), n) for n in ("model", "optimizer", "schedule"))]
    if brought == defaults:
        return None
    networks: set[str] = set()

    def make() -> None:
        if recipe.model is not None:
            networks.update(hash_of(recipe.make(0)) for _ in range(2))

    known = hash_in_use(brought, make)
    # A network that differs each time, such as by the current time, is known by its code alone.
    return hash_of((known, *(networks if len(networks) == 1 else ())))[:16]
