"""Where frameworks differ in Leaky ReLU, as each one answers: the table of frameworks.md.

pip install ".[all,bench]" && python docs/frameworks.py > docs/frameworks.md
"""

from __future__ import annotations

import importlib.metadata
import inspect
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "jax")

import jax
import keras
import numpy as np
import onnxruntime
import torch
from onnx import helper

import leakyrelu

Function = Callable[[np.ndarray, float], np.ndarray]


@dataclass(frozen=True)
class Framework:
    """One way to compute Leaky ReLU.

    Attributes
    ----------
    name : str
        Column heading.
    default : str
        Its default slope.
    value : callable
        ``f(x, slope)``, from NumPy array to NumPy array.
    derivative : callable, optional
        ``f'(x, slope)``, by the framework's own automatic differentiation.
    """

    name: str
    default: str
    value: Function
    derivative: Function | None = None


def onnx_value(x: np.ndarray, slope: float) -> np.ndarray:
    kind = helper.np_dtype_to_tensor_dtype(x.dtype)
    ends = [helper.make_tensor_value_info(name, kind, x.shape) for name in "xy"]
    node = helper.make_node("LeakyRelu", ["x"], ["y"], alpha=slope)
    graph = helper.make_graph([node], "leaky_relu", ends[:1], ends[1:])
    opset = [helper.make_opsetid("", 16)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=10)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    return session.run(None, {"x": x})[0]


def torch_derivative(x: np.ndarray, slope: float) -> np.ndarray:
    tensor = torch.tensor(x, requires_grad=True)
    torch.nn.functional.leaky_relu(tensor, slope).sum().backward()
    return tensor.grad.numpy()


def with_jax(function: Callable[..., Any]) -> Function:
    def derivative(x: np.ndarray, slope: float) -> np.ndarray:
        return np.asarray(jax.vmap(jax.grad(lambda x: function(x, slope)))(jax.numpy.asarray(x)))

    return derivative


def default_of(function: Callable[..., Any], parameter: str) -> float:
    return inspect.signature(function).parameters[parameter].default


def maximum(x: np.ndarray, slope: float) -> np.ndarray:
    return np.maximum(x.dtype.type(slope) * x, x)


FRAMEWORKS = [
    Framework(
        "leakyrelu",
        f"{default_of(leakyrelu.leaky_relu, 'negative_slope')}",
        leakyrelu.leaky_relu,
        leakyrelu.leaky_relu_derivative,
    ),
    Framework(
        "PyTorch",
        f"{default_of(torch.nn.LeakyReLU.__init__, 'negative_slope')}",
        lambda x, a: torch.nn.functional.leaky_relu(torch.tensor(x), a).numpy(),
        torch_derivative,
    ),
    Framework(
        "JAX",
        f"{default_of(jax.nn.leaky_relu, 'negative_slope')}",
        lambda x, a: np.asarray(jax.nn.leaky_relu(x, a)),
        with_jax(jax.nn.leaky_relu),
    ),
    Framework(
        "Keras",
        f"{default_of(keras.layers.LeakyReLU.__init__, 'negative_slope')} (layer), "
        f"{default_of(keras.ops.leaky_relu, 'negative_slope')} (function)",
        lambda x, a: np.asarray(keras.ops.leaky_relu(x, a)),
        with_jax(keras.ops.leaky_relu),
    ),
    Framework("ONNX Runtime", "0.01", onnx_value),
    Framework("`np.maximum(a*x, x)`", "", maximum),
]


def ask(function: Function | None, x: float, slope: float, dtype: type = np.float32) -> str:
    """Return f(x) as shown in the table."""
    if function is None:
        return "none"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = function(np.array([x], dtype), slope)[0]
    return f"{float(result):.8g}"


QUESTIONS: list[tuple[str, Callable[[Framework], str]]] = [
    ("default slope", lambda framework: framework.default),
    ("derivative at 0, slope 0.1", lambda framework: ask(framework.derivative, 0.0, 0.1)),
    ("derivative at NaN, slope 0.1", lambda framework: ask(framework.derivative, np.nan, 0.1)),
    ("f(-1), slope 2", lambda framework: ask(framework.value, -1.0, 2.0)),
    ("f(-inf), slope 0", lambda framework: ask(framework.value, -np.inf, 0.0)),
    ("f(inf), slope 0", lambda framework: ask(framework.value, np.inf, 0.0)),
    ("f(-2e-38), slope 0.1", lambda framework: ask(framework.value, -2e-38, 0.1)),
    ("f(-5) in float16, slope 0.01", lambda f: ask(f.value, -5.0, 0.01, np.float16)),
]


def main() -> None:
    """Print the page."""
    packages = ["leakyrelu", "torch", "jax", "keras", "onnxruntime", "numpy"]
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in packages)
    print("# Where the frameworks differ\n")
    print(
        "All compute `x if x > 0 else a * x`, yet they differ. These are their own answers, in\n"
        "float32 unless stated otherwise; derivatives by their own automatic differentiation.\n"
    )
    print(f"`python docs/frameworks.py > docs/frameworks.md`: {versions}\n")
    print(f"| | {' | '.join(framework.name for framework in FRAMEWORKS)} |")
    print(f"| --- {'| ---: ' * len(FRAMEWORKS)}|")
    for title, question in QUESTIONS:
        print(f"| {title} | {' | '.join(question(framework) for framework in FRAMEWORKS)} |")
    print(READING)


READING = """
Before moving a model from one to another:

- **Default slope**: Keras has 0.3 or 0.2; pass the slope explicitly.
- **Derivative at 0**: PyTorch and this package use the left derivative, `a`; JAX the right one, 1.
  It matters where many pre-activations are exactly 0, as after another ReLU or with padding.
- **Slopes above 1**: there `max(a*x, x)`, the form in the article, is a different function.
- **Minus infinity with slope 0** is `0 * inf`, NaN, wherever the slope is multiplied;
  `leakyrelu.relu` gives 0. The maximum form also turns plus infinity into NaN.
- **Subnormal numbers**: JAX on the CPU flushes values below 1.2e-38 to zero.
- **16 bits**: as in NumPy's arithmetic, the slope is first rounded to the dtype of `x` (0.01 is
  0.01000214 in float16), while PyTorch keeps the slope in higher precision and rounds once. The
  results differ by at most one unit in the last place.
"""

if __name__ == "__main__":
    main()
