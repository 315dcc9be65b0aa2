"""Against what others define: the ONNX operators, PyTorch and JAX where those two agree."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from leakyrelu import leaky_relu, prelu, relu

onnx = pytest.importorskip("onnx")
torch = pytest.importorskip("torch")
jax = pytest.importorskip("jax")

KINDS = {np.float16: "FLOAT16", np.float32: "FLOAT", np.float64: "DOUBLE"}
dtypes = st.sampled_from(list(KINDS))
# ONNX computes float16 in float16, and its slope in float32: halves and quarters are exact.
numbers = st.integers(-64, 64).map(lambda n: n / 4) | st.sampled_from([np.inf, np.nan, -0.0])
slopes = st.integers(-8, 8).map(lambda n: n / 4)
shapes = hnp.array_shapes(min_dims=0, max_dims=4, max_side=4)


def run_onnx(operator, *inputs, **attributes):
    """Run one operator in ONNX's own reference implementation."""
    from onnx import TensorProto, helper
    from onnx.reference import ReferenceEvaluator

    names = ["x", "slope"][: len(inputs)]
    kind = getattr(TensorProto, KINDS[inputs[0].dtype.type])
    values = [
        helper.make_tensor_value_info(name, kind, array.shape)
        for name, array in zip([*names, "y"], [*inputs, inputs[0]], strict=True)
    ]
    node = helper.make_node(operator, names, ["y"], **attributes)
    graph = helper.make_graph([node], operator, values[:-1], values[-1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 16)])
    onnx.checker.check_model(model, full_check=True)
    with np.errstate(invalid="ignore"):
        return ReferenceEvaluator(model).run(None, dict(zip(names, inputs, strict=True)))[0]


def test_default_slope_of_onnx():
    x = np.array([-1.0, 2.0], np.float32)
    np.testing.assert_array_equal(run_onnx("LeakyRelu", x), leaky_relu(x))
    attribute = onnx.defs.get_schema("LeakyRelu").attributes["alpha"]
    assert attribute.default_value.f == np.float32(0.01)


@settings(deadline=None)
@given(dtypes, shapes, slopes, st.data())
def test_onnx_leaky_relu_and_relu(dtype, shape, alpha, data):
    x = data.draw(hnp.arrays(dtype, shape, elements=numbers))
    with np.errstate(invalid="ignore"):
        found = leaky_relu(x, alpha)
    np.testing.assert_array_equal(found, run_onnx("LeakyRelu", x, alpha=alpha))
    np.testing.assert_array_equal(relu(x), run_onnx("Relu", x))


@settings(deadline=None)
@given(dtypes, hnp.array_shapes(min_dims=1, max_dims=4, max_side=4), st.data())
def test_onnx_prelu(dtype, shape, data):
    """Its slope broadcasts to x from the last axis, and not beyond x."""
    x = data.draw(hnp.arrays(dtype, shape, elements=numbers))
    kept = data.draw(st.integers(0, len(shape)))
    lengths = tuple(data.draw(st.sampled_from([1, n])) for n in shape[len(shape) - kept :])
    slope = data.draw(hnp.arrays(dtype, lengths, elements=slopes))
    with np.errstate(invalid="ignore"):
        found = prelu(x, slope, axis=-1)
    assert found.shape == x.shape
    np.testing.assert_array_equal(found, run_onnx("PRelu", x, slope))


@settings(deadline=None)
@given(
    hnp.arrays(np.float32, 20, elements=st.integers(-999, 999).filter(bool).map(lambda n: n / 7)),
    st.integers(0, 99).map(lambda n: n / 99),
)
def test_pytorch_and_jax_agree_with_each_other_and_with_this(x, slope):
    """In value and gradient; not at 0, nor for the smallest numbers: see docs/frameworks.md."""
    tensor = torch.tensor(x, requires_grad=True)
    value = torch.nn.functional.leaky_relu(tensor, slope)
    value.sum().backward()
    values, gradients = [value.detach().numpy()], [tensor.grad.numpy()]

    def sum_of(function):
        return jax.grad(lambda x: function(x, slope).sum())(x)

    values.append(np.asarray(jax.nn.leaky_relu(x, slope)))
    gradients.append(np.asarray(sum_of(jax.nn.leaky_relu)))
    values.append(leaky_relu(x, slope))
    ours = torch.tensor(x, requires_grad=True)
    leaky_relu(ours, slope).sum().backward()
    gradients += [ours.grad.numpy(), np.asarray(sum_of(leaky_relu))]
    for other in values[1:]:
        np.testing.assert_array_equal(other, values[0])
    for other in gradients[1:]:
        np.testing.assert_array_equal(other, gradients[0])
