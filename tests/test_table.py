"""All that is derived from the table of activations works for each entry of it."""

import itertools
import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch
from scipy import integrate
from torch import nn

import leakyrelu
from leakyrelu import nn as ours
from leakyrelu._compare.networks.mlp import StackedMLP
from leakyrelu.activations import KINDS, parse
from leakyrelu.nn import functional

SEEN = [name for name, kind in KINDS.items() if not kind.is_gate]
GATES = [name for name, kind in KINDS.items() if kind.is_gate]


def density(z):
    return np.exp(-z * z / 2) / np.sqrt(2 * np.pi)


@pytest.mark.parametrize("name", KINDS)
def test_the_gain_keeps_the_second_moment(name):
    activation = parse(name)
    if name == "rrelu":  # the expectation is over its slopes, too
        lower, upper = activation.parameters
        slopes, weights = np.polynomial.legendre.leggauss(5)
        slopes = (upper + lower) / 2 + slopes * (upper - lower) / 2
        moment = 0.5 + 0.5 * np.sum(slopes**2 * weights / 2)
    else:
        pieces = [-12, -3, -1, 0, 1, 3, 6, 12]
        moment = sum(
            integrate.quad(lambda z: activation.value(z) ** 2 * density(z), *ends)[0]
            for ends in itertools.pairwise(pieces)
        )
    assert activation.gain**2 * moment == pytest.approx(1, rel=1e-6)


@pytest.mark.parametrize("name", KINDS)
def test_the_derivative_is_that_of_the_value(name):
    x = np.linspace(-8, 8, 1001) + 1e-4
    slopes = (parse(name).value(x + 1e-7) - parse(name).value(x - 1e-7)) / 2e-7
    np.testing.assert_allclose(parse(name).derivative(x), slopes, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", KINDS)
def test_it_is_put_into_a_model_and_taken_out_again(name):
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    x = torch.randn(20, 3)
    put = leakyrelu.replace(model, name).eval()
    hidden = put[0](x).detach().double()
    torch.testing.assert_close(
        put[1](hidden.float()).double(),
        torch.tensor(parse(name).value(hidden)),
        rtol=1e-5,
        atol=1e-6,
    )
    assert repr(put[1]) == repr(parse(name).module())
    assert type(leakyrelu.restore(put)[1]) is nn.ReLU
    assert type(leakyrelu.replace(put, "gelu")[1]) is nn.GELU
    copied = eval(parse(name).code, {"torch": torch, "leakyrelu": leakyrelu})
    model[1] = copied
    if name in GATES:
        with pytest.raises(ValueError, match="no activation module"):
            leakyrelu.replace(model, "elu")
        with pytest.raises(ValueError, match="no activation module"):
            leakyrelu.replace(model, "elu", where="*")
    assert type(leakyrelu.replace(model, "elu", where=["1"])[1]) is nn.ELU
    if name in SEEN:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert type(leakyrelu.replace(model, "elu")[1]) is nn.ELU
    changed = leakyrelu.replace(model, "elu", where="1", rescale=True)
    ratio = parse("elu").gain / (parse("gelu") if name == "gelu_tanh" else parse(name)).gain
    torch.testing.assert_close(changed[0].weight, model[0].weight * ratio)
    again = leakyrelu.replace(nn.Sequential(nn.Linear(3, 4), nn.ReLU()), name, reinitialize=True)
    assert again[0].bias.abs().max() == 0


@pytest.mark.parametrize("name", SEEN)
def test_a_unit_that_died_is_found(name):
    torch.manual_seed(0)
    activation = parse(name)
    model = nn.Sequential(nn.Linear(3, 4), activation.module(), nn.Linear(4, 2))
    with torch.no_grad():
        model[0].bias.zero_()  # the others fire for half of the examples
        model[0].weight[1] *= 0.01
        model[0].bias[1] = -2  # no activation underflows there
    (layer,) = leakyrelu.examine(model, torch.randn(50, 3)).layers
    assert layer.blocks_gradient == activation.can_die
    assert layer.dead.tolist() == [False, activation.can_die, False, False]


@pytest.mark.parametrize("name", GATES)
def test_a_gate_is_not_looked_at(name):
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2), parse(name).module())
    layers = leakyrelu.examine(model, torch.randn(50, 3)).layers
    assert [layer.layer for layer in layers] == ["1"]


@pytest.mark.parametrize("name", SEEN)
def test_its_functions_are_seen_and_replaced(name):
    if (
        not hasattr(nn.functional, name) or KINDS[name].is_learned or name == "threshold"
    ):  # which takes arguments
        pytest.skip("PyTorch has no function of that name, or the model owns its parameters")
    function = getattr(nn.functional, name)

    class Calling(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(3, 4)

        def forward(self, x):
            return function(self.first(x))

    (layer,) = leakyrelu.examine(Calling(), torch.randn(50, 3)).layers
    assert layer.function == name
    replaced = leakyrelu.replace(Calling(), "elu")
    assert [type(child) for child in replaced.children()] == [nn.Linear, nn.ELU]


@pytest.mark.parametrize("name", KINDS)
def test_it_is_plotted_and_its_odds_are_told(name):
    lines = leakyrelu.plot([name, "leaky_relu:0.3"]).axes[0].get_lines()
    assert str(parse(name)) in [line.get_label() for line in lines]
    born = leakyrelu.born_dead([2, 2], inputs=3, activation=name, trials=200)
    assert (born.probability > 0) == parse(name).can_die


@pytest.mark.parametrize("name", KINDS)
def test_stacked_networks_compute_and_train_with_it(name):
    torch.manual_seed(0)
    networks = StackedMLP(parse(name), [3, 5, 2], (0, 1))
    x, y = torch.randn(2, 7, 3), torch.randn(2, 7, 2)
    expected = networks.predict(x)
    for index in range(2):
        hidden = x[index] @ networks.weights[0][index] + networks.biases[0][index]
        value = torch.tensor(parse(name).value(hidden.detach())).float()
        by_hand = value @ networks.weights[1][index] + networks.biases[1][index]
        torch.testing.assert_close(expected[index], by_hand, rtol=1e-4, atol=1e-5)
    networks.differentiate(x, y, lambda found, wanted: (found - wanted).square().mean((1, 2)))
    assert all(part.isfinite().all() for part in networks._matrices.gradients)


@pytest.mark.parametrize("name", [name for name in KINDS if name != "relu"])
def test_it_is_compared(name):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 3))
    data = (x, x[:, 0] - x[:, 1])

    def model():
        return nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 1))

    options = {"seeds": 2, "epochs": 1, "lr": 0.01, "progress": False}
    for own, shape in ((None, {"depth": 2, "width": 4}), (model, {})):
        found = leakyrelu.compare(own, data, activations=["relu", name], **options, **shape)
        trained = {str(candidate.activation) for candidate in found.candidates}
        assert trained == {"relu", str(parse(name))}
        assert all(np.isfinite(candidate.score.mean) for candidate in found.candidates)


# --- The squared ones ----------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.longdouble])
def test_squares_as_ufuncs(dtype):
    x = np.array([-3, -0.5, -0.0, 0.0, 0.5, 3, np.inf, -np.inf, np.nan], dtype)
    for found, expected in (
        (leakyrelu.relu2(x), np.maximum(x, 0) ** 2),
        (leakyrelu.leaky_relu2(x), np.where(x > 0, x, x * dtype(0.5)) ** 2),
        (leakyrelu.leaky_relu2(x, 0.25), np.where(x > 0, x, x * dtype(0.25)) ** 2),
    ):
        assert found.dtype == dtype
        np.testing.assert_array_equal(found, expected)
    out = np.full(x.shape, 7, dtype)
    assert leakyrelu.relu2(x, out=out, where=x > 1) is out
    np.testing.assert_array_equal(out, np.where(x > 1, x**2, 7))
    strided = np.arange(-12, 12, dtype=dtype).reshape(4, 6)[::2, ::-3].T
    np.testing.assert_array_equal(leakyrelu.relu2(strided), np.maximum(strided, 0) ** 2)
    assert leakyrelu.leaky_relu2([-2, 2], dtype=np.float32).dtype == np.float32
    assert leakyrelu.relu2(np.array([-1, 3], np.int8)).dtype == np.float16
    with pytest.raises(TypeError, match="real numbers"):
        leakyrelu.relu2(np.array([1j]))
    with pytest.raises(TypeError, match="unexpected keyword"):
        leakyrelu.leaky_relu2(x, negativ_slope=0.1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_squares_of_tensors(dtype):
    x = torch.randn(5, 7).to(dtype).requires_grad_()
    for function, plain in (
        (leakyrelu.relu2, lambda x: torch.relu(x) ** 2),
        (functional.relu2, lambda x: torch.relu(x) ** 2),
        (ours.ReLU2(), lambda x: torch.relu(x) ** 2),
        (leakyrelu.leaky_relu2, lambda x: nn.functional.leaky_relu(x, 0.5) ** 2),
        (functional.leaky_relu2, lambda x: nn.functional.leaky_relu(x, 0.5) ** 2),
        (ours.LeakyReLU2(), lambda x: nn.functional.leaky_relu(x, 0.5) ** 2),
    ):
        assert torch.equal(function(x), plain(x))
        of_ours, of_plain = (torch.autograd.grad(f(x).sum(), x)[0] for f in (function, plain))
        assert torch.equal(of_ours, of_plain)
    out = torch.empty(0)
    assert leakyrelu.relu2(torch.tensor([-1.0, 3.0]), out=out) is out
    assert out.tolist() == [0, 9]


def test_squares_are_traced_scripted_and_compiled():
    model = nn.Sequential(nn.Linear(3, 4), ours.ReLU2(), ours.LeakyReLU2(0.1))
    x = torch.randn(5, 3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for other in (
            torch.fx.symbolic_trace(model),
            torch.jit.script(model),
            torch.compile(model, backend="aot_eager", fullgraph=True),
        ):
            torch.testing.assert_close(other(x), model(x))


def test_squares_square_the_unit():
    units = pytest.importorskip("astropy.units")
    found = leakyrelu.relu2([-1.0, 3.0] * units.m)
    assert found.unit == units.m**2
    assert found.value.tolist() == [0, 9]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("hardtanh:1:1", "min_val must be below max_val"),
        ("celu:0", "alpha must be above 0"),
        ("softplus:-1", "beta must be above 0"),
        ("relu2:1", "the form is relu2 alone"),
    ],
)
def test_parameters_that_make_no_sense(spec, message):
    with pytest.raises(leakyrelu.InputError, match=message):
        parse(spec)


def test_what_is_0_has_no_gain():
    with pytest.raises(leakyrelu.InputError, match="is 0 for nearly every input"):
        parse("threshold:100").gain  # noqa: B018


def test_the_command_line_takes_them(tmp_path):
    command = [sys.executable, "-m", "leakyrelu", "plot", "relu2", "leaky_relu2:0.5", "tanh"]
    done = subprocess.run(
        [*command, "-o", str(tmp_path / "f.svg")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
