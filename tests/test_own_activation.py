"""Activations of the user's own: functions, classes of modules, and their names."""

import math
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

import leakyrelu
from leakyrelu import InputError
from leakyrelu.activations import KINDS, parse


@pytest.fixture(autouse=True)
def _table_as_it_was():
    before = dict(KINDS)
    yield
    KINDS.clear()
    KINDS.update(before)


def squareplus(x):
    return (x + torch.sqrt(x * x + 4)) / 2


def only_positive(x):
    return torch.where(x > 0, 3 * x, 0 * x)


class Snake(nn.Module):
    def forward(self, x):
        return x + torch.sin(x) ** 2


class Swish(nn.Module):
    def __init__(self):
        super().__init__()
        self.beta = nn.Parameter(torch.ones(()))

    def forward(self, x):
        return x * torch.sigmoid(self.beta * x)


def model():
    return nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 1))


def test_what_is_found_numerically():
    found = parse(only_positive)
    assert found.gain == pytest.approx(math.sqrt(2) / 3)
    assert found.can_die
    assert not parse(squareplus).can_die
    x = np.linspace(-4, 4, 50)
    np.testing.assert_allclose(parse(Snake).value(x), x + np.sin(x) ** 2)
    np.testing.assert_allclose(parse(Snake).derivative(x), 1 + np.sin(2 * x), rtol=1e-9, atol=1e-12)
    assert parse(nn.Mish) is not None
    assert parse(nn.Mish) == "mish"
    assert parse(torch.tanh).value(0.5) == pytest.approx(math.tanh(0.5))


@pytest.mark.parametrize("given", [squareplus, Snake, Swish])
def test_it_is_a_spec_like_any_other(given):
    found = parse(given)
    assert found == f"{__name__}:{given.__name__}"
    assert parse(found) is found
    assert parse(str(found)) == found
    replaced = leakyrelu.replace(model(), given)
    assert type(leakyrelu.restore(replaced)[1]) is nn.ReLU
    x = torch.randn(5, 3)
    hidden = replaced[0](x)
    torch.testing.assert_close(
        replaced[1](hidden), (given() if given is not squareplus else given)(hidden)
    )
    leakyrelu.replace(model(), given, reinitialize=True)
    assert leakyrelu.plot([found, "relu"]).axes[0].get_lines()
    assert leakyrelu.born_dead([2, 2], inputs=3, activation=given, trials=50).probability == 0


def test_each_place_has_its_own_parameters():
    twice = nn.Sequential(nn.Linear(3, 3), shared := nn.ReLU(), nn.Linear(3, 3), shared)
    replaced = leakyrelu.replace(twice, Swish)
    assert len([p for p in replaced.parameters() if p.dim() == 0]) == 2


OPTIONS = {"seeds": 2, "epochs": 2, "lr": 0.01, "progress": False}


@pytest.mark.parametrize("own", [None, model])
def test_it_is_compared_and_known_by_its_code(own):
    x = np.random.default_rng(0).normal(size=(60, 3))

    def directory(activation):
        data = (x, x[:, 0] - x[:, 1])
        found = leakyrelu.compare(own, data, activations=["relu", activation], **OPTIONS)
        assert {c.activation for c in found.candidates} == {"relu", parse(activation)}
        return found.directory

    def named(factor):
        def my_act(x):
            return torch.relu(x) * factor

        return my_act

    first = directory(named(2.0))
    assert directory(named(2.0)) == first
    assert directory(named(3.0)) != first
    assert directory(Snake) != first


def test_parameters_that_a_stack_could_not_train_are_refused():
    x = np.random.default_rng(0).normal(size=(60, 3))
    data = (x, x[:, 0])
    with pytest.raises(InputError, match=r"Swish has parameters to learn; give a model="):
        leakyrelu.compare(None, data, activations=["relu", Swish], **OPTIONS)
    found = leakyrelu.compare(model, data, activations=["relu", Swish], **OPTIONS)
    assert len({c.activation for c in found.candidates}) == 2


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (lambda x: x, "needs a name: write def"),
        (nn.ReLU(), "a class of modules, not a module: give ReLU"),
        (dict, "dict is no torch.nn.Module"),
        (lambda: None, "needs a name"),
        (nn.Softmax, "doesn't compute each element by itself"),
        (nn.Linear, "can't be called with a tensor of float64: TypeError"),
        ("no_such_module:act", "names no activation: No module named 'no_such_module'"),
        ("math:no_such", "names no activation: module 'math' has no attribute 'no_such'"),
        ("math:tanh", "can't be called with a tensor of float64"),
        ("leaky_rely:x", "did you mean 'leaky_relu'"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_what_is_none_is_refused(given, message):
    with pytest.raises(InputError, match=message):
        parse(given)


def test_the_command_line_takes_a_name(tmp_path):
    (tmp_path / "my_module.py").write_text(
        "import torch\ndef my_act(x):\n    return torch.relu(x) + 0.1 * torch.sin(x)\n"
    )
    code = (
        "import pickle, leakyrelu\n"
        "print(pickle.loads(pickle.dumps(leakyrelu.parse('my_module:my_act'))))"
    )
    settings = ["--seeds", "2", "--epochs", "1", "--lr", "0.01"]
    for command in (
        ["-c", code],
        ["-m", "leakyrelu", "plot", "relu", "my_module:my_act", "-o", "f.svg"],
        ["-m", "leakyrelu", "compare", "--activations", "relu,my_module:my_act", *settings],
    ):
        done = subprocess.run(
            [sys.executable, *command], capture_output=True, text=True, cwd=tmp_path, check=False
        )
        assert done.returncode == 0, done.stderr
        assert "my_module:my_act" in done.stdout or "f.svg" in done.stdout
    assert pickle.loads(pickle.dumps(parse("leaky_relu:0.3"))) == "leaky_relu:0.3"
