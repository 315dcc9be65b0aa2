"""Simulation agrees with theory, and the model is left alone."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest
from torch import nn

from leakyrelu import born_dead

POSITIVE = torch.tensor([[0.1], [1.0], [7.0]])
BOTH_SIGNS = torch.tensor([[-2.0], [1.0]])


def interval(found, confidence=0.999999):
    """Return where the probability is: so wide that a test is not wrong by chance."""
    dead = round(found.probability * found.trials)
    return binomtest(dead, found.trials).proportion_ci(confidence, method="wilson")


def overlap(one, other):
    return one.low <= other.high and other.low <= one.high


def network(depth, width, activation=nn.ReLU, inputs=1):
    layers = [nn.Linear(inputs, width), activation()]
    for _ in range(depth - 1):
        layers += [nn.Linear(width, width), activation()]
    return nn.Sequential(*layers, nn.Linear(width, 1))


class Residual(nn.Module):
    """Each layer is added to what comes in, so that its death stops nothing."""

    def __init__(self, depth, width):
        super().__init__()
        self.first = nn.Linear(1, width)
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))

    def forward(self, x):
        x = self.first(x)
        for layer in self.layers:
            x = x + layer(x).relu()
        return x


@pytest.mark.parametrize("init", ["he", "torch"])
@pytest.mark.parametrize("widths", [[1], [2] * 5, [3] * 9, [4, 2, 6]])
def test_exact_for_one_example(widths, init):
    found = born_dead(widths, data=torch.randn(1, 3), init=init, trials=4000)
    assert found.exact == pytest.approx(1 - np.prod(1 - 2.0 ** -np.array(widths)))
    low, high = interval(found)
    assert low <= found.exact <= high


@pytest.mark.parametrize("widths", [[2] * 5, [3] * 9, [4, 2, 6]])
def test_without_biases_examples_of_one_sign_are_one(widths):
    several, one = (born_dead(widths, data=data, init="he") for data in (POSITIVE, POSITIVE[:1]))
    assert several == one
    assert several.exact is not None


@pytest.mark.parametrize("widths", [[1], [4], [1, 1], [2, 2], [3, 1], [1, 4], [1] * 4, [4, 3]])
def test_exact_for_both_signs(widths):
    found = born_dead(widths, data=BOTH_SIGNS, init="he", trials=20_000)
    low, high = interval(found)
    assert low <= found.exact <= high


def test_exact_by_hand():
    # Both units of layer 1 have one sign (1/2), then layer 2 loses one ray (1/4); or else two
    # rays (1/16).
    assert born_dead(2, 2, init="he").exact == 1 / 2 * 1 / 4 + 1 / 2 * 1 / 16
    assert born_dead(1, 8, init="he").exact == 0
    assert born_dead(4, 1, init="he").exact == 1 - 2**-3


@pytest.mark.parametrize("depth", [2, 3, 9, 30])
@pytest.mark.parametrize("width", [1, 2, 3, 5, 8])
def test_the_lower_bound_is_the_closed_form(depth, width):
    a1, a2 = 1 - 2.0**-width, 1 - 2.0 ** (1 - width) - (width - 1) * 4.0**-width
    factor = (1 - 2.0 ** (1 - width)) * a1 / (1 + (width - 1) * 2.0**-width)
    closed = 1 - a1 ** (depth - 1) + factor * (a2 ** (depth - 1) - a1 ** (depth - 1))
    assert born_dead(depth, width, init="he", trials=1).bounds[0] == pytest.approx(closed)


@settings(deadline=None, max_examples=40)
@given(
    widths=st.lists(st.integers(1, 6), min_size=1, max_size=12),
    inputs=st.integers(1, 4),
    init=st.sampled_from(["he", "torch"]),
    seed=st.integers(0, 2**32),
)
def test_bounds_hold(widths, inputs, init, seed):
    found = born_dead(widths, inputs=inputs, init=init, seed=seed, trials=500)
    below, above = found.bounds
    low, high = interval(found)
    assert 0 <= below <= above <= 1
    assert low <= above
    assert below <= high
    assert found.layers == tuple(str(i) for i in range(1, len(widths) + 1))
    assert len(found.dead_units) == len(widths)


def test_bounds_of_a_wide_network():
    below, above = born_dead(20, 64, trials=1).bounds
    assert below == pytest.approx(0, abs=1e-300)
    assert above == pytest.approx(20 * 2.0**-64, rel=1e-6)


@pytest.mark.parametrize("init", ["he", "torch"])
def test_deeper_and_narrower_is_likelier_dead(init):
    by_depth = [interval(born_dead(depth, 3, init=init)) for depth in (1, 6, 40)]
    by_width = [interval(born_dead(12, width, init=init)) for width in (6, 3, 1)]
    for ranges in (by_depth, by_width):
        assert all(less.high < more.low for less, more in pairwise(ranges))


def test_hundreds_of_layers_do_not_run_out_of_float32():
    # The scale of the activations falls below the least float32.
    found = born_dead(1500, 16, data=BOTH_SIGNS, init="he", trials=100)
    assert found.probability < 0.2


@pytest.mark.parametrize("activation", ["leaky_relu", "leaky_relu:0.2", "prelu", "elu", "gelu"])
@pytest.mark.parametrize("init", ["he", "torch"])
def test_with_gradient_on_the_negative_side_nothing_is_born_dead(activation, init):
    found = born_dead(30, 1, init=init, activation=activation, trials=200)
    assert found.probability == found.exact == max(found.dead_units) == 0


def test_leaky_relu_with_slope_zero_is_relu():
    assert born_dead(5, 2, init="he", activation="leaky_relu:0") == born_dead(5, 2, init="he")


def test_sizes():
    assert born_dead(4, 3) == born_dead([3, 3, 3, 3]) == born_dead((np.int64(3),) * 4)
    assert born_dead(4, 3) == born_dead(4, 3, inputs=1)


def test_data_may_be_an_array():
    data = np.random.default_rng(0).normal(size=(20, 3))
    assert born_dead(4, 3, data=data) == born_dead(4, 3, data=torch.tensor(data), inputs=3)


def test_the_seed_decides():
    assert born_dead(6, 3) == born_dead(6, 3, seed=0)
    assert born_dead(6, 3) != born_dead(6, 3, seed=1)
    model = network(6, 3)
    first, again, other = (
        born_dead(model, data=BOTH_SIGNS, trials=30, seed=seed) for seed in (0, 0, 1)
    )
    assert first == again != other


def test_the_interval_is_wilson_s():
    for found in (born_dead(9, 2), born_dead(1, 9, trials=50), born_dead(200, 1, trials=50)):
        expected = interval(found, 0.95)
        assert found.interval == pytest.approx((expected.low, expected.high), abs=1e-12)


@pytest.mark.parametrize(("depth", "width"), [(4, 2), (9, 3)])
def test_a_model_as_its_sizes(depth, width):
    data = torch.randn(64, 2, generator=torch.Generator().manual_seed(0))
    of_model = born_dead(network(depth, width, inputs=2), data=data, trials=150)
    of_sizes = born_dead(depth, width, data=data)
    assert overlap(interval(of_model), interval(of_sizes))
    assert of_model.layers == tuple(str(2 * i + 1) for i in range(depth))
    assert of_model.dead_units == pytest.approx(of_sizes.dead_units, abs=0.2)
    assert of_model.bounds is None
    assert of_model.exact is None


def test_a_model_and_the_random_numbers_are_left_as_they_were():
    model = nn.Sequential(nn.Linear(1, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Dropout()).eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    state = torch.get_rng_state()
    born_dead(model, data=torch.ones(5, 1), trials=3)
    born_dead(4, 2, trials=3)
    assert torch.equal(torch.get_rng_state(), state)
    assert not model.training
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_a_model_with_its_own_initialisation():
    def make():
        model = network(3, 4)
        nn.init.constant_(model[2].bias, -100)
        return model

    found = born_dead(make, data=BOTH_SIGNS, trials=5)
    assert found.probability == found.dead_units[1] == 1
    assert (
        born_dead(make(), data=BOTH_SIGNS, trials=5).probability < 1
    )  # drawn anew, the bias is lost


def test_what_helps():
    data = torch.randn(64, 1, generator=torch.Generator().manual_seed(0))
    plain, leaky, residual, normalized = (
        born_dead(model, data=data, trials=60)
        for model in (
            network(9, 2),
            network(9, 2, nn.LeakyReLU),
            Residual(9, 2),
            network(9, 2, lambda: nn.Sequential(nn.BatchNorm1d(2), nn.ReLU())),
        )
    )
    assert plain.probability > 0.5
    assert leaky.probability == residual.probability == normalized.probability == 0
    assert max(residual.dead_units) > 0.3
    assert max(leaky.dead_units) == max(normalized.dead_units) == 0


def test_in_words():
    assert "probably dead before it trains" in str(born_dead(20, 2))
    assert "may well be dead before it trains" in str(born_dead(9, 5, init="he"))
    assert str(born_dead(3, 20)).endswith("%.")
    assert "most dead units in layer 5" in str(born_dead(network(3, 2), data=BOTH_SIGNS, trials=40))
    assert str(born_dead(1, 4, init="he")) == (
        "born dead with probability 0% (0% to 0.383%, 1,000 networks); theory: 0%."
    )


BAD = [
    ((0, 3), {}, "number of hidden layers .* at least 1, but is 0"),
    ((2.5, 3), {}, "but is 2.5"),
    (("deep", 3), {}, "but is 'deep'"),
    ((3,), {}, "width= must give"),
    ((3, 0), {}, "width .* but is 0"),
    (([],), {}, "widths .* but there are none"),
    (([3, 0],), {}, "width of each layer must be a whole number of at least 1, but is 0"),
    (([3, 3], 3), {}, "leave width= out"),
    ((3, 3), {"trials": 0}, "trials .* but is 0"),
    ((3, 3), {"trials": 1.5}, "trials .* but is 1.5"),
    ((3, 3), {"inputs": 0}, "inputs .* but is 0"),
    ((3, 3), {"init": "xavier"}, "init must be 'torch' or 'he', but is 'xavier'"),
    ((3, 3), {"activation": "rely"}, "did you mean 'relu'"),
    ((3, 3), {"data": torch.ones(4)}, r"has \(4,\)"),
    ((3, 3), {"data": torch.ones(4, 2, 2)}, r"data.flatten\(1\)"),
    ((3, 3), {"data": torch.ones(0, 2)}, "no examples"),
    ((3, 3), {"data": torch.tensor([[0.0], [torch.nan]])}, "NaN"),
    ((3, 3), {"data": torch.tensor([[0.0], [torch.inf]])}, "infinite"),
    ((3, 3), {"data": torch.zeros(4, 2)}, "0 everywhere"),
    ((3, 3), {"data": torch.ones(4, 2), "inputs": 3}, "inputs is 3, but data has 2"),
    ((network(2, 2),), {}, "needs data="),
    ((network(2, 2),), {"data": BOTH_SIGNS, "init": "he"}, "a model has its own"),
    ((network(2, 2), 3), {"data": BOTH_SIGNS}, "a model has its own"),
    ((network(2, 2),), {"data": torch.ones(0, 1)}, "no examples"),
    ((nn.ReLU(),), {"data": BOTH_SIGNS}, "no layer of the model has reset_parameters"),
    ((nn.Linear(1, 1),), {"data": BOTH_SIGNS}, "none of the known activations"),
]


@pytest.mark.parametrize(("args", "options", "message"), BAD)
def test_bad_input(args, options, message):
    with pytest.raises(ValueError, match=message):
        born_dead(*args, **options)


@pytest.mark.parametrize(
    ("network", "data", "message"),
    [(3, object(), "but is of type object"), (lambda: 3, BOTH_SIGNS, "but gave int")],
)
def test_bad_types(network, data, message):
    with pytest.raises(TypeError, match=message):
        born_dead(network, 3 if network == 3 else None, data=data)
