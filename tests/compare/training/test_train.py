"""Stacked training against the loop that one would write for a single network."""

import dataclasses
import math

import numpy as np
import pytest
import torch

from leakyrelu._compare.data.table_task import load_task
from leakyrelu._compare.networks.mlp import StackedMLP, generator_for
from leakyrelu._compare.networks.recipe import Recipe
from leakyrelu._compare.settings import DEFAULT_ACTIVATIONS, Batch, make_settings
from leakyrelu._compare.training.train import Experiment, train
from leakyrelu._compare.trial import LOOK_EXAMPLES
from leakyrelu.activations import parse
from leakyrelu.health import examine

SIZES = [64, 16, 16, 16, 10]


@pytest.fixture(scope="module")
def task():
    return load_task()


def settings_of(task, **changes):
    usual = {"depth": 3, "width": 16, "epochs": 3, "seeds": 3, "learning_rates": (0.003, 0.01)}
    return make_settings(task.fingerprint, DEFAULT_ACTIVATIONS, **{**usual, **changes})


def train_quietly(task, settings, batch):
    return train(Experiment(task, settings, Recipe()), batch)


def as_sequential(network, trial):
    """One network of a stack as ordinary torch.nn layers."""
    layers = []
    for i, (weight, bias) in enumerate(zip(network.weights, network.biases, strict=True)):
        linear = torch.nn.Linear(*weight.shape[1:])
        linear.weight.data = weight[trial].detach().T.clone()
        linear.bias.data = bias[trial, 0].detach().clone()
        layers.append(linear)
        if i < len(network.weights) - 1:
            layers.append(network.activation.module())
    return torch.nn.Sequential(*layers)


def parts_of(task, seed):
    """Scaled inputs and targets of a seed's train, validation and test part."""
    split = task.split(seed)
    X, y = task.X.astype(np.float64), task.y
    mean, std = X[split.train].mean(0), X[split.train].std(0)
    std[std < 1e-6] = 1
    return [
        (torch.tensor((X[rows] - mean) / std, dtype=torch.float32), torch.tensor(y[rows]))
        for rows in (split.train, split.validation, split.test)
    ]


@pytest.mark.parametrize("spec", [s for s in DEFAULT_ACTIVATIONS if s != "rrelu"])
def test_a_stacked_trial_is_the_hand_written_loop(task, spec):
    settings, activation, seed, rate = settings_of(task), parse(spec), 1, 0.01
    batch = Batch(activation, (0.003, 0.003, 0.01, 0.01), (0, 1, 0, 1))
    trial = train_quietly(task, settings, batch)[3]

    model = as_sequential(StackedMLP(activation, SIZES, (seed,)), 0)
    (x, y), (x_val, y_val), (x_test, y_test) = parts_of(task, seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    steps = len(y) // 64
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 3 * steps)
    order = generator_for(seed, "order")
    loss_of = torch.nn.CrossEntropyLoss()
    losses = []
    for epoch in range(4):
        if epoch:
            for rows in torch.randperm(len(y), generator=order)[: steps * 64].split(64):
                optimizer.zero_grad()
                loss_of(model(x[rows]), y[rows]).backward()
                optimizer.step()
                schedule.step()
        losses.append(loss_of(model(x[:LOOK_EXAMPLES]), y[:LOOK_EXAMPLES]).item())

    assert [c.train_loss for c in trial.history] == pytest.approx(losses, rel=2e-3)
    tolerance = 1.5 / len(y_val)  # one example on the border may go either way
    for score, x, y in (
        (trial.validation_score, x_val, y_val),
        (trial.test_score, x_test, y_test),
    ):
        assert score == pytest.approx(
            (model(x).argmax(1) == y).float().mean().item(), abs=tolerance
        )


@pytest.mark.parametrize("spec", DEFAULT_ACTIVATIONS)
def test_a_trial_does_not_depend_on_its_batch(task, spec):
    settings = settings_of(task)
    together = Batch(parse(spec), (0.003, 0.003, 0.01), (0, 2, 2))
    alone = Batch(parse(spec), (0.01,), (2,))
    expected = train_quietly(task, settings, alone)[0]
    found = train_quietly(task, settings, together)[2]
    assert (found.seed, found.learning_rate) == (2, 0.01)
    for one, other in zip(found.history, expected.history, strict=True):
        assert one.train_loss == pytest.approx(other.train_loss, rel=2e-3)


def test_training_is_reproducible(task):
    settings = settings_of(task)
    batch = Batch(parse("rrelu"), (0.01, 0.01), (0, 1))
    runs = [train_quietly(task, settings, batch) for _ in range(2)]
    assert [trial.history for trial in runs[0]] == [trial.history for trial in runs[1]]


def test_dead_units_are_those_that_examine_finds(task):
    settings = settings_of(task, depth=12, width=16)
    trial = train_quietly(task, settings, Batch(parse("relu"), (0.01,), (0,)))[0]
    sizes = [64, *[16] * 12, 10]
    model = as_sequential(StackedMLP(parse("relu"), sizes, (0,)), 0)
    born_dead = examine(model, parts_of(task, 0)[0][0][:LOOK_EXAMPLES]).table()["dead %"] / 100
    assert trial.history[0].never_fired == pytest.approx(born_dead.tolist())
    assert born_dead.sum() > 0


def test_regression_scores_are_r2():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 3))
    X[::7, 1] = np.nan
    task = load_task((X, np.where(np.isnan(X[:, 1]), 1, X[:, 1]) + X[:, 0] ** 2))
    settings = settings_of(task, depth=2, epochs=30)
    trial = train_quietly(task, settings, Batch(parse("elu"), (0.01,), (0,)))[0]
    assert 0.6 < trial.test_score <= 1
    # A constant prediction has R² 0 at best: so has a network before its first step.
    assert trial.history[0].validation_score < 0.3


def test_a_diverged_trial_has_no_score_and_harms_no_other(task):
    settings = settings_of(task, learning_rates=(0.01, 1e20))
    alone = train_quietly(task, settings, Batch(parse("elu"), (0.01,), (0,)))[0]
    good, bad = train_quietly(task, settings, Batch(parse("elu"), (0.01, 1e20), (0, 0)))
    assert math.isnan(bad.test_score)
    assert math.isnan(bad.validation_score)
    assert good.history[-1].train_loss == pytest.approx(alone.history[-1].train_loss, rel=2e-3)
    assert (bad.diverged, bad.undefined, good.diverged, good.undefined) == (
        True,
        False,
        False,
        False,
    )


def test_a_score_that_is_not_defined_is_no_divergence():
    """Hardly any target differs from the others, so that some parts have no R²."""
    y = np.zeros(100)
    y[:5] = np.arange(1, 6) / 7
    task = load_task((np.random.default_rng(0).normal(size=(100, 3)), y))
    settings = settings_of(task, depth=2, epochs=1)
    seeds = tuple(range(8))
    trials = train_quietly(task, settings, Batch(parse("elu"), (0.01,) * 8, seeds))
    for trial, seed in zip(trials, seeds, strict=True):
        split = task.split(seed)
        has_r2 = [len(set(task.y[rows].tolist())) > 1 for rows in (split.validation, split.test)]
        found = [math.isfinite(s) for s in (trial.validation_score, trial.test_score)]
        assert found == has_r2
        assert (trial.undefined, trial.diverged) == (not all(has_r2), False)
    assert {trial.undefined for trial in trials} == {True, False}


def test_a_loss_that_is_not_finite_on_test_examples_alone_is_divergence():
    """Though all scores are numbers or none of them is."""
    task = load_task((np.linspace(-1, 1, 100)[:, None], np.linspace(-1, 1, 100)))
    rows = task.split(0).test

    def loss(outputs, targets):
        is_test = torch.isin(targets, torch.from_numpy(task.y[rows]))
        return torch.where(is_test, torch.inf, (outputs - targets) ** 2).mean()

    task = dataclasses.replace(task, loss=loss)
    settings = settings_of(task, depth=2, epochs=1)
    (trial,) = train_quietly(task, settings, Batch(parse("elu"), (0.01,), (0,)))
    assert math.isfinite(trial.validation_score)
    assert math.isfinite(trial.history[-1].train_loss)
    assert math.isnan(trial.test_score)
    assert (trial.diverged, trial.undefined) == (True, False)
