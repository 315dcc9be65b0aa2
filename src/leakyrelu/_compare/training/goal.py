"""How networks' outputs are judged: the training loss and the score.

Outputs and targets of several networks are stacked on the first axis. Every loss and metric,
built-in or the user's own, gets them `aligned`.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.func import vmap
from torch.nn import functional as F  # noqa: N812 - its usual name
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from leakyrelu._compare.data.task import Task, left_out_by, name_of
from leakyrelu._compare.statistics.crossed import influence
from leakyrelu._data.loading import called
from leakyrelu._errors import InputError

__all__ = ["Judge", "aligned", "losses"]


def aligned(outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Give outputs and targets the same shape, where they differ only by axes of size 1.

    Such axes are dropped: (networks, examples, 1) matches (networks, examples). Integer targets
    also lose the axis where the outputs have their classes.

    Examples
    --------
    >>> [part.shape[2:] for part in aligned(torch.zeros(1, 64, 1), torch.zeros(1, 64))]
    [torch.Size([]), torch.Size([])]
    >>> masks = torch.zeros(1, 64, 1, 8, 8, dtype=torch.int64)
    >>> [part.shape[2:] for part in aligned(torch.zeros(1, 64, 21, 8, 8), masks)]
    [torch.Size([21, 8, 8]), torch.Size([8, 8])]
    """
    found, wanted = outputs.shape[2:], targets.shape[2:]
    if found == wanted:
        return outputs, targets
    shapes = [tuple(size for size in shape if size != 1) for shape in (found, wanted)]
    if shapes[0] == shapes[1]:
        shape = min(found, wanted, key=len) if len(found) != len(wanted) else shapes[0]
        outputs, targets = (x.reshape(*x.shape[:2], *shape) for x in (outputs, targets))
    elif not targets.is_floating_point() and wanted == (1, *found[1:]):
        targets = targets.squeeze(2)
    return outputs, targets


def losses(task: Task, outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the mean loss of each network, shape (networks,)."""
    if outputs.ndim == 1:
        raise InputError(
            f"the model returns one number for {targets.shape[1]} examples, but should return "
            "outputs of shape (examples, ...)"
        )
    if task.loss is not None:
        outputs, targets = aligned(outputs, targets)
        if len(outputs) == 1:  # not every loss can be vectorized over networks
            found = _answer(task, "loss", task.loss, outputs[0], targets[0])
            if outputs.requires_grad and not found.requires_grad:
                raise InputError(
                    f"loss {name_of(task.loss)}() returned a number without a gradient; compute it "
                    "from the outputs with PyTorch only, without detach() or item()"
                )
            return found.reshape(1)
        each: Tensor = vmap(task.loss)(outputs, targets)
        return each.reshape(len(outputs))
    if task.kind == "classification":
        targets = _class_numbers(outputs, targets)
        try:
            if len(outputs) == 1:  # bitwise equal to the user's own call of cross_entropy
                return F.cross_entropy(outputs[0], targets[0]).reshape(1)
            each = F.cross_entropy(outputs.flatten(0, 1), targets.flatten(0, 1), reduction="none")
        except IndexError as error:
            raise _too_few_outputs(outputs, targets) from error
    else:
        outputs, targets = _alike(outputs, targets)
        each = (outputs - targets).square()
    return each.reshape(len(outputs), -1).mean(1)


def _answer(
    task: Task, role: str, own: Callable[..., Any], outputs: Tensor, targets: Tensor
) -> Tensor:
    """Return the number that the user's loss or metric gives."""
    whose = f"{role} {name_of(own)}()"

    def answer() -> Any:
        if outputs.requires_grad:  # unchecked in training, for speed
            return own(outputs, targets)
        with warnings.catch_warnings(), _Pairs(outputs, targets):
            warnings.filterwarnings("ignore", "Using a target size")  # it is an error here
            return own(outputs, targets)

    try:
        result = called(answer, whose)
    except ValueError as error:
        given = [f"{str(x.dtype)[6:]} of shape {tuple(x.shape)}" for x in (outputs, targets)]
        hint = ""
        if task.is_table and not targets.is_floating_point():
            hint = "; a table's classes have one output each, as cross_entropy expects"
        elif not targets.is_floating_point():
            hint = "; if it does not take integers, give y as float"
        raise InputError(f"{error}; outputs are {given[0]}, targets {given[1]}{hint}") from error
    found = result
    if not isinstance(result, (Tensor, str)):
        with suppress(TypeError, ValueError):  # a Python or NumPy number
            found = torch.tensor(float(result))
    if not isinstance(found, Tensor) or found.numel() != 1:
        shape = f" of shape {tuple(result.shape)}" if hasattr(result, "shape") else ""
        raise InputError(
            f"{whose} returned a {type(result).__name__}{shape}, but should return one number, "
            "such as the mean"
        )
    return found


class _Pairs(TorchFunctionMode):
    """While active, refuses to broadcast outputs against the targets of other examples.

    Subtracting shapes such as (64,) and (64, 1) does that, and PyTorch's losses also repeat one
    output for several targets. What is computed from outputs alone, from targets alone, or already
    from both, may be combined in any way.
    """

    def __init__(self, outputs: Tensor, targets: Tensor) -> None:
        super().__init__()
        self._given = outputs, targets
        # What was computed from each; kept alive, so that no other tensor gets its id.
        self._made = {id(outputs): outputs}, {id(targets): targets}

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        used = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
        of_outputs, of_targets = ([x for x in used if id(x) in made] for made in self._made)
        is_pair = len(used) == 2 and len(of_outputs) == len(of_targets) == 1
        name = getattr(function, "__name__", "")
        if name == "cross_entropy" and of_outputs and of_outputs[0].ndim == 1:
            raise InputError("cross_entropy() needs one output per class, but there is only one")
        if is_pair and ("loss" in name or name == "kl_div") and of_targets[0].is_floating_point():
            self._refuse(name, of_outputs[0], of_targets[0])
        result = function(*args, **(kwargs or {}))
        if is_pair and self._cross(*of_outputs, *of_targets):
            self._refuse(name, of_outputs[0], of_targets[0], getattr(result, "shape", ()))
        for made, of_it in zip(self._made, (of_outputs, of_targets), strict=True):
            if of_it:
                made.update((id(x), x) for x in tree_leaves(result) if isinstance(x, Tensor))
        return result

    def _refuse(self, name: str, outputs: Tensor, targets: Tensor, made: Any = None) -> None:
        """Refuse different shapes that were broadcast against each other."""
        try:
            both = np.broadcast_shapes(outputs.shape, targets.shape)
        except ValueError:
            return
        if outputs.shape != targets.shape and made in (None, both):
            raise InputError(
                f"{name}() would broadcast outputs of shape {tuple(outputs.shape)} and targets of "
                f"shape {tuple(targets.shape)} to {tuple(both)}; give them the same shape"
            )

    def _cross(self, *both: Tensor) -> bool:
        """Whether two tensors have their examples on different axes."""
        examples = len(self._given[0])
        axes = [[i for i in range(-x.ndim, 0) if x.shape[i] == examples] for x in both]
        return examples > 1 and all(len(own) == 1 for own in axes) and axes[0] != axes[1]


def _class_numbers(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return class indices that fit the outputs' shape, and refuse others."""
    numbers = aligned(outputs, targets)[1]
    found, wanted = outputs.shape[2:], numbers.shape[2:]
    if len(found) == 0 or found[1:] != wanted:
        classes = ", ".join(map(str, ("classes", *wanted)))
        hint = ""
        if len(found) and found == wanted:
            hint = "; give y.argmax(1) of one-hot targets, or several labels as float, with a loss"
        raise InputError(
            f"class indices of shape {tuple(wanted)} per example need outputs of shape "
            f"({classes}), but the model's have shape {tuple(found)}{hint}"
        )
    return numbers


def _too_few_outputs(outputs: Tensor, numbers: Tensor) -> InputError:
    return InputError(
        f"the model has {outputs.shape[2]} outputs, but class indices go up to {numbers.max()}; "
        f"give it {numbers.max() + 1} outputs, or kind='regression' if these are not classes"
    )


def _alike(outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Return outputs and targets of the same shape, and refuse others."""
    found, wanted = aligned(outputs, targets)
    if found.shape != wanted.shape:
        raise InputError(
            f"the model's outputs have shape {tuple(outputs.shape[2:])} per example, but the "
            f"targets {tuple(targets.shape[2:])}; give targets of the outputs' shape, class "
            "indices as int64, or a loss"
        )
    return found, wanted


class Judge:
    """Scores and losses over all batches of a part; it `keeps` what `by_example` needs."""

    def __init__(self, task: Task, keeps: bool = False) -> None:
        self._task = task
        self._keeps = keeps
        self._examples = 0
        self._loss = self._score = self._weight = torch.zeros(())
        self._outputs: list[Tensor] = []  # of all examples, kept where they are needed at once
        self._targets: list[Tensor] = []
        # Of each example: how many positions are right and how many count, or its square error.
        self._each: list[tuple[Tensor, ...]] = []

    def add(self, outputs: Tensor, targets: Tensor) -> None:
        """Add the outputs of one batch, (networks, examples, ...)."""
        examples = outputs.shape[1]
        self._loss = self._loss + examples * losses(self._task, outputs, targets)
        self._examples += examples
        if self._task.metric is not None or (self._keeps and self._task.kind == "custom"):
            outputs, targets = aligned(outputs, targets)
            self._outputs.append(outputs)
            self._targets.append(targets)
        elif self._task.kind == "classification":
            targets = _class_numbers(outputs, targets)
            counts = targets != left_out_by(self._task.loss)
            if counts.any() and targets[counts].max() >= outputs.shape[2]:
                raise _too_few_outputs(outputs, targets[counts])
            right = (outputs.argmax(2) == targets) & counts
            total = counts.reshape(len(counts), -1).sum(1).float()
            share = right.reshape(len(right), -1).sum(1) / total.clamp(min=1)
            weight = examples * (total / (counts.numel() / len(counts)))
            self._score = self._score + weight * share
            self._weight = self._weight + weight
            if self._keeps:
                self._each.append((_of_each(right), _of_each(counts)))
        elif self._task.kind == "regression":
            outputs, targets = _alike(outputs, targets)
            square = (outputs - targets).square()
            self._score = self._score + examples * square.reshape(len(outputs), -1).mean(1)
            self._targets.append(targets)
            if self._keeps:
                self._each.append((_of_each(square),))

    def by_example(
        self, numbers: npt.NDArray[np.int64], scores: Sequence[float]
    ) -> list[npt.NDArray[np.float64]]:
        """Return what each example adds to the score of each network; the mean is the score.

        Of accuracy it is whether the example is right, and of several positions the share of them
        that is. Of what is no mean over examples it is their `influence`; by their `numbers`, of
        rows or groups, they are left out in blocks. Where a score is NaN, nothing is known.
        """
        if self._each and self._task.kind == "classification":
            right, counts = (torch.cat(part, 1).numpy() for part in zip(*self._each, strict=True))
            with np.errstate(divide="ignore", invalid="ignore"):  # where nothing counts
                if (counts == counts[:, :1]).all():
                    return list(right / counts)
                share = right.sum(1, keepdims=True) / counts.sum(1, keepdims=True)
                return list(share + (right - share * counts) / counts.mean(1, keepdims=True))
        found = []
        for network, (own, score) in enumerate(zip(numbers, scores, strict=True)):
            if math.isnan(score):
                found.append(np.full(len(own), math.nan))
                continue
            score_of = self._scorer(network)

            def defined(kept: npt.NDArray[np.int64], score_of: Any = score_of) -> float:
                try:
                    return _finite(float(score_of(torch.from_numpy(kept))))
                except InputError:  # as a metric may refuse what lacks a class
                    return math.nan

            values = influence(defined, own)
            found.append(values - values.mean() + score)
        return found

    def _scorer(self, network: int) -> Callable[[Tensor], float | Tensor]:
        """Return what computes the score of some of the examples."""
        if self._each:
            errors = torch.cat([square for (square,) in self._each], 1)[network]
            y = torch.cat(self._targets, 1)[network].double().reshape(len(errors), -1)
            return lambda kept: 1 - errors[kept].mean() / y[kept].var(0, correction=0).mean()
        outputs, targets = (torch.cat(p, 1)[network] for p in (self._outputs, self._targets))
        if self._task.metric is not None:
            return lambda kept: self._measured(outputs[kept], targets[kept])
        return lambda kept: -losses(self._task, outputs[None, kept], targets[None, kept])

    def _measured(self, outputs: Tensor, targets: Tensor) -> float:
        """Return the user's metric, in the user's unit."""
        metric, center, scale = self._task.metric, self._task.center, self._task.scale
        assert metric is not None
        if (center, scale) != (0, 1):
            # float64, as float32's 7 digits are too few for numbers far from 0.
            outputs, targets = (center + scale * part.double() for part in (outputs, targets))
        return float(_answer(self._task, "metric", metric, outputs, targets))

    def results(self) -> tuple[list[float], list[float]]:
        """Return score and mean loss of each network.

        A non-finite loss becomes NaN, and so does its score: the network has diverged. A NaN score
        with a finite loss is undefined, such as R² for targets that are all equal.
        """
        means = [_finite(loss) for loss in (self._loss / self._examples).tolist()]
        if self._task.metric is not None:
            each = zip(torch.cat(self._outputs, 1), torch.cat(self._targets, 1), means, strict=True)
            scores = [math.nan if math.isnan(mean) else self._measured(o, t) for o, t, mean in each]
        elif self._task.kind == "classification":
            scores = (self._score / self._weight).tolist()
        elif self._task.kind == "regression":
            targets = torch.cat(self._targets, 1)
            # Each number of a target varies about its own mean.
            variance = targets.var(1, correction=0).reshape(len(targets), -1).mean(1)
            varies = (targets != targets[:, :1]).reshape(len(targets), -1).any(1)
            score = 1 - self._score / self._examples / variance
            scores = torch.where(varies, score, torch.nan).tolist()
        else:
            scores = [-mean for mean in means]
        pairs = zip(scores, means, strict=True)
        return [math.nan if math.isnan(mean) else _finite(score) for score, mean in pairs], means


def _of_each(values: Tensor) -> Tensor:
    """Return the sum over what each example has of truths, or the mean of numbers."""
    each = values.reshape(*values.shape[:2], -1)
    return each.sum(2) if each.dtype == torch.bool else each.double().mean(2)


def _finite(number: float) -> float:
    return number if math.isfinite(number) else math.nan
