"""How and where an experiment is trained: the names and versions stored with its trials."""

from __future__ import annotations

import functools
import importlib.metadata
import os
import platform
from collections.abc import Callable
from typing import Any

import torch

from leakyrelu._compare.data.task import Task, name_of
from leakyrelu._compare.networks.recipe import Recipe, default_optimizer, default_schedule

__all__ = ["OPTIMIZER", "SCHEDULE", "environment"]

OPTIMIZER, SCHEDULE = "Adam", "cosine decay to 0"  # the defaults
LOSSES = {"classification": "cross-entropy", "regression": "mean squared error"}
PACKAGES = ("leakyrelu", "torch", "numpy", "scipy", "scikit-learn")


def environment(task: Task, recipe: Recipe) -> dict[str, str]:
    """Return the optimizer, schedule, loss and metric, and the versions and machine."""
    is_default = recipe.optimizer is default_optimizer, recipe.schedule is default_schedule
    return {
        "optimizer": OPTIMIZER if is_default[0] else _named(recipe.optimizer),
        "schedule": SCHEDULE if is_default[1] else _named(recipe.schedule),
        "loss": _named(task.loss) if task.loss else LOSSES[task.kind],
        "metric": _named(task.metric) if task.metric else task.score.name,
        **{package: importlib.metadata.version(package) for package in PACKAGES},
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, "
        f"{torch.get_num_threads()} threads",
    }


def _named(function: Callable[..., Any]) -> str:
    """Name a function, with the arguments of a partial: ``SGD(momentum=0.9)``."""
    inner = getattr(function, "func", function)
    module = str(getattr(inner, "__module__", None) or "__main__")
    name = name_of(function)
    if not module.startswith(("torch.", "__main__")):  # others may share that name
        name = f"{module}.{name}"
    if isinstance(function, functools.partial):
        given = [*map(repr, function.args), *(f"{k}={v!r}" for k, v in function.keywords.items())]
        name += f"({', '.join(given)})"
    return " ".join(name.split())
