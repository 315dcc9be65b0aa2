"""A stack of the user's networks against the same networks one at a time, and those by hand."""

import dataclasses
import functools
import math
import random

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from leakyrelu._compare.data.table_task import load_task
from leakyrelu._compare.data.tensor_task import tensor_task
from leakyrelu._compare.networks.mlp import generator_for
from leakyrelu._compare.networks.models import _look_at, _noise_seed
from leakyrelu._compare.networks.recipe import Recipe, make_recipe
from leakyrelu._compare.settings import DEFAULT_ACTIVATIONS, Batch, make_settings
from leakyrelu._compare.training.examples import Examples
from leakyrelu._compare.training.train import EVALUATION_ROWS, Experiment, Training, train
from leakyrelu.activations import parse
from leakyrelu.health import examine

IMAGES = torch.randn(120, 1, 8, 8, generator=torch.Generator().manual_seed(0))
CLASSES = (IMAGES.mean((1, 2, 3)) > 0).long() + (IMAGES[:, 0, 0, 0] > 0).long()


class Cnn(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(1, 6, 3, bias=False)
        self.norm = nn.BatchNorm2d(6)
        self.drop = nn.Dropout2d(0.3)
        self.second = nn.Conv2d(6, 8, 3, stride=2)
        self.head = nn.Linear(32, 3)

    def forward(self, x):
        x = self.drop(F.relu(self.norm(self.first(x))))
        x = F.max_pool2d(F.relu(self.second(x)), 1)
        return self.head(F.dropout(x.flatten(1), 0.2, self.training))


class Transformer(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(3, 8)
        layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.2, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(8, 3)

    def forward(self, tokens):
        mask = nn.Transformer.generate_square_subsequent_mask(tokens.shape[1])
        return self.head(self.encoder(self.embed(tokens), mask).mean(1))


class OwnDraw(nn.Module):
    """Drops examples by a call that nobody knows of."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 3))

    def forward(self, x):
        return self.body(x) * (torch.rand(len(x), 1) > 0.1)


TOKENS = torch.randint(0, 3, (120, 5), generator=torch.Generator().manual_seed(1))
CASES = {
    "cnn": (Cnn, IMAGES, CLASSES),
    "transformer": (Transformer, TOKENS, TOKENS[:, 0]),
}


def experiment_of(model, X, y, epochs=3, **recipe):
    task = tensor_task((X, y))
    settings = make_settings(
        task.fingerprint, DEFAULT_ACTIVATIONS, 3, epochs, (0.003, 0.01), batch_size=16, model="own"
    )
    brought = make_recipe(model, recipe.get("optimizer"), recipe.get("schedule"))
    return Experiment(task, settings, brought)


def assert_same(found, expected):
    assert (found.activation, found.seed, found.layers) == (
        expected.activation,
        expected.seed,
        expected.layers,
    )
    for one, other in zip(found.history, expected.history, strict=True):
        assert one.train_loss == pytest.approx(other.train_loss, rel=2e-3)
        assert one.gradient == pytest.approx(other.gradient, rel=0.02, abs=1e-4)
        assert one.slopes == pytest.approx(other.slopes, rel=2e-3)
        assert one.never_fired == pytest.approx(other.never_fired, abs=0.13)  # one unit
    assert found.test_score == pytest.approx(expected.test_score, abs=0.05)  # one example


@pytest.mark.parametrize("spec", DEFAULT_ACTIVATIONS)
@pytest.mark.parametrize("name", CASES)
def test_a_stack_trains_as_its_networks_alone(name, spec):
    experiment = experiment_of(*CASES[name])
    stack = Batch(parse(spec), (0.003, 0.01, 0.01), (0, 1, 2))
    for trial in train(experiment, stack):
        alone = Batch(parse(spec), (trial.learning_rate,), (trial.seed,))
        (expected,) = train(experiment, alone, stacked=False)
        assert_same(trial, expected)


def test_one_network_trains_as_the_hand_written_loop():
    """Dropout, BatchNorm, the order of examples and the schedule are those of anybody's loop."""
    experiment = experiment_of(Cnn, IMAGES, CLASSES)
    (trial,) = train(experiment, Batch(parse("relu"), (0.01,), (1,)), stacked=False)

    torch.manual_seed(1)
    model = Cnn()
    split = experiment.task.split(1)
    x, y = IMAGES[split.train], CLASSES[split.train]
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    steps = len(y) // 16
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 3 * steps)
    order = generator_for(1, "order")
    torch.manual_seed(_noise_seed(1))
    for _ in range(3):
        for rows in torch.randperm(len(y), generator=order)[: steps * 16].split(16):
            optimizer.zero_grad()
            F.cross_entropy(model(x[rows]), y[rows]).backward()
            optimizer.step()
            schedule.step()
    model.eval()
    with torch.no_grad():
        loss = F.cross_entropy(model(x), y).item()
        right = (model(IMAGES[split.test]).argmax(1) == CLASSES[split.test]).float().mean()
    assert trial.history[-1].train_loss == pytest.approx(loss, rel=1e-4)
    assert trial.test_score == pytest.approx(right.item(), abs=1e-6)
    expected = [layer.never_fired.float().mean().item() for layer in examine(model, x).layers]
    assert trial.history[-1].never_fired == pytest.approx(expected)


def test_each_network_of_a_stack_has_statistics_of_its_own():
    experiment = experiment_of(Cnn, IMAGES, CLASSES)
    training = Training(experiment, Batch(parse("relu"), (0.01, 0.01), (0, 1)))
    for _ in training.epoch():
        pass
    means = training.networks._rest["norm.running_mean"]
    assert not torch.allclose(means[0], means[1])
    assert training.networks._rest["norm.num_batches_tracked"].tolist() == [4, 4]


@pytest.mark.parametrize(
    "optimizer",
    [
        functools.partial(torch.optim.SGD, momentum=0.9, nesterov=True),
        functools.partial(torch.optim.AdamW, weight_decay=0.5),
        torch.optim.RMSprop,
    ],
)
def test_optimizers_of_the_user_in_a_stack(optimizer):
    def schedule(optimizer, steps):
        return torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.1, steps)

    own = {"optimizer": optimizer, "schedule": schedule}
    experiment = experiment_of(*CASES["cnn"], **own)
    stack = Batch(parse("prelu"), (0.003, 0.01), (0, 1))
    for trial in train(experiment, stack):
        alone = Batch(parse("prelu"), (trial.learning_rate,), (trial.seed,))
        assert_same(trial, train(experiment, alone, stacked=False)[0])


def test_slopes_do_not_decay():
    optimizer = functools.partial(torch.optim.SGD, weight_decay=1.0)
    experiment = experiment_of(*CASES["cnn"], optimizer=optimizer)
    for stacked in (True, False):
        training = Training(experiment, Batch(parse("prelu"), (0.01,), (0,)), stacked)
        decays = [group["weight_decay"] for group in training._optimizer.param_groups]
        sizes = [len(group["params"]) for group in training._optimizer.param_groups]
        assert (decays, sizes) == ([1.0, 0.0], [7, 2])


def test_what_is_random_and_unknown_can_not_be_stacked():
    experiment = experiment_of(OwnDraw, IMAGES, CLASSES)
    with pytest.raises(RuntimeError, match="randomness"):
        train(experiment, Batch(parse("relu"), (0.01, 0.01), (0, 1)))
    one = Batch(parse("relu"), (0.01,), (0,))
    first, again = (train(experiment, one, stacked=False)[0] for _ in range(2))
    assert first.history == again.history


def test_training_leaves_the_generator_of_pytorch_alone():
    experiment = experiment_of(*CASES["cnn"], epochs=1)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    train(experiment, Batch(parse("relu"), (0.01,), (0,)), stacked=False)
    train(experiment, Batch(parse("relu"), (0.01,), (0,)))
    assert torch.equal(torch.rand(3), expected)


def test_frozen_parameters_stay():
    def make():
        model = Cnn()
        model.first.weight.requires_grad_(False)
        return model

    experiment = experiment_of(make, IMAGES, CLASSES, epochs=1)
    training = Training(experiment, Batch(parse("relu"), (0.01, 0.01), (0, 1)))
    before = training.networks._rest["first.weight"].clone()
    for _ in training.epoch():
        pass
    assert torch.equal(training.networks._rest["first.weight"], before)


def test_the_same_seed_draws_the_same_weights_up_to_the_gain():
    recipe = experiment_of(*CASES["cnn"]).recipe
    relu, leaky = (recipe.build(parse(spec), 3) for spec in ("relu", "leaky_relu:1"))
    torch.testing.assert_close(leaky.first.weight, relu.first.weight / 2**0.5)
    assert torch.equal(leaky.head.weight, relu.head.weight)


def test_examples_of_a_data_set_are_those_of_its_tensors():
    class Pairs:
        def __len__(self):
            return len(IMAGES)

        def __getitem__(self, row):
            return IMAGES[row], int(CLASSES[row])

    task, lazy = tensor_task((IMAGES, CLASSES)), tensor_task(Pairs())
    for one, other in zip(
        Examples(task, (0, 1)).test.batches(16),
        Examples(lazy, (0, 1)).test.batches(16),
        strict=True,
    ):
        assert torch.equal(one[0], other[0])
        assert torch.equal(one[1], other[1])


def same_numbers(found, expected):
    """Bit for bit; NaN is unequal to itself."""
    return [repr(dataclasses.replace(t, seconds=0)) for t in found] == [
        repr(dataclasses.replace(t, seconds=0)) for t in expected
    ]


VALUES = torch.randn(120, 4, generator=torch.Generator().manual_seed(2))


class Single(nn.Sequential):
    """One output an example, without an axis of its own."""

    def __init__(self):
        super().__init__(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1), nn.Flatten(0))


def perceptron(outputs=1):
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, outputs))


TARGETS = {
    "values": VALUES[:, 0] * VALUES[:, 1],
    "column": (VALUES[:, 0] * VALUES[:, 1])[:, None],
    "several": VALUES[:, :3] ** 2,
    "classes": (VALUES[:, 0] > 0).long() + (VALUES[:, 1] > 0),
    "column of classes": ((VALUES[:, 0] > 0).long() + (VALUES[:, 1] > 0))[:, None],
}
PAIRS = [
    *((perceptron, "values"), (perceptron, "column"), (Single, "values"), (Single, "column")),
    (functools.partial(perceptron, 3), "several"),
    (functools.partial(perceptron, 3), "classes"),
    (functools.partial(perceptron, 3), "column of classes"),
]


@pytest.mark.parametrize("stacked", [True, False])
@pytest.mark.parametrize(("model", "target"), PAIRS)
def test_the_built_in_loss_trains_the_same_where_the_user_gives_it(model, target, stacked):
    y = TARGETS[target]
    kind = "regression" if y.is_floating_point() else "classification"
    batch = Batch(parse("elu"), (0.003, 0.01)[: 1 + stacked], (0, 1)[: 1 + stacked])
    recipe = make_recipe(model, None, None)
    found = []
    for loss in (None, F.mse_loss if kind == "regression" else F.cross_entropy):
        task = tensor_task((VALUES, y), kind, loss)
        settings = make_settings(task.fingerprint, ["relu", "elu"], 2, 3, 0.01, model="own")
        found.append(train(Experiment(task, settings, recipe), batch, stacked))
    assert same_numbers(*found)


@pytest.mark.parametrize("seeds", [(0,), (0, 1, 2)])
@pytest.mark.parametrize("target", ["values", "classes"])
def test_the_built_in_loss_trains_the_same_on_a_table(target, seeds):
    y = TARGETS[target].numpy()
    own = F.mse_loss if target == "values" else nn.CrossEntropyLoss()
    table = load_task((VALUES.numpy(), y))
    settings = make_settings(table.fingerprint, ["relu", "elu"], 3, 3, 0.01, depth=2, width=8)
    batch = Batch(parse("relu"), (0.01,) * len(seeds), seeds)
    built_in, given = (
        train(Experiment(dataclasses.replace(table, loss=loss), settings, Recipe()), batch)
        for loss in (None, own)
    )
    assert [t.test_score for t in built_in] == [t.test_score for t in given]
    assert [t.validation_score for t in built_in] == [t.validation_score for t in given]
    assert all(math.isfinite(t.test_score) for t in given)


def test_models_that_draw_by_numpy_train_the_same_each_time():
    class Skipping(nn.Sequential):
        def forward(self, x):
            return super().forward(x) * (1 if np.random.random() < 0.7 else random.uniform(0, 1))

    def make():
        return Skipping(*perceptron())

    experiment = experiment_of(make, VALUES, TARGETS["column"])
    one = Batch(parse("relu"), (0.01,), (0,))
    before = np.random.get_state()[1].tolist(), random.getstate()
    first, again = (train(experiment, one, stacked=False) for _ in range(2))
    assert same_numbers(first, again)
    assert before == (np.random.get_state()[1].tolist(), random.getstate())


class Squeezing(nn.Sequential):
    """Its outputs have an axis of examples only if there are several."""

    def forward(self, x):
        return super().forward(x).squeeze()


@pytest.mark.parametrize("stacked", [False, True])
def test_a_rest_of_one_example_is_never_computed_alone(stacked):
    examples = 5 * EVALUATION_ROWS + 5  # one more in each part than goes at once
    x = torch.randn(examples, 4)
    experiment = experiment_of(
        lambda: Squeezing(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 1)), x, x[:, 0], epochs=1
    )
    seeds = (0, 1) if stacked else (0,)
    trials = train(experiment, Batch(parse("relu"), (0.01,) * len(seeds), seeds), stacked)
    assert all(np.isfinite(trial.test_score) for trial in trials)


@pytest.mark.parametrize("size", [2, 3, 7, 40])
def test_batches_to_judge_have_every_example_once(size):
    examples = Examples(tensor_task((torch.arange(200.0).reshape(200, 1), torch.ones(200))), [0])
    for most in range(2, 41):
        batches = [x.flatten().tolist() for x, _ in examples.test.batches(size, most)]
        assert [row for batch in batches for row in batch] == examples.test.rows[0, :most].tolist()
        assert all(1 < len(batch) <= size + 1 for batch in batches)
        assert all(len(batch) == size for batch in batches[:-1])


def test_a_model_that_returns_one_number_is_told():
    class Mean(nn.Sequential):
        def forward(self, x):
            return super().forward(x).mean()

    experiment = experiment_of(
        lambda: Mean(nn.Linear(4, 4), nn.ReLU()), torch.randn(40, 4), torch.randn(40), epochs=1
    )
    with pytest.raises(ValueError, match="one number for 24 examples, but should return outputs"):
        train(experiment, Batch(parse("relu"), (0.01,), (0,)), stacked=False)


def test_two_functions_in_one_module_are_two_layers():
    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Linear(64, 4), nn.Linear(4, 6)

        def forward(self, x):
            hidden = F.relu(self.first(x.flatten(1)))
            return F.elu(self.second(-hidden - 1))

    model = Both()
    nn.init.constant_(model.second.bias, -100.0)
    x, y = IMAGES[None, :20], torch.zeros(1, 20, 6)
    look = _look_at(model, [(x, y)], 0, lambda a, b: (a - b).square().flatten(1).mean(1))
    with torch.no_grad():
        silent = (model.first(x[0].flatten(1)) <= 0).all(0).float().mean().item()
    assert look.never_fired == [pytest.approx(silent), 1.0]
    assert look.layers == ["(model)", "(model)"]
