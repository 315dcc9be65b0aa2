"""What a type checker makes of a user's file: the types come out that come out when it runs."""

import os
import re
import runpy
import site
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import leakyrelu

pytest.importorskip("mypy")

USERS_FILE = """
from collections.abc import Callable
from typing import Any, assert_type

import numpy as np
import numpy.typing as npt
import torch

import leakyrelu
from leakyrelu import (
    leaky_relu, leaky_relu_backward, leaky_relu_derivative, nn, prelu, prelu_derivative, relu,
    relu_derivative, rrelu, rrelu_derivative,
)

Floats = npt.NDArray[np.floating[Any]]
Float32s = npt.NDArray[np.float32]
x: Float32s = np.array([[-1.0, 2.0]], dtype=np.float32)
x64: npt.NDArray[np.float64] = np.array([-1.0, 2.0])
whole: npt.NDArray[np.int64] = np.array([-1, 2])
t = torch.tensor([[-1.0, 2.0]])

assert_type(leaky_relu(-1.0), np.float64)
assert_type(leaky_relu(-1), np.float64)
assert_type(leaky_relu([-1.0, 2.0], 0.1), Floats)
assert_type(leaky_relu([[-1, 2], [3, 4]]), Floats)
assert_type(leaky_relu(whole), Floats)
assert_type(leaky_relu(x, negative_slope=0.1), Float32s)
assert_type(leaky_relu(x, out=x), Float32s)
assert_type(leaky_relu(x, 0.1, x, where=x > 0), Float32s)
assert_type(leaky_relu(x, [0.1, 0.2]), Floats)
assert_type(leaky_relu(x, x64), Floats)
assert_type(leaky_relu(-1.0, [0.1, 0.2]), Floats)
assert_type(leaky_relu(np.float32(-1)), np.float32)
assert_type(leaky_relu(t), torch.Tensor)
assert_type(leaky_relu(t, torch.tensor(0.1)), torch.Tensor)
assert_type(leaky_relu(t, out=torch.empty(1, 2)), torch.Tensor)
assert_type(leaky_relu_derivative(x64), npt.NDArray[np.float64])
assert_type(leaky_relu_backward(gradient=x64, x=x64), npt.NDArray[np.float64])
assert_type(leaky_relu_backward([1.0], [2.0], 0.1), Floats)
assert_type(leaky_relu_backward(t, t), torch.Tensor)
assert_type(relu(2.0), np.float64)
assert_type(relu_derivative(x=t), torch.Tensor)
assert_type(prelu(x, 0.25), Float32s)
assert_type(prelu([[-1.0, 2.0]], weight=[0.1, 0.2], axis=-1), Floats)
assert_type(prelu_derivative(t, torch.tensor([0.1, 0.2])), torch.Tensor)
assert_type(rrelu(x, training=True, rng=0), Float32s)
assert_type(rrelu_derivative(t, 0.1, 0.3), torch.Tensor)


def by_hand(f: Callable[[Float32s], Float32s]) -> Float32s:
    return f(x)


by_hand(leaky_relu)
activation = leakyrelu.parse("leaky_relu:0.2")
assert_type(activation, leakyrelu.Activation)
assert_type(activation.value([1.0]), npt.NDArray[np.float64])
model = torch.nn.Sequential(torch.nn.Linear(2, 3), nn.PReLU(3))
assert_type(nn.convert(model, inplace=False), torch.nn.Module)
assert_type(leakyrelu.examine(model, torch.ones(3, 2)).summary, str)
try:
    leakyrelu.parse("reluu")
except leakyrelu.InputError as error:
    assert_type(error, leakyrelu.InputError)


def run(data: str) -> leakyrelu.Comparison:
    return leakyrelu.compare(None, data, "y", kind="classification", activations=["relu", "elu"])
"""

REFUSED = {
    "leakyrelu.leaky_relu()": "call-overload",
    'leakyrelu.compare(kind="clustering")': "arg-type",
    'leakyrelu.compare(engine="spark")': "arg-type",
    "leakyrelu.parse(3)": "arg-type",
    "leakyrelu.plot(limit=None)": "arg-type",
    "leakyrelu.no_such_name": "attr-defined",
}


def errors_of(mypy_options, file, text):
    file.write_text(text)
    package = Path(leakyrelu.__file__).parents[1]
    is_installed = str(package) in site.getsitepackages()
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", *mypy_options, str(file)],
        capture_output=True,
        text=True,
        check=False,
        cwd=file.parent,
        env=os.environ | ({} if is_installed else {"MYPYPATH": str(package)}),
    )
    assert not done.stderr
    return [line for line in done.stdout.splitlines() if re.match(rf"{file.name}:.* error:", line)]


@pytest.fixture(scope="module")
def options(tmp_path_factory):
    return ["--cache-dir", str(tmp_path_factory.mktemp("cache"))]


def test_types_of_a_users_file(tmp_path, options):
    assert errors_of(options, tmp_path / "users.py", USERS_FILE) == []


def test_what_is_wrong_is_refused(tmp_path, options):
    errors = errors_of(options, tmp_path / "wrong.py", "\n".join(["import leakyrelu", *REFUSED]))
    found = [re.search(r":(\d+): error: .*\[([\w-]+)\]$", error).groups() for error in errors]
    assert found == [(str(line), code) for line, code in enumerate(REFUSED.values(), 2)]


def test_the_types_are_those_of_the_values(tmp_path):
    """An ``assert_type`` does nothing when it runs: here it looks at the value."""
    checked = []

    def check(value, expected):
        origin = getattr(expected, "__origin__", expected)
        assert isinstance(value, origin)
        if origin is np.ndarray:
            (dtype,) = expected.__args__[1].__args__
            assert issubclass(value.dtype.type, getattr(dtype, "__origin__", dtype))
        checked.append(value)

    file = tmp_path / "users.py"
    file.write_text(
        USERS_FILE.replace("from typing import Any, assert_type", "from typing import Any")
    )
    runpy.run_path(str(file), {"assert_type": check})
    assert len(checked) == USERS_FILE.count("assert_type(")
