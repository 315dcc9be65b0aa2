"""Training a batch of trials: their networks are stacked and every step trains them all.

Trials of one batch share the activation; each has its learning rate and its seed, which
alone decides its split, initial weights, order of examples and noise. So each trial gets
the numbers it would get alone, up to rounding.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import groupby

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional as F  # noqa: N812 - its usual name

from leakyrelu.compare.network import StackedMLP, generator_for
from leakyrelu.compare.plan import Batch, Settings
from leakyrelu.compare.task import Split, Task
from leakyrelu.compare.trial import Checkpoint, Trial
from leakyrelu.health.counts import FiringCounts

__all__ = ["train"]

# How often scores and dead units are looked at, from before the first step to after the last.
CHECKPOINTS = 11
EVALUATION_ROWS = 4096
GRADIENT_ROWS = 512


class _Part:
    """One part (train, validation, test) of the examples, a different one for each network."""

    def __init__(self, data: _Data, rows: list[npt.NDArray[np.int64]]) -> None:
        self.data = data
        self.rows = torch.from_numpy(np.stack(rows))

    @property
    def examples(self) -> int:
        return self.rows.shape[1]

    def take(self, chosen: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return inputs and targets of chosen examples, (networks, examples) by place."""
        rows = self.rows.gather(1, chosen)
        x = (self.data.X[rows] - self.data.mean) / self.data.std
        # After scaling the mean is 0: a missing value counts as the training mean.
        return x.nan_to_num(nan=0.0), self.data.y[rows]

    def chunks(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """All examples, in pieces that fit memory."""
        for chosen in torch.split(torch.arange(self.examples), EVALUATION_ROWS):
            yield self.take(chosen.expand(len(self.rows), -1))


class _Data:
    """A task, split by each seed and scaled by the training part of that seed."""

    def __init__(self, task: Task, seeds: tuple[int, ...]) -> None:
        self.X = torch.from_numpy(task.X)
        self.y = torch.from_numpy(task.y)
        by_seed = {seed: task.split(seed) for seed in set(seeds)}
        scales = {seed: self._scale(split) for seed, split in by_seed.items()}
        splits = [by_seed[seed] for seed in seeds]
        self.mean = torch.stack([scales[seed][0] for seed in seeds]).unsqueeze(1)
        self.std = torch.stack([scales[seed][1] for seed in seeds]).unsqueeze(1)
        self.train = _Part(self, [split.train for split in splits])
        self.validation = _Part(self, [split.validation for split in splits])
        self.test = _Part(self, [split.test for split in splits])

    def _scale(self, split: Split) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and standard deviation of each feature over the training part."""
        X = self.X[torch.from_numpy(split.train)]
        mean = X.nanmean(0).nan_to_num(nan=0.0)
        std = (X - mean).square().nanmean(0).sqrt().nan_to_num(nan=0.0)
        return mean, torch.where(std > 1e-6, std, 1.0)


def train(
    task: Task, settings: Settings, batch: Batch, on_epoch: Callable[[int, float], None]
) -> list[Trial]:
    """Train all trials of a batch together.

    Parameters
    ----------
    task, settings, batch
        What to train on, how, and which trials.
    on_epoch : callable
        Called with the epoch just finished and the mean validation score known by then.

    Returns
    -------
    list of Trial
        In the order of the batch.
    """
    start = time.perf_counter()
    data = _Data(task, batch.seeds)
    sizes = [task.features, *[settings.width] * settings.depth, task.outputs]
    network = StackedMLP(batch.activation, sizes, batch.seeds)
    optimizer = _optimizer(network, batch.learning_rates)
    batch_size = min(settings.batch_size, data.train.examples)
    steps = data.train.examples // batch_size
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, settings.epochs * steps)
    orders = [generator_for(seed, "order") for seed in batch.seeds]
    looks = set(np.linspace(0, settings.epochs, CHECKPOINTS).round().astype(int).tolist())
    histories: list[list[Checkpoint]] = [[] for _ in batch.seeds]
    for epoch in range(settings.epochs + 1):
        if epoch > 0:
            network.training = True
            order = torch.stack(
                [torch.randperm(data.train.examples, generator=generator) for generator in orders]
            )
            for chosen in torch.split(order[:, : steps * batch_size], batch_size, dim=1):
                x, y = data.train.take(chosen)
                # Summed over the networks: the gradient of each is that of its own mean loss.
                loss = _losses(task, network(x), y).sum() / batch_size
                network.differentiate(loss)
                optimizer.step()
                schedule.step()
        if epoch in looks:
            for history, checkpoint in zip(
                histories, _look(task, network, data, epoch), strict=True
            ):
                history.append(checkpoint)
        scores = [history[-1].validation_score for history in histories]
        on_epoch(epoch, float(np.mean(scores)))
    test_scores, _ = _evaluate(task, network, data.test)
    seconds = (time.perf_counter() - start) / len(batch)
    return [
        Trial(
            batch.activation.spec,
            learning_rate,
            seed,
            history[-1].validation_score,
            test_score,
            seconds,
            [str(layer + 1) for layer in range(settings.depth)],
            history,
        )
        for learning_rate, seed, history, test_score in zip(
            batch.learning_rates, batch.seeds, histories, test_scores, strict=True
        )
    ]


def _optimizer(network: StackedMLP, learning_rates: tuple[float, ...]) -> torch.optim.Adam:
    """Make an Adam that gives each stretch of networks its own learning rate."""
    groups = []
    start = 0
    for learning_rate, stretch in groupby(learning_rates):
        own = slice(start, start + len(list(stretch)))
        start = own.stop
        networks = network.parameters[own]
        networks.grad = network.gradient[own]
        groups.append({"params": [networks], "lr": learning_rate})
    return torch.optim.Adam(groups, fused=True)


def _losses(task: Task, outputs: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Loss of every example, (networks, examples)."""
    if task.kind == "classification":
        return F.cross_entropy(outputs.flatten(0, 1), y.flatten(), reduction="none").view_as(y)
    return (outputs.squeeze(-1) - y).square()


def _look(task: Task, network: StackedMLP, data: _Data, epoch: int) -> list[Checkpoint]:
    counts = [
        FiringCounts(unit_axes=(0, 2), example_axis=1) for _ in range(len(network.weights) - 1)
    ]
    _, losses = _evaluate(task, network, data.train, lambda layer, x: counts[layer].update(x))
    scores, _ = _evaluate(task, network, data.validation)
    never_fired = torch.stack([c.never_fired.float().mean(1) for c in counts], dim=1)
    slopes: list[list[float]] = [[] for _ in losses]
    if network.slopes:
        slopes = torch.cat(network.slopes, dim=1).tolist()
    each = zip(
        losses, scores, never_fired.tolist(), _gradients(task, network, data), slopes, strict=True
    )
    return [Checkpoint(epoch, *numbers) for numbers in each]


def _gradients(task: Task, network: StackedMLP, data: _Data) -> list[list[float]]:
    """Root mean square of the gradient of each weight matrix, for each network."""
    x, y = data.train.take(
        torch.arange(min(data.train.examples, GRADIENT_ROWS)).expand(len(data.mean), -1)
    )
    loss = _losses(task, network(x), y).mean(1).sum()
    gradients = torch.autograd.grad(loss, network.weights)
    return torch.stack([g.square().mean((1, 2)).sqrt() for g in gradients], dim=1).tolist()


@torch.no_grad()
def _evaluate(
    task: Task,
    network: StackedMLP,
    part: _Part,
    observe: Callable[[int, torch.Tensor], None] | None = None,
) -> tuple[list[float], list[float]]:
    """Return score and mean loss of each network; both NaN where its outputs are not finite."""
    network.training = False
    outputs, targets = [], []
    for x, y in part.chunks():
        outputs.append(network(x, observe))
        targets.append(y)
    output, target = torch.cat(outputs, dim=1), torch.cat(targets, dim=1)
    losses = _losses(task, output, target).mean(1)
    if task.kind == "classification":
        scores = (output.argmax(-1) == target).float().mean(1)
    else:
        spread = (target - target.mean(1, keepdim=True)).square().mean(1)
        scores = 1 - losses / spread
    finite = losses.isfinite()
    return (
        torch.where(finite, scores, torch.nan).tolist(),
        torch.where(finite, losses, torch.nan).tolist(),
    )
