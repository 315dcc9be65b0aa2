"""The names, and what stands behind them, against torch.nn and closed forms."""

import math
import subprocess
import sys
import warnings

import numpy as np
import pytest

import leakyrelu
from leakyrelu._compare.settings import make_settings
from leakyrelu.activations import KINDS, Activation, Kind, parse

SPECS = [
    *KINDS,
    "leaky_relu:0.2",
    "leaky_relu:-1",
    "leaky_relu:0.123456789",
    "prelu:0.125",
    "rrelu:0.1:0.3",
    "elu:0.5",
    "leaky_relu2:0.1",
    "celu:0.5",
    "threshold:-1:-2",
    "softplus:2:5",
    "hardtanh:-2:0.5",
]


@pytest.mark.parametrize("spec", SPECS)
def test_spec_round_trip(spec):
    assert parse(parse(spec).spec) == parse(spec)
    assert parse(parse(spec)) == parse(spec)
    assert str(parse(spec)) == parse(spec).spec


def test_equal_specs_are_one():
    assert parse("leaky_relu") == parse("leaky_relu:0.01") == parse(" leaky_relu:1e-2 ")


@pytest.mark.parametrize("spec", SPECS)
def test_value_and_derivative_are_those_of_torch(spec):
    torch = pytest.importorskip("torch")
    x = torch.linspace(-9, 9, 100, dtype=torch.float64).requires_grad_()
    y = parse(spec).module().to(torch.float64).eval()(x)
    y.sum().backward()
    np.testing.assert_allclose(parse(spec).value(x.detach()), y.detach(), rtol=1e-12, atol=1e-12)
    # PyTorch multiplies by a sixth rounded to float32 in that of Hardsigmoid.
    rtol = 1e-7 if spec == "hardsigmoid" else 1e-9
    np.testing.assert_allclose(parse(spec).derivative(x.detach()), x.grad, rtol=rtol, atol=1e-12)


@pytest.mark.parametrize("spec", SPECS)
def test_no_number_is_too_large_or_too_small(spec):
    torch = pytest.importorskip("torch")
    x = np.array([5e-324, 1e-308, 1e-160, 38.0, 40.0, 800.0, 1e154, 1e160, 1e300, 1.7e308])
    x = np.concatenate([-x, x])
    leaf = torch.tensor(x, requires_grad=True)
    y = parse(spec).module().to(torch.float64).eval()(leaf)
    y.sum().backward()
    # PyTorch's Hardswish overflows, as it multiplies by 6 and then divides.
    finite = x < 1e308 if spec == "hardswish" else np.full(x.shape, True)
    value = parse(spec).value(x)
    np.testing.assert_allclose(value[finite], y.detach()[finite], rtol=1e-12, atol=1e-14)
    known = ~leaf.grad.isnan().numpy()  # PyTorch's of a GELU by tanh is not, from 1e154 on
    assert known.all() or spec == "gelu_tanh"
    found = parse(spec).derivative(x)
    assert not np.isnan(found).any()
    np.testing.assert_allclose(found[known], leaf.grad[known], rtol=1e-7, atol=1e-14)


@pytest.mark.parametrize("slope", [0.0, 0.01, 0.2, 1.0, -1.0])
def test_gain_of_the_leaky_family_is_that_of_he(slope):
    assert parse(f"leaky_relu:{slope}").gain == pytest.approx(
        math.sqrt(2 / (1 + slope**2)), rel=1e-6
    )


@pytest.mark.parametrize("spec", [spec for spec in SPECS if not spec.startswith("rrelu")])
def test_gain_keeps_the_second_moment(spec):
    z = np.random.default_rng(0).standard_normal(400_000)
    assert np.mean((parse(spec).gain * parse(spec).value(z)) ** 2) == pytest.approx(1, abs=0.02)


def test_gain_of_rrelu_is_for_its_random_slopes():
    rng = np.random.default_rng(0)
    z, slopes = rng.standard_normal(400_000), rng.uniform(1 / 8, 1 / 3, 400_000)
    y = parse("rrelu").gain * np.where(z > 0, z, slopes * z)
    assert np.mean(y**2) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("spec", SPECS)
def test_code_makes_the_module(spec):
    torch = pytest.importorskip("torch")
    made = eval(parse(spec).code, {"torch": torch, "leakyrelu": leakyrelu})
    assert repr(made) == repr(parse(spec).module())


def test_which_can_die():
    can_die = {"relu", "relu6", "relu2", "threshold", "leaky_relu:0"}
    assert {spec for spec in [*SPECS, "leaky_relu:0"] if parse(spec).can_die} == can_die


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("leaky_rely", "did you mean 'leaky_relu'"),
        ("Leaky-ReLU", "did you mean 'leaky_relu'"),
        ("", "unknown activation ''"),
        ("swoosh9", "Known are relu, leaky_relu"),
        ("relu:0.1", "the form is relu alone"),
        ("leaky_relu:1:2", "the form is leaky_relu:negative_slope"),
        ("leaky_relu:steep", "must be finite numbers"),
        ("leaky_relu:nan", "must be finite numbers"),
        ("elu:inf", "must be finite numbers"),
        ("leaky_relu:", "must be finite numbers"),
        ("rrelu:0.5:0.1", "lower must not be above upper"),
    ],
)
def test_bad_specs(spec, message):
    with pytest.raises(ValueError, match=message):
        parse(spec)


def test_an_activation_is_a_value():
    assert {Activation("relu"), parse("relu")} == {parse("relu")}


def _hardshrink(x):
    return np.where(np.abs(x) > 0.5, x, 0.0)


NEW = {
    "hardshrink": Kind("Hardshrink", _hardshrink, lambda x: np.where(np.abs(x) > 0.5, 1.0, 0.0)),
    "tanhshrink": Kind("Tanhshrink", lambda x: x - np.tanh(x), lambda x: np.tanh(x) ** 2),
}


@pytest.mark.parametrize("name", NEW)
def test_an_entry_is_all_that_a_new_activation_needs(name, monkeypatch):
    """It is parsed, plotted, examined, replaced and offered for comparison."""
    torch = pytest.importorskip("torch")
    nn, functional = torch.nn, torch.nn.functional
    cls, function = getattr(nn, NEW[name].module), getattr(functional, name)

    class Calling(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second, self.act = nn.Linear(3, 4), nn.Linear(4, 5), cls()

        def forward(self, x):
            return function(self.second(self.act(self.first(x))))

    x = torch.randn(50, 3)
    before = leakyrelu.examine(Calling(), x)
    assert (before.layers, before.unseen) == ([], {cls.__name__: 2})
    monkeypatch.setitem(KINDS, name, NEW[name])

    activation = parse(name)
    assert isinstance(activation.module(), cls)
    assert not activation.can_die
    lines = leakyrelu.plot(name).axes[0].get_lines()
    assert any(line.get_label() == name for line in lines)
    settings = make_settings(
        data="digits", activations=["relu", name], seeds=2, epochs=1, learning_rates=[0.1]
    )
    assert settings.activations == ("relu", activation.spec)

    found = leakyrelu.examine(Calling(), x)
    assert [layer.units for layer in found.layers] == [4, 5]
    assert {layer.blocks_gradient for layer in found.layers} == {activation.can_die}
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # it is not named among those that stay
        replaced = leakyrelu.replace(Calling(), "elu")
    assert [type(m) for m in replaced.modules() if not list(m.children())].count(nn.ELU) == 2
    put = leakyrelu.replace(nn.Sequential(nn.Linear(3, 4), nn.ReLU()), name)
    assert isinstance(put[1], cls)
    assert [layer.units for layer in leakyrelu.examine(put, x).layers] == [4]


def test_no_torch_is_needed_for_names():
    code = "import sys, leakyrelu.activations as a; a.parse('elu'); print('torch' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False"


@pytest.mark.parametrize(
    ("spec", "blocks"),
    [
        ("relu", True),
        ("leaky_relu:0", True),
        ("leaky_relu:-1", False),
        ("prelu:0", True),
        ("rrelu:0:0", True),
        ("rrelu:0:0.1", False),
        ("elu:0", True),
        *((spec, False) for spec in ("leaky_relu:1e-9", "prelu", "rrelu", "elu", "gelu", "silu")),
    ],
)
def test_where_no_gradient_passes(spec, blocks):
    """Against autograd: the gradient of negative inputs is 0, or not."""
    torch = pytest.importorskip("torch")
    x = -torch.linspace(0.1, 20, 100, dtype=torch.float64)
    x.requires_grad_()
    parse(spec).module().to(torch.float64)(x).sum().backward()
    assert parse(spec).blocks_gradient == blocks == (not x.grad.any())
    layers = leakyrelu.examine(parse(spec).module(), torch.randn(9, 2)).layers
    assert layers[0].blocks_gradient == blocks
