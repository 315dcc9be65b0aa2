"""A task's examples as networks get them: split by seed, scaled, batched."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import default_collate

from leakyrelu._compare.data.task import Split, Task
from leakyrelu._data.loading import called
from leakyrelu._errors import InputError

__all__ = ["Examples", "Part"]


class Part:
    """One part (train, validation, test) of the examples, a different one for each network."""

    def __init__(self, examples: Examples, rows: Sequence[npt.NDArray[np.int64]]) -> None:
        self._examples = examples
        self.rows = torch.from_numpy(np.stack(rows))

    def __len__(self) -> int:
        return self.rows.shape[1]

    def take(self, chosen: Tensor) -> tuple[Tensor, Tensor]:
        """Return inputs and targets at chosen positions, (networks, examples)."""
        return self._examples.take(self.rows.gather(1, chosen))

    def batches(self, size: int, most: int | None = None) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the examples, or the first `most`, in batches of `size`.

        No batch has one example only: models that squeeze() their outputs would lose its axis.
        """
        rows = torch.arange(min(most or len(self), len(self)))
        # A single example left over joins the batch before it.
        ends = range(size, len(rows) - 1, size)
        for chosen in torch.tensor_split(rows, list(ends)):
            yield self.take(chosen.expand(len(self.rows), -1))


class Examples:
    """A task's examples for several networks, split by each network's seed."""

    def __init__(self, task: Task, seeds: Sequence[int]) -> None:
        self._task = task
        self._X = torch.from_numpy(task.X) if isinstance(task.X, np.ndarray) else None
        self._y = torch.from_numpy(task.y)
        by_seed = {seed: task.split(seed) for seed in set(seeds)}
        splits = [by_seed[seed] for seed in seeds]
        if task.is_table:
            scales = {seed: self._scale(split) for seed, split in by_seed.items()}
            self._mean = torch.stack([scales[seed][0] for seed in seeds]).unsqueeze(1)
            self._std = torch.stack([scales[seed][1] for seed in seeds]).unsqueeze(1)
        self.train = Part(self, [split.train for split in splits])
        self.validation = Part(self, [split.validation for split in splits])
        self.test = Part(self, [split.test for split in splits])

    def take(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return inputs and targets of rows of the data, (networks, examples, ...)."""
        if self._X is None:
            X, chosen = self._task.X, rows.flatten().tolist()
            items = called(lambda: [X[row] for row in chosen], "reading items of the data set")
            x, y = (_stacked(values) for values in zip(*items, strict=True))
            # Targets come with x, as augmentation may change both, but get the task's dtype: class
            # indices instead of booleans, for example.
            y = y.reshape(*rows.shape, *self._y.shape[1:]).to(self._y.dtype)
            return _as_models_take(x.view(*rows.shape, *x.shape[1:])), y
        x = _as_models_take(self._X[rows])
        if self._task.is_table:
            # After scaling the mean is 0, so a missing value becomes the training mean.
            x = ((x - self._mean) / self._std).nan_to_num(nan=0.0)
        return x, self._y[rows]

    def _scale(self, split: Split) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of each feature over the training part."""
        assert self._X is not None
        X = self._X[torch.from_numpy(split.train)]
        mean = X.nanmean(0).nan_to_num(nan=0.0)
        std = (X - mean).square().nanmean(0).sqrt().nan_to_num(nan=0.0)
        return mean, torch.where(std > 1e-6, std, 1.0)


def _stacked(values: Sequence[Any]) -> Tensor:
    stacked = called(
        lambda: default_collate(list(values)),
        "stacking items of the data set, which should be tensors or arrays of the same shape,",
    )
    if not isinstance(stacked, Tensor):
        raise InputError(
            f"an item of the data set has a {type(values[0]).__name__}, but should be (x, y) of "
            "tensors, arrays or numbers"
        )
    return stacked


def _as_models_take(x: Tensor) -> Tensor:
    """Convert float64, NumPy's default, and the bytes of images to float32."""
    return x.float() if x.dtype in (torch.float64, torch.uint8) else x
