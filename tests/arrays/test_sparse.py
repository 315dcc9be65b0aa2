"""Sparse arrays: what is stored is computed, in every layout, and 0 stays 0."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leakyrelu import (
    leaky_relu,
    leaky_relu_backward,
    leaky_relu_derivative,
    prelu,
    relu,
    relu_derivative,
    rrelu,
    rrelu_derivative,
)

sp = pytest.importorskip("scipy.sparse")
torch = pytest.importorskip("torch")


def dense(y):
    return y.to_dense().numpy() if isinstance(y, torch.Tensor) else y.toarray()


@st.composite
def sparse_arrays(draw):
    shape = draw(st.tuples(st.integers(1, 6), st.integers(1, 6)))
    elements = st.sampled_from([0.0, 0.0, 0.0, -2.0, 3.0, -0.5])
    n = shape[0] * shape[1]
    x = np.array(draw(st.lists(elements, min_size=n, max_size=n))).reshape(shape)
    return x.astype(draw(st.sampled_from([np.float32, np.float64, np.int8, np.int64])))


@given(sparse_arrays(), st.sampled_from(["bsr", "coo", "csc", "csr", "dia", "dok", "lil"]))
@settings(max_examples=150, deadline=None)
def test_scipy_sparse(x, layout):
    slopes = np.linspace(0.1, 0.5, x.shape[1])
    for kind in (sp.coo_array, sp.coo_matrix):
        stored = kind(x).asformat(layout)
        for function in (
            relu,
            leaky_relu,
            rrelu,
            relu_derivative,
            lambda x: leaky_relu(x, -1),
            lambda x: leaky_relu(x, slopes),
            lambda x: prelu(x, slopes),
            lambda x: prelu(x, slopes[: x.shape[0]] if x.shape[0] <= len(slopes) else 0.5, axis=0),
        ):
            found, expected = function(stored), function(x)
            assert type(found) is type(stored)
            assert found.nnz <= stored.nnz
            np.testing.assert_allclose(dense(found), expected, rtol=1e-3)
        drawn = rrelu(stored, 0.1, 0.3, training=True, rng=0)
        np.testing.assert_array_equal(dense(drawn)[x >= 0], x[x >= 0])
        with np.errstate(all="ignore"):
            slopes_drawn = (dense(drawn) / x)[x < 0]
        assert ((slopes_drawn > 0.0999) & (slopes_drawn < 0.3001)).all()
        np.testing.assert_array_equal(dense(stored), x)  # as it was


TORCH_LAYOUTS = [torch.sparse_coo, torch.sparse_csr, torch.sparse_csc]


@pytest.mark.filterwarnings("ignore:Sparse")
@pytest.mark.parametrize("layout", [*TORCH_LAYOUTS, torch.sparse_bsr, torch.sparse_bsc])
def test_torch_sparse(layout):
    blocks = (2, 2) if layout in (torch.sparse_bsr, torch.sparse_bsc) else None
    x = torch.tensor([[0.0, -2.0, 0.0, 3.0], [0.0, 0.0, -1.0, 0.0]], dtype=torch.float64)
    slopes = torch.linspace(0.1, 0.4, 4, dtype=torch.float64)
    stored = x.to_sparse(layout=layout, blocksize=blocks)
    for function in (
        relu,
        leaky_relu,
        rrelu,
        relu_derivative,
        lambda x: leaky_relu(x, slopes),
        lambda x: prelu(x, slopes),
        lambda x: prelu(x, slopes.numpy()),
        lambda x: prelu(x, [0.1, 0.2], axis=0),
    ):
        found = function(stored)
        assert found.layout is layout
        torch.testing.assert_close(found.to_dense(), function(x), rtol=0, atol=0)
    drawn = rrelu(stored, 0.1, 0.3, training=True, rng=0).to_dense()
    assert torch.equal(drawn[x >= 0], x[x >= 0])
    assert ((drawn / x)[x < 0] <= 0.3).all()
    if layout not in (torch.sparse_coo, torch.sparse_csr):
        return  # PyTorch keeps no gradients of these
    leaf = stored.clone().requires_grad_()
    leaky_relu(leaf, 0.5).to_dense().sum().backward()
    expected = torch.where(x > 0, 1.0, 0.5).double() * (x != 0)
    torch.testing.assert_close(leaf.grad.to_dense() * (x != 0), expected)


def test_what_is_stored_twice_is_summed_first():
    rows, columns, values = [0, 0], [1, 1], [3.0, -5.0]
    for x in (
        sp.coo_array((values, (rows, columns)), shape=(1, 2)),
        sp.csr_array((values, columns, [0, 2]), shape=(1, 2)),
        torch.sparse_coo_tensor([rows, columns], values, (1, 2), check_invariants=True),
    ):
        assert dense(leaky_relu(x, 0.5)).tolist() == [[0, -1]]
        assert dense(prelu(x, [0.1, 0.5])).tolist() == [[0, -1]]


def test_hybrid_tensors():
    x = torch.sparse_coo_tensor([[0, 2]], [[-1.0, 2.0], [3.0, -4.0]], (3, 2), check_invariants=True)
    for function in (leaky_relu, lambda x: prelu(x, torch.tensor([0.1, 0.5]))):
        torch.testing.assert_close(function(x).to_dense(), function(x.to_dense()))


@pytest.mark.parametrize("x", [sp.eye_array(3).tocsr(), torch.eye(3).to_sparse()], ids=type)
def test_what_would_not_be_sparse_is_refused(x):
    for slope in (0.01, np.full(3, 0.1)):
        with pytest.raises(TypeError, match="the derivative of a sparse array is dense"):
            leaky_relu_derivative(x, slope)
    with pytest.raises(TypeError, match="the derivative of a sparse array is dense"):
        rrelu_derivative(x, training=True)
    with pytest.raises(TypeError, match="takes a sparse array only as x"):
        leaky_relu_backward(x, x)
    with pytest.raises(TypeError, match="takes a sparse array only as x"):
        leaky_relu(dense(x) if isinstance(x, sp.sparray) else x.to_dense(), x)
    for slope in (np.inf, np.array([0.1, np.nan, 0.1])):
        with pytest.raises(ValueError, match="the slope for a sparse array must be finite"):
            leaky_relu(x, slope)
    with pytest.raises(TypeError, match="can't be written to with out="):
        relu(x, out=x)


def test_a_batch_of_compressed_tensors():
    x = torch.stack([torch.tensor([[0.0, -2.0], [3.0, 0.0]])] * 2).to_sparse_csr()
    torch.testing.assert_close(leaky_relu(x, 0.5).to_dense(), leaky_relu(x.to_dense(), 0.5))
    with pytest.raises(TypeError, match="batch of compressed sparse tensors takes a single slope"):
        prelu(x, torch.tensor([0.1, 0.2]))
