"""No tensor without memory of its own reaches a pass: what would end the interpreter is tried."""

import subprocess
import sys

import pytest
import torch
from torch._subclasses import FakeTensorMode

from leakyrelu.nn import _cpu
from leakyrelu.nn._memory import addresses, is_plain

X = torch.randn(200, 100)


def freed(x, left=0):
    x.untyped_storage().resize_(left)
    return x


# Of another kind than memory that is read as it stands.
OTHERS = {
    "zeros": lambda: torch._efficientzerotensor((200, 100)),
    "a view of zeros": lambda: torch._efficientzerotensor((201, 100))[1:],
    "negated": lambda: torch.complex(X, X).conj().imag,
    "meta": lambda: X.to("meta"),
    "a view on meta": lambda: torch.empty(201, 100, device="meta")[1:],
    "functional": lambda: torch._to_functional_tensor(X),
    "a functional view": lambda: torch._to_functional_tensor(torch.randn(201, 100))[1:],
    "fake": lambda: FakeTensorMode().from_tensor(X),
    "sparse": lambda: X.to_sparse(),
    "sparse rows": lambda: X.to_sparse_csr(),
    "MKL-DNN": lambda: X.to_mkldnn(),
    "nested": lambda: torch.nested.nested_tensor(list(X)),
    "quantized": lambda: torch.quantize_per_tensor(X, 0.1, 0, torch.quint8),
}
# Plain, but there are not so many numbers of float32.
TOO_FEW = {
    "freed": lambda: freed(X.clone()),
    "a view of what is freed": lambda: freed_view(),
    "shortened": lambda: freed(X.clone(), 400),
    "a few": lambda: X[:100].clone(),
    "the end": lambda: X[1:],
    "of another dtype": lambda: X.double(),
    "of a smaller dtype": lambda: X.half(),
}


def freed_view():
    whole = torch.randn(201, 100)
    view = whole[1:]
    freed(whole)
    return view


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", [*OTHERS, *TOO_FEW])
def test_no_address_of_what_is_not_there(kind):
    tensor = {**OTHERS, **TOO_FEW}[kind]()
    assert is_plain(tensor) == (kind in TOO_FEW)
    if kind not in ("negated", "nested"):  # they have memory, of other numbers
        with pytest.raises(RuntimeError):
            addresses(-1, X.dtype, [(X, 20000), (tensor, 20000)])


@pytest.mark.parametrize(
    "tensor",
    [
        X,
        torch.nn.Parameter(X),
        X[3:],
        X.t(),
        X[0, 0],
        torch.empty(0),
        torch.empty(3, 0, 2),
        torch.ones(1).expand(5),
        torch._lazy_clone(X),
        torch.inference_mode()(X.clone)(),
    ],
)
def test_addresses_of_what_is_there(tensor):
    assert is_plain(tensor)
    elements = min(tensor.numel(), 1)
    assert addresses(-1, X.dtype, [(tensor, elements)]) == [tensor.data_ptr()]


def test_what_is_missing_is_told():
    x = freed(X.clone())
    with pytest.raises(RuntimeError, match=r"need 20000 numbers.*shape \(200, 100\).*freed or"):
        _cpu.prelu_backward(X, x, torch.ones(1), torch.empty_like(X), 1, 20000)
    with pytest.raises(RuntimeError, match=r"need 20000 numbers.*shape \(200, 100\).*freed or"):
        _cpu.rrelu(X, x, torch.empty_like(X), 0.1, 0.3, 5)


# Each with PyTorch's layer beside it: where that gives a gradient, so must ours, and the same;
# but from saved zeros PyTorch's gives a gradient of 0, where it is the slope.
TRIED = """
import faulthandler, sys, warnings
import torch
from torch.autograd.graph import saved_tensors_hooks
from leakyrelu import nn

faulthandler.enable()
warnings.simplefilter("ignore")
sys.path.insert(0, sys.argv[1])
from test_memory import OTHERS, TOO_FEW

class Gives(torch.autograd.Function):
    @staticmethod
    def forward(ctx, y, gradient):
        ctx.gradient = gradient
        return y.sum()

    @staticmethod
    def backward(ctx, _):
        return ctx.gradient(), None

def as_gradient(layer, x, kind):
    Gives.apply(layer(x), kind).backward()

def as_what_was_saved(layer, x, kind):
    with saved_tensors_hooks(lambda tensor: tensor, lambda x: kind() if x.dim() > 1 else x):
        y = layer(x)
    y.sum().backward()

def as_the_input(layer, x, kind):
    y = layer(kind())
    if y.requires_grad:
        y.sum().backward()

def by_sgn(layer, x, kind):
    torch.sgn(layer(x)).sum().backward()

crashes_pytorch = {"freed", "a view of what is freed", "shortened"}
kinds = {**OTHERS, **TOO_FEW}
for way in (as_gradient, as_what_was_saved, as_the_input, by_sgn):
    for make in ("LeakyReLU()", "PReLU()", "PReLU(100)", "PReLU(100, 0.0)", "RReLU(0.25, 0.25)"):
        for name, kind in kinds.items():
            if name in crashes_pytorch and (way is as_the_input or "Leaky" in make):
                continue  # PyTorch computes it
            print(way.__name__, make, name, flush=True)
            found = []
            for source in [nn] if name in crashes_pytorch else [nn, torch.nn]:
                torch.manual_seed(0)
                layer, x = eval(f"source.{make}"), torch.randn(200, 100, requires_grad=True)
                try:
                    way(layer, x, kind)
                    found.append([x.grad, *(slope.grad for slope in layer.parameters())])
                except Exception as error:
                    found.append(error)
            ours, theirs = found[0], found[-1]
            if name in crashes_pytorch:
                assert isinstance(ours, RuntimeError) or way is by_sgn, ours
            elif isinstance(theirs, list) and name not in TOO_FEW and make != "RReLU(0.25, 0.25)":
                assert isinstance(ours, list), ours
                for mine, its in zip(ours, theirs):
                    assert (mine is None) == (its is None)
                    if its is not None and way is not as_what_was_saved:
                        torch.testing.assert_close(mine.to_dense(), its.to_dense())
print("all")
"""


def test_layers_end_no_interpreter(request):
    command = [sys.executable, "-c", TRIED, str(request.path.parent)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, f"{done.stdout.splitlines()[-1:]}\n{done.stderr}"
    assert done.stdout.splitlines()[-1] == "all"
