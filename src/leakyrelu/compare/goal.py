"""What the outputs of networks should be: the loss they train by and the score they get.

Outputs and targets of several networks lie one behind the other, on the first axis.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor
from torch.func import vmap
from torch.nn import functional as F  # noqa: N812 - its usual name

from leakyrelu.compare.task import Task, name_of
from leakyrelu.loading import called

__all__ = ["Judge", "losses"]


def losses(task: Task, outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the mean loss of each network, shape (networks,)."""
    if task.loss is not None:
        if len(outputs) == 1:  # not every loss can be computed for several at once
            found = _answer("loss", task.loss, outputs[0], targets[0])
            if outputs.requires_grad and not found.requires_grad:
                raise ValueError(
                    f"loss {name_of(task.loss)}() returned a number without a gradient; compute it "
                    "of the outputs with PyTorch alone, without detach() or item()"
                )
            return found.reshape(1)
        return vmap(task.loss)(outputs, targets)  # type: ignore[no-any-return]
    if task.kind == "classification":
        _refuse_misfits(outputs, targets)
        try:
            each = F.cross_entropy(outputs.flatten(0, 1), targets.flatten(0, 1), reduction="none")
        except IndexError as error:
            raise ValueError(
                f"the model has {outputs.shape[2]} outputs, but class numbers go up to "
                f"{task.y.max()}; it needs {task.y.max() + 1}, or kind='regression' if these are "
                "no classes"
            ) from error
    else:
        each = (_like(targets, outputs) - targets).square()
    return each.reshape(len(outputs), -1).mean(1)


def _answer(role: str, own: Callable[..., Any], outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the one number that a loss or metric of the user's gives."""
    whose = f"{role} {name_of(own)}()"
    try:
        result = called(lambda: own(outputs, targets), whose)
    except ValueError as error:
        given = [f"{str(x.dtype)[6:]} of shape {tuple(x.shape)}" for x in (outputs, targets)]
        hint = (
            "" if targets.is_floating_point() else "; if it takes no whole numbers, give y as float"
        )
        raise ValueError(f"{error}; outputs are {given[0]}, targets {given[1]}{hint}") from error
    found = result
    if not isinstance(result, (Tensor, str)):
        with suppress(TypeError, ValueError):  # a number of Python or NumPy
            found = torch.tensor(float(result))
    if not isinstance(found, Tensor) or found.numel() != 1:
        shape = f" of shape {tuple(result.shape)}" if hasattr(result, "shape") else ""
        raise ValueError(
            f"{whose} returned a {type(result).__name__}{shape}, but should return one number"
        )
    return found


def _refuse_misfits(outputs: Tensor, targets: Tensor) -> None:
    """Refuse outputs that have no value for each class, where the targets have a class number."""
    found, numbers = outputs.shape[2:], targets.shape[2:]
    if len(found) == 0 or found[1:] != numbers:
        wanted = ", ".join(map(str, ("classes", *numbers)))
        hint = ""
        if len(found) and found == numbers:
            hint = "; give y.argmax(1) of one-hot targets, or several labels as float, with a loss"
        raise ValueError(
            f"class numbers of shape {tuple(numbers)} for each example need outputs of shape "
            f"({wanted}), but the model's have {tuple(found)}{hint}"
        )


def _like(targets: Tensor, outputs: Tensor) -> Tensor:
    """Leave out the last axis of one value that the outputs have and the targets have not."""
    if outputs.shape == (*targets.shape, 1):
        return outputs.squeeze(-1)
    if outputs.shape != targets.shape:
        raise ValueError(
            f"the model's outputs have shape {tuple(outputs.shape[2:])} for each example, but the "
            f"targets {tuple(targets.shape[2:])}; give targets like the outputs, class numbers as "
            "whole numbers (int64), or a loss"
        )
    return outputs


class Judge:
    """Scores and losses over all batches of a part of the examples."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._examples = 0
        self._loss = self._score = torch.zeros(())
        self._outputs: list[Tensor] = []  # kept for a metric of the user's own only
        self._targets: list[Tensor] = []

    def add(self, outputs: Tensor, targets: Tensor) -> None:
        """Judge the outputs of one batch, (networks, examples, ...)."""
        examples = outputs.shape[1]
        loss = losses(self._task, outputs, targets)
        if self._task.metric is not None:
            self._outputs.append(outputs)
            self._targets.append(targets)
        elif self._task.kind == "classification":
            right = (outputs.argmax(2) == targets).float().reshape(len(outputs), -1).mean(1)
            self._score = self._score + examples * right
        elif self._task.kind == "regression":
            square = (_like(targets, outputs) - targets).square()
            self._score = self._score + examples * square.reshape(len(outputs), -1).mean(1)
            self._targets.append(targets)
        self._loss = self._loss + examples * loss
        self._examples += examples

    def _measured(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return what the user's metric says, in the user's unit."""
        metric, center, scale = self._task.metric, self._task.center, self._task.scale
        assert metric is not None
        if (center, scale) != (0, 1):
            outputs, targets = (center + scale * part for part in (outputs, targets))
        return _answer("metric", metric, outputs, targets).detach().float().reshape(())

    def results(self) -> tuple[list[float], list[float]]:
        """Return score and mean loss of each network; both NaN where the loss is not finite."""
        loss = self._loss / self._examples
        score = self._score / self._examples
        if self._task.metric is not None:
            each = zip(torch.cat(self._outputs, 1), torch.cat(self._targets, 1), strict=True)
            score = torch.stack([self._measured(*pair) for pair in each])
        elif self._task.kind == "regression":
            # Each number of a target varies about its own mean.
            variance = torch.cat(self._targets, 1).var(1, correction=0)
            score = 1 - score / variance.reshape(len(loss), -1).mean(1)
        elif self._task.kind == "custom":
            score = -loss
        is_finite = loss.isfinite().cpu()
        scores: list[float] = torch.where(is_finite, score.cpu(), torch.nan).tolist()
        means: list[float] = torch.where(is_finite, loss.cpu(), torch.nan).tolist()
        return scores, means
