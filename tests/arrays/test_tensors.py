"""Tensors: their dtypes decide together, and out= is that of PyTorch."""

import itertools

import numpy as np
import pytest

from leakyrelu import (
    leaky_relu,
    leaky_relu_backward,
    leaky_relu_derivative,
    prelu,
    prelu_derivative,
    relu,
    relu_derivative,
    rrelu,
)

torch = pytest.importorskip("torch")
jnp = pytest.importorskip("jax.numpy")

TORCH_DTYPES = [torch.bool, torch.int8, torch.int64, torch.float16, torch.float32, torch.float64]


@pytest.mark.parametrize(("gradient", "x", "slope"), [*itertools.product(TORCH_DTYPES, repeat=3)])
def test_tensors_decide_together(gradient, x, slope):
    gradient, x = torch.ones(2, dtype=gradient), torch.tensor([0, 1], dtype=x)
    slopes = torch.ones(2, dtype=slope)

    def expected(*tensors):
        floats = [t for t in tensors if t.is_floating_point()]
        dtype = torch.float32
        for i, tensor in enumerate(floats):
            dtype = torch.promote_types(dtype, tensor.dtype) if i else tensor.dtype
        return dtype

    found = leaky_relu_backward(gradient, x, 0.1)
    assert found.dtype == expected(gradient, x)
    assert found[0] == torch.tensor(0.1, dtype=found.dtype)
    assert leaky_relu_backward(gradient, x, slopes).dtype == expected(gradient, x, slopes)
    assert leaky_relu(x, slopes).dtype == expected(x, slopes)
    assert leaky_relu(x, slopes.sum()).dtype == expected(
        *([x] if x.is_floating_point() else [slopes])
    )


WITH_OUT = {
    "relu": relu,
    "relu_derivative": relu_derivative,
    "leaky_relu": lambda x, out: leaky_relu(x, 0.1, out),
    "leaky_relu of slopes": lambda x, out: leaky_relu(x, x * 0 + 0.1, out),
    "leaky_relu_derivative": lambda x, out: leaky_relu_derivative(x, 0.1, out),
    "leaky_relu_backward": lambda x, out: leaky_relu_backward(x, x, 0.1, out),
    "prelu": lambda x, out: prelu(x, [0.1, 0.2, 0.3], out=out),
    "prelu_derivative": lambda x, out: prelu_derivative(x, [0.1, 0.2, 0.3], out=out),
    "rrelu": lambda x, out: rrelu(x, out=out),
}


@pytest.mark.filterwarnings("ignore:An output with one or more elements was resized")
@pytest.mark.parametrize("function", WITH_OUT)
@pytest.mark.parametrize("dtype", [torch.int64, torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(2, 3), (0,), (3,), (4, 2, 3), ()])
@pytest.mark.parametrize("large", [False, True])
def test_out_of_tensors_is_as_for_functions_of_torch(function, dtype, shape, large):
    """As for torch.mul, that is."""
    x = torch.randn((200, 3) if large else (2, 3), generator=torch.Generator().manual_seed(0))
    function = WITH_OUT[function]

    def answer(compute):
        out = torch.full(shape, 7).to(dtype)
        try:
            return compute(out), out
        except RuntimeError as error:
            return str(error), out

    expected = function(x, None)
    found, out = answer(lambda out: function(x, out=out))
    theirs, _ = answer(lambda out: torch.mul(expected, 1, out=out))
    if isinstance(theirs, str):
        assert found == theirs
        assert (out == 7).all()
    else:
        assert found is out
        torch.testing.assert_close(found, theirs, rtol=0, atol=0)


@pytest.mark.parametrize("function", WITH_OUT)
def test_out_is_of_the_library_of_x(function):
    function = WITH_OUT[function]
    array, tensor = np.ones((2, 3)), torch.ones(2, 3)
    for out in (np.ones((2, 3)), (tensor,), [1.0], 5):
        with pytest.raises(TypeError, match="out must be a tensor, as the arguments are, but is"):
            function(tensor, out=out)
    for out in (tensor, [1.0], 5, jnp.ones((2, 3))):
        with pytest.raises(TypeError, match="out must be a NumPy array, as the arguments are"):
            function(array, out=out)
    out = np.zeros((2, 3))
    assert function(array, out=(out,)) is out
    np.testing.assert_array_equal(out, function(array, out=None))
    if function in (relu, WITH_OUT["leaky_relu"], WITH_OUT["prelu"], WITH_OUT["rrelu"]):
        with pytest.raises(RuntimeError, match="don't support automatic differentiation"):
            function(tensor.clone().requires_grad_(), out=torch.empty(2, 3))
