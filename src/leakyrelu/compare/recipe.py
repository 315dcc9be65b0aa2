"""What the user brings beside the data: how a network is made, and how it is trained."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from leakyrelu.activations import Activation
from leakyrelu.compare.fingerprint import hash_of
from leakyrelu.compare.task import Task, name_of
from leakyrelu.loading import called
from leakyrelu.treatment.replace import replace

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
        """Call the user's function, with PyTorch's generator in the state of a seed."""
        assert self.model is not None
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return self.model()

    def build(self, activation: Activation, seed: int) -> nn.Module:
        """Make a network whose rectifiers are `activation`.

        Its initial weights are those that the user's function draws after
        ``torch.manual_seed(seed)``, the same for every activation up to the gain.
        """
        model = self.make(seed)
        if not isinstance(model, nn.Module):
            raise ValueError(
                f"{self.name}() returned a {type(model).__name__}, but should return a "
                "new torch.nn.Module each time"
            )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # said once, by make_recipe
            return replace(model, activation, rescale=True, inplace=True)

    @property
    def name(self) -> str | None:
        """What people call the model."""
        if self.model is None:
            return None
        inner = getattr(self.model, "func", self.model)
        return f"{getattr(inner, '__module__', '')}:{name_of(self.model)}".removeprefix("__main__:")


def make_recipe(
    model: Any, optimizer: Callable[..., Any] | None, schedule: Callable[..., Any] | None
) -> Recipe:
    """Check what the user brings, and make a `Recipe` of it.

    Raises
    ------
    ValueError
        If the model can't be made, or has nothing to compare.
    """
    given = {"model": model, "optimizer": optimizer, "schedule": schedule}
    if isinstance(model, nn.Module):
        raise ValueError(
            "model is a network, but a new one is needed for every trial: give a function that "
            f"returns it, such as lambda: {type(model).__name__}(...)"
        )
    recipe = Recipe(**{name: value for name, value in given.items() if value is not None})
    if model is None:
        return recipe
    if not callable(model):
        raise ValueError(
            f"model is a {type(model).__name__}, but should be a function that returns a new "
            "torch.nn.Module; give data as data="
        )
    made = called(functools.partial(recipe.make, 0), f"{recipe.name}()")
    if isinstance(made, nn.Module):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                replace(made, "prelu", rescale=True, inplace=True)
            except ValueError as error:
                raise ValueError(f"{recipe.name}(): {error}") from error
        recipe.notes.extend(f"The model: {warning.message}." for warning in caught)
    if recipe.build(Activation("relu"), 0) is made:
        raise ValueError(
            f"{recipe.name}() returned the same network twice; make a new one each time"
        )
    return recipe


def fingerprint(task: Task, recipe: Recipe) -> str | None:
    """Hash what the user has brought: the same code and the same networks give the same text."""
    brought = [task.loss, task.metric, recipe.model, recipe.optimizer, recipe.schedule]
    defaults = [None, None, *(getattr(Recipe(), n) for n in ("model", "optimizer", "schedule"))]
    if brought == defaults:
        return None
    # A network with something else in it each time, such as the time, is known by its code alone.
    networks = {hash_of(recipe.make(0)) for _ in range(2)} if recipe.model is not None else set()
    return hash_of((*brought, *(networks if len(networks) == 1 else ())))[:16]
