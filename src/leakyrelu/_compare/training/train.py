"""Training a batch of trials: one network, or a stack of several that train together.

The trials of a batch share the activation; each has its own learning rate, and its own seed, which
alone decides its split, initial weights, order of examples and noise. So each trial gets
the numbers it would get alone, up to rounding.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import Any

import numpy as np
import torch

from leakyrelu._compare.data.task import TEST_SHARE, VALIDATION_SHARE, Task
from leakyrelu._compare.networks.mlp import Look, Networks, StackedMLP, generator_for
from leakyrelu._compare.networks.models import ModelStack, SingleModel
from leakyrelu._compare.networks.noise import kept_generators
from leakyrelu._compare.networks.recipe import Recipe
from leakyrelu._compare.settings import Batch, Settings
from leakyrelu._compare.training.examples import Examples, Part
from leakyrelu._compare.training.goal import Judge, losses
from leakyrelu._compare.training.pace import Pace
from leakyrelu._compare.trial import LOOK_EXAMPLES, Checkpoint, Trial, packed

__all__ = ["Experiment", "Training", "train"]

# How often scores and dead units are measured, from before the first step to after the last.
CHECKPOINTS = 11
# Outputs are computed for this many examples per network at once.
EVALUATION_ROWS = 512

# Bytes. glibc returns freed memory to the system, and gets it back page by page, unless a block of
# this size has been freed before: the largest from which it learns to keep what is freed.
LARGEST_LESSON = (32 << 20) - (64 << 10)

# These are elementwise: they update a stack as they would update its networks one by one.
ELEMENTWISE = (
    *(torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW, torch.optim.NAdam, torch.optim.RAdam),
    *(torch.optim.Adamax, torch.optim.Adagrad, torch.optim.Adadelta, torch.optim.RMSprop),
)


@dataclass(frozen=True)
class Experiment:
    """Everything that a worker needs to train trials."""

    task: Task
    settings: Settings
    recipe: Recipe

    @property
    def steps(self) -> int:
        """Approximately how many steps a trial takes."""
        share = 1 - TEST_SHARE - VALIDATION_SHARE
        train = share * len(self.task.y)
        return round(self.settings.epochs * max(train / self.settings.batch_size, 1))


class Training:
    """A batch of trials in training, with networks of the user's own model stacked or alone."""

    def __init__(self, experiment: Experiment, batch: Batch, stacked: bool = True) -> None:
        task, settings, recipe = experiment.task, experiment.settings, experiment.recipe
        torch.empty(LARGEST_LESSON, dtype=torch.uint8)
        self.batch = batch
        self._task = task
        self._examples = Examples(task, batch.seeds)
        self._loss_of = partial(losses, task)
        self.networks: Networks
        if recipe.model is None:
            assert settings.depth is not None
            assert settings.width is not None
            sizes = [task.X.shape[1], *[settings.width] * settings.depth, len(task.classes) or 1]
            self.networks = StackedMLP(batch.activation, sizes, batch.seeds)
        elif stacked:
            self.networks = ModelStack(recipe, batch.activation, batch.seeds)
        else:
            (seed,) = batch.seeds
            self.networks = SingleModel(recipe, batch.activation, seed)
        train = self._examples.train
        self._batch_size = min(settings.batch_size, len(train))
        self._orders = [generator_for(seed, "order") for seed in batch.seeds]
        steps = settings.epochs * (len(train) // self._batch_size)
        self._optimizer = recipe.make_optimizer(self._groups(), batch.learning_rates[0])
        self._schedule = recipe.make_schedule(self._optimizer, steps)

    def _groups(self) -> list[dict[str, Any]]:
        """Give each run of networks with the same learning rate its own parameter group."""
        groups: list[dict[str, Any]] = []
        start = 0
        for rate, stretch in groupby(self.batch.learning_rates):
            own = slice(start, start + len(list(stretch)))
            start = own.stop
            parts = self.networks.parameters(own)
            groups.append({"params": parts.weights, "lr": rate})
            if parts.slopes:
                groups.append({"params": parts.slopes, "lr": rate, "weight_decay": 0.0})
        return groups

    @property
    def can_stack(self) -> bool:
        """Whether the optimizer updates a stack as it would update its networks one by one."""
        own = self._optimizer
        has_hooks = own._optimizer_step_pre_hooks or own._optimizer_step_post_hooks
        return type(own) in ELEMENTWISE and not has_hooks

    @property
    def stepped_on(self) -> list[torch.Tensor]:
        """What the optimizer updates."""
        return [p for group in self._optimizer.param_groups for p in group["params"]]

    def epoch(self) -> Iterator[None]:
        """Train for one epoch, yielding after each step."""
        train = self._examples.train
        orders = [torch.randperm(len(train), generator=generator) for generator in self._orders]
        steps = len(train) // self._batch_size
        order = torch.stack(orders)[:, : steps * self._batch_size]
        for chosen in torch.split(order, self._batch_size, dim=1):
            self.networks.differentiate(*train.take(chosen), self._loss_of)
            self._optimizer.step()
            self._schedule.step()
            yield

    @torch.no_grad()
    def _judged(self, part: Part, keeps: bool = False) -> Judge:
        judge = Judge(self._task, keeps)
        for x, y in part.batches(EVALUATION_ROWS):
            judge.add(self.networks.predict(x), y)
        return judge

    @torch.no_grad()
    def test(self) -> tuple[list[float], list[float], list[bytes]]:
        """Return score and mean loss of each network on its test part, and `Trial.results`."""
        part = self._examples.test
        rows, groups = part.rows.numpy(), self._task.groups
        judge = self._judged(part, keeps=True)
        scores, means = judge.results()
        each = judge.by_example(rows if groups is None else groups[rows], scores)
        examples = len(self._task.y)
        results = [
            b"" if math.isnan(score) else packed(own, values, examples)
            for own, values, score in zip(rows, each, scores, strict=True)
        ]
        return scores, means, results

    @torch.no_grad()
    def outputs(self, network: int) -> torch.Tensor:
        """Return a network's outputs for some validation examples."""
        x, _ = next(self._examples.validation.batches(self._batch_size))
        return self.networks.predict(x)[network]

    @property
    def bytes_of_state(self) -> float:
        """Bytes of one network's parameters, gradients and typical optimizer state."""
        sizes: list[int] = [p.nbytes for p in self.stepped_on]
        return 4 * sum(sizes) / len(self.batch)

    @torch.no_grad()
    def look(self) -> tuple[list[Look], list[float], list[float]]:
        """Return measurements of each network, and its validation score and mean loss."""
        batches = list(self._examples.train.batches(EVALUATION_ROWS, LOOK_EXAMPLES))
        looks = self.networks.look(batches, self._loss_of)
        return looks, *self._judged(self._examples.validation).results()


def train(
    experiment: Experiment,
    batch: Batch,
    stacked: bool = True,
    on_epoch: Callable[[int, float], None] | None = None,
    pace: Pace | None = None,
) -> list[Trial]:
    """Train all trials of a batch, and return them in its order.

    `on_epoch` is called with the epoch just finished and the mean validation score known by then;
    `pace` adjusts the number of threads to how long steps take.
    """
    start = time.perf_counter()
    epochs = experiment.settings.epochs
    if pace is not None:
        pace.begin()
    looked_at = set(np.linspace(0, epochs, CHECKPOINTS).round().astype(int).tolist())
    histories: list[list[Checkpoint]] = [[] for _ in batch.seeds]
    with kept_generators():  # from which a single network draws
        training = Training(experiment, batch, stacked)
        for epoch in range(epochs + 1):
            if epoch > 0:
                last = time.perf_counter()
                for _ in training.epoch():
                    now = time.perf_counter()
                    if pace is not None:
                        pace.took(now - last)
                    last = now
            if epoch in looked_at:
                looks, scores, validation_losses = training.look()
                for history, look, score in zip(histories, looks, scores, strict=True):
                    loss = look.loss if math.isfinite(look.loss) else math.nan
                    parts = look.never_fired, look.gradient, look.slopes
                    history.append(Checkpoint(epoch, loss, score, *parts))
            if on_epoch is not None:
                known = [score for score in scores if math.isfinite(score)]
                on_epoch(epoch, float(np.mean(known)) if known else math.nan)
        test_scores, test_losses, results = training.test()
    seconds = (time.perf_counter() - start) / len(batch)
    found = []
    for network, (rate, seed) in enumerate(zip(batch.learning_rates, batch.seeds, strict=True)):
        look, history = looks[network], histories[network]
        all_losses = look.loss, validation_losses[network], test_losses[network]
        all_scores = history[-1].validation_score, test_scores[network]
        is_undefined = math.isfinite(sum(all_losses)) and not math.isfinite(sum(all_scores))
        trained = *all_scores, seconds, look.layers, history, is_undefined, results[network]
        found.append(Trial(batch.activation, rate, seed, *trained))
    return found
