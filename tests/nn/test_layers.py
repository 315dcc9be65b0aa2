"""The layers: everything people do with one of `torch.nn`."""

import copy
import functools
import io
import itertools
import math
import os
import pickle
import subprocess
import sys

import numpy as np
import onnx
import pytest
import torch
from onnx.reference import ReferenceEvaluator
from torch.ao import quantization
from torch.ao.quantization import quantize_fx
from torch.fx.experimental import optimization
from torch.fx.experimental.proxy_tensor import make_fx
from torch.fx.passes.shape_prop import ShapeProp
from torch.fx.passes.split_module import split_module
from torch.nn.utils import (
    parameters_to_vector,
    parametrizations,
    parametrize,
    prune,
    vector_to_parameters,
)
from torch.package import PackageExporter, PackageImporter
from torch.utils.checkpoint import checkpoint
from torch.utils.flop_counter import FlopCounterMode

from leakyrelu import nn

SHAPE = (4, 8, 32, 32)  # large enough for a pass


def passes(y):
    ours = ("_LeakyReLUBackward", "_PReLUBackward", "_RReLUBackward")
    return type(y.grad_fn).__name__ in ours


def layers():
    """Return ours and PyTorch's, with the same slopes."""
    slopes = torch.linspace(0.1, 0.5, 8)
    ours, theirs = nn.PReLU(8), torch.nn.PReLU(8)
    with torch.no_grad():
        ours.weight.copy_(slopes)
        theirs.weight.copy_(slopes)
    return ours, theirs


def test_they_are_pytorchs():
    for ours, theirs in [
        (nn.LeakyReLU(0.2), torch.nn.LeakyReLU(0.2)),
        (nn.PReLU(3, 0.1), torch.nn.PReLU(3, 0.1)),
        (nn.RReLU(0.1, 0.2, True), torch.nn.RReLU(0.1, 0.2, True)),
    ]:
        assert isinstance(ours, type(theirs))
        assert repr(ours) == repr(theirs)
        theirs.load_state_dict(ours.state_dict())
        ours.load_state_dict(theirs.state_dict())
        x = torch.randn(5, 3)
        assert torch.equal(ours.eval()(x), theirs.eval()(x))


def test_the_pass_is_taken():
    x = torch.randn(SHAPE)
    ours, theirs = layers()
    assert passes(ours(x))
    assert passes(nn.RReLU()(x.requires_grad_()))
    assert passes(nn.LeakyReLU()(x))
    assert torch.equal(ours(x), theirs(x))


def test_rrelu_in_place():
    x = torch.randn(SHAPE)
    assert nn.RReLU(inplace=True)(x) is x


def test_copies_and_pickles():
    x, (ours, _) = torch.randn(SHAPE), layers()
    buffer = io.BytesIO()
    torch.save(ours, buffer)
    buffer.seek(0)
    for other in (
        copy.deepcopy(ours),
        pickle.loads(pickle.dumps(ours)),
        torch.load(buffer, weights_only=False),
    ):
        assert type(other) is nn.PReLU
        assert torch.equal(other(x), ours(x))


def test_meta_and_other_dtypes():
    layer = nn.PReLU(8, device="meta", dtype=torch.bfloat16)
    assert layer(torch.empty(SHAPE, device="meta", dtype=torch.bfloat16)).shape == SHAPE
    layer = layer.to_empty(device="cpu")
    with torch.no_grad():
        layer.weight.fill_(0.5)
    assert passes(layer(torch.randn(SHAPE, dtype=torch.bfloat16)))


def test_a_parametrized_slope():
    x, (ours, theirs) = torch.randn(SHAPE), layers()
    for layer in (ours, theirs):
        parametrize.register_parametrization(layer, "weight", torch.nn.Sigmoid(), unsafe=True)
        layer(x).square().sum().backward()
    assert passes(ours(x))
    torch.testing.assert_close(
        ours.parametrizations.weight.original.grad, theirs.parametrizations.weight.original.grad
    )


@pytest.mark.parametrize("reentrant", [True, False])
@pytest.mark.parametrize("layer", [nn.LeakyReLU(0.2), nn.PReLU(8), nn.RReLU()])
def test_gradient_checkpointing(layer, reentrant):
    x = torch.randn(SHAPE)
    gradients = []
    for is_checkpointed in (False, True):
        torch.manual_seed(0)
        leaf = x.clone().requires_grad_()
        inside = leaf * 2
        checkpointed = functools.partial(checkpoint, layer, use_reentrant=reentrant)
        y = (checkpointed if is_checkpointed else layer)(inside)
        y.square().sum().backward()
        gradients.append(leaf.grad)
    assert torch.equal(*gradients)


def test_autocast_has_the_dtypes_of_pytorch():
    for dtype in (torch.float32, torch.bfloat16, torch.float64):
        x, (ours, theirs) = torch.randn(SHAPE, dtype=dtype), layers()

        def answer(layer, x=x):
            try:
                with torch.autocast("cpu", torch.bfloat16):
                    y = layer(x)
                assert passes(y) == (type(layer) is nn.PReLU)
                y.float().sum().backward()
            except RuntimeError as error:
                return str(error)
            return y, layer.weight.grad

        found, expected = answer(ours), answer(theirs)
        if isinstance(expected, str):
            assert found == expected
        else:
            assert found[0].dtype == expected[0].dtype
            assert torch.equal(found[0], expected[0])
            torch.testing.assert_close(found[1], expected[1], rtol=1e-2, atol=1e-2)


def network():
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3, padding=1), nn.PReLU(8), torch.nn.Flatten(), nn.PReLU()
    )


def test_compiles_into_one_graph():
    model, x = network(), torch.randn(4, 3, 16, 16)
    compiled = torch.compile(model, fullgraph=True)
    expected, found = model(x), compiled(x)
    torch.testing.assert_close(found, expected)
    found.square().sum().backward()
    gradients = [parameter.grad.clone() for parameter in model.parameters()]
    model.zero_grad()
    expected.square().sum().backward()
    for found, parameter in zip(gradients, model.parameters(), strict=True):
        torch.testing.assert_close(found, parameter.grad, rtol=1e-4, atol=1e-3)
    rrelu = torch.compile(nn.RReLU(), fullgraph=True)
    slopes = -rrelu(-torch.ones(100_000))
    assert slopes.min() >= 0.125
    assert slopes.max() <= 1 / 3
    assert slopes.std() > 0.05


@pytest.mark.parametrize("strict", [True, False])
def test_exports(strict):
    model, x = network().eval(), torch.randn(4, 3, 16, 16)
    program = torch.export.export(model, (x,), strict=strict)
    torch.testing.assert_close(program.module()(x), model(x))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("dynamo", [True, False])
def test_exports_to_onnx(dynamo, tmp_path):
    model, x = network().eval(), torch.randn(4, 3, 16, 16)
    path = tmp_path / "model.onnx"
    torch.onnx.export(model, (x,), path, dynamo=dynamo, input_names=["x"])
    exported = onnx.load(path)
    assert "PRelu" in [node.op_type for node in exported.graph.node]
    (found,) = ReferenceEvaluator(exported).run(None, {"x": x.numpy()})
    np.testing.assert_allclose(found, model(x).detach().numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_torch_jit():
    x, (ours, theirs) = torch.randn(SHAPE), layers()
    for make in (torch.jit.script, lambda layer: torch.jit.trace(layer, x)):
        assert torch.equal(make(ours)(x), make(theirs)(x))
    scripted = torch.jit.script(nn.RReLU())
    assert not torch.equal(scripted(x), scripted(x))


# --- What tools do with layers of PyTorch --------------------------------------------------


class TwoParts(torch.nn.Module):
    def forward(self, one, other):
        return one + other

    def right_inverse(self, weight):
        return weight / 2, weight / 2


def packaged(model):
    buffer = io.BytesIO()
    with PackageExporter(buffer) as exporter:
        exporter.extern(["torch.**", "leakyrelu.**"])
        exporter.save_pickle("model", "model.pkl", model)
    buffer.seek(0)
    return PackageImporter(buffer).load_pickle("model", "model.pkl")


def safely_loaded(model):
    buffer = io.BytesIO()
    torch.save(model, buffer)
    buffer.seek(0)
    with torch.serialization.safe_globals([*{type(module) for module in model.modules()}, set]):
        return torch.load(buffer, weights_only=True)


def scripted(model):
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.script(model), buffer)
    buffer.seek(0)
    return torch.jit.load(buffer)


def split(model):
    numbers = itertools.count()
    traced = torch.fx.symbolic_trace(model)
    return split_module(traced, model, lambda _: next(numbers) // 2)


def traced_with_shapes(model):
    traced = torch.fx.symbolic_trace(model)
    ShapeProp(traced).propagate(torch.randn(4, 3, 16, 16))
    assert [node.meta["tensor_meta"].shape[0] for node in traced.graph.nodes] == [4] * 9
    return traced


def scaled(model):
    vector = parameters_to_vector(model.parameters())
    vector_to_parameters(vector * 1.1, model.parameters())
    return model


def reshaped(change):
    """Return a tool that changes how each slope is made."""

    def tool(model):
        for module in model.modules():
            if isinstance(module, torch.nn.PReLU):
                change(module)
        return model

    return tool


def clipped(model):
    model(torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(5))).sum().backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 0.1)
    torch.optim.SGD(model.parameters(), 1.0).step()
    return model


def with_parameters(model):
    doubled = {name: 2 * value for name, value in model.state_dict().items()}
    return lambda x: torch.func.functional_call(model, doubled, (x,))


def counted(model):
    def call(x):
        with FlopCounterMode(display=False) as counter:
            y = model(x)
        assert counter.get_total_flops() > 0
        return y

    return call


def converted(model):
    """Return the names of the layers of this package."""
    ours = (nn.LeakyReLU, nn.PReLU, nn.RReLU)
    return [name for name, layer in model.named_modules() if type(layer) in ours]


TOOLS = {
    "torch.fx": torch.fx.symbolic_trace,
    "torch.fx, shapes": traced_with_shapes,
    "torch.fx, pickled": lambda model: pickle.loads(pickle.dumps(torch.fx.symbolic_trace(model))),
    "torch.fx, split": split,
    "torch.fx, interpreted": lambda model: torch.fx.Interpreter(torch.fx.symbolic_trace(model)).run,
    "torch.fx, fuse": optimization.fuse,
    "torch.fx, optimize_for_inference": optimization.optimize_for_inference,
    "quantization, fuse_fx": quantize_fx.fuse_fx,
    "quantization, dynamic": quantization.quantize_dynamic,
    "make_fx": lambda model: make_fx(model)(torch.randn(4, 3, 16, 16)),
    "AOTAutograd": lambda model: torch.compile(model, fullgraph=True, backend="aot_eager"),
    "export": lambda model: (
        torch.export.export(model, (torch.randn(4, 3, 16, 16),)).run_decompositions().module()
    ),
    "torch.jit.script": scripted,
    "torch.package": packaged,
    "weights_only": safely_loaded,
    "copy": copy.copy,
    "AveragedModel": torch.optim.swa_utils.AveragedModel,
    "DataParallel": torch.nn.DataParallel,
    "vectors": scaled,
    "gradients clipped": clipped,
    "functional_call": with_parameters,
    "FLOPs": counted,
    "prune": reshaped(lambda layer: prune.l1_unstructured(layer, "weight", 0.5)),
    "prune, for good": reshaped(
        lambda layer: prune.remove(prune.l1_unstructured(layer, "weight", 0.5), "weight")
    ),
    "parametrize": reshaped(
        lambda layer: parametrize.register_parametrization(layer, "weight", TwoParts())
    ),
    "weight_norm": reshaped(parametrizations.weight_norm),
    "weight_norm, older": reshaped(torch.nn.utils.weight_norm),
    "spectral_norm": reshaped(torch.nn.utils.spectral_norm),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("tool", TOOLS)
def test_a_tool_does_what_it_does_with_pytorchs(tool):
    x, found = torch.randn(4, 3, 16, 16), []
    for is_converted in (False, True):
        torch.manual_seed(0)
        model = torch.nn.Sequential(
            *[torch.nn.Conv2d(3, 8, 3, padding=1), torch.nn.PReLU(), torch.nn.RReLU(0.1, 0.3)],
            *[torch.nn.Flatten(), torch.nn.Linear(2048, 16), torch.nn.PReLU(16)],
            torch.nn.LeakyReLU(0.2),
        ).eval()
        if is_converted:
            assert converted(nn.convert(model)) == ["1", "2", "5", "6"]
        found.append(TOOLS[tool](model)(x))
    torch.testing.assert_close(*found)


def test_graphs_hold_the_layers_whole():
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), nn.PReLU(8), nn.RReLU(), nn.LeakyReLU())
    traced = torch.fx.symbolic_trace(model)
    calls = [node.target for node in traced.graph.nodes if node.op == "call_module"]
    assert calls == ["0", "1", "2", "3"]
    assert traced.get_submodule("1") is model[1]
    x = torch.randn(2, 3, 8, 8)
    assert not torch.equal(traced.train()(x), traced(x))
    assert torch.equal(traced.eval()(x), traced(x))


def test_what_a_subclass_computes_is_traced():
    class Twice(nn.PReLU):
        def forward(self, x):
            return super().forward(2 * x)

    traced = torch.fx.symbolic_trace(torch.nn.Sequential(Twice()))
    assert torch.prelu in [node.target for node in traced.graph.nodes]
    x = torch.randn(4, 5)
    assert torch.equal(traced(x), torch.prelu(2 * x, torch.tensor([0.25])))


def test_the_functions_are_traced():
    class Both(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.rand(8))

        def forward(self, x):
            return nn.functional.rrelu(nn.functional.prelu(x, self.weight), 0.1, 0.3)

    model, x = Both(), torch.randn(SHAPE)
    assert torch.equal(torch.fx.symbolic_trace(model)(x), model(x))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("in_training", [False, True])
def test_quantization_in_a_graph_leaves_the_layers_in_float(in_training):
    model = network().train(in_training)
    x = torch.randn(8, 3, 16, 16)
    if in_training:
        mapping = quantization.get_default_qat_qconfig_mapping("fbgemm")
        prepared = quantize_fx.prepare_qat_fx(copy.deepcopy(model), mapping, (x,))
    else:
        mapping = quantization.get_default_qconfig_mapping("fbgemm")
        prepared = quantize_fx.prepare_fx(copy.deepcopy(model), mapping, (x,))
    prepared(x)
    quantized = quantize_fx.convert_fx(prepared.eval())
    assert type(quantized.get_submodule("1")) is nn.PReLU
    assert (quantized(x) - model(x)).abs().max() < 0.1


@pytest.mark.filterwarnings("ignore")
def test_eager_quantization_after_the_way_back():
    def quantized(model):
        model = torch.nn.Sequential(quantization.QuantStub(), model, quantization.DeQuantStub())
        model.eval().qconfig = quantization.default_qconfig
        quantization.prepare(model, inplace=True)
        model(x)
        return quantization.convert(model)

    x = torch.randn(16, 8)
    theirs = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.PReLU())
    ours = copy.deepcopy(theirs)
    assert converted(nn.convert(ours)) == ["1"]
    assert converted(nn.convert(ours, back=True)) == []
    assert vars(ours[1]).keys() == vars(theirs[1]).keys()
    expected, found = quantized(theirs), quantized(ours)
    assert type(found[1][1]) is torch.ao.nn.quantized.PReLU
    assert torch.equal(found(x), expected(x))


def test_layers_without_memory_of_their_own():
    layer = torch.nn.utils.skip_init(nn.PReLU, 8)
    assert layer.weight.shape == (8,)
    with torch.device("meta"):
        assert nn.PReLU(8).weight.is_meta


DISTRIBUTED = """
import sys, torch
from torch import distributed
from torch.distributed import device_mesh, fsdp
import leakyrelu
from leakyrelu import nn

rank = int(sys.argv[1])
distributed.init_process_group("gloo", f"file://{sys.argv[2]}", rank=rank, world_size=2)
torch.manual_seed(0)
layer = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), nn.PReLU(8))
model = torch.nn.parallel.DistributedDataParallel(layer)
x = torch.randn(2, 4, 3, 34, 34)
y = model(x[rank])
assert type(y.grad_fn).__name__ == "_PReLUBackward", y.grad_fn
y.square().mean().backward()

sharded = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), nn.PReLU(8))
sharded.load_state_dict(layer.state_dict())
mesh = device_mesh.init_device_mesh("cpu", (2,))
for module in (*sharded, sharded):
    fsdp.fully_shard(module, mesh=mesh)
y = sharded(x[rank])
y.square().mean().backward()
for whole, part in zip(layer.parameters(), sharded.parameters()):
    torch.testing.assert_close(part.grad.full_tensor(), whole.grad)
decayed, slopes = leakyrelu.parameter_groups(sharded, 0.1)
assert slopes["params"] == [sharded[1].weight]
torch.optim.AdamW([decayed, slopes]).step()
distributed.destroy_process_group()
alone = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.PReLU(8))
alone.load_state_dict(layer.state_dict())
alone(x.flatten(0, 1)).square().mean().backward()
for ours, theirs in zip(layer.parameters(), alone.parameters()):
    torch.testing.assert_close(ours.grad, theirs.grad)
"""


def test_in_two_processes(tmp_path):
    command = [sys.executable, "-c", DISTRIBUTED]
    meeting = str(tmp_path / "meeting")
    processes = [
        subprocess.Popen([*command, str(rank), meeting], stderr=subprocess.PIPE, text=True)
        for rank in range(2)
    ]
    for process in processes:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors


THREADS = """
import os, torch
from leakyrelu import nn

x = torch.randn(64, 32, 32, 32, requires_grad=True)
layer = nn.PReLU(32)

def tasks():
    before = len(os.listdir("/proc/self/task"))
    layer(x).sum().backward()
    return len(os.listdir("/proc/self/task")) - before

torch.set_num_threads(1)
assert tasks() == 0
torch.set_num_threads(3)
assert tasks() == 2
libraries = {line.split()[-1] for line in open("/proc/self/maps") if "libgomp" in line}
print(*sorted(os.path.basename(path) for path in libraries))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_the_threads_are_those_of_pytorch():
    environment = {**os.environ, "OMP_NUM_THREADS": "2"}
    done = subprocess.run(
        [sys.executable, "-c", THREADS], env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.split()) <= 2  # that of the NumPy ufuncs is another


# --- A real model --------------------------------------------------------------------------


class Block(torch.nn.Module):
    """The block of the face-recognition networks (ArcFace's iResNet)."""

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.residual = torch.nn.Sequential(
            torch.nn.BatchNorm2d(inputs),
            torch.nn.Conv2d(inputs, outputs, 3, 1, 1, bias=False),
            torch.nn.BatchNorm2d(outputs),
            torch.nn.PReLU(outputs),
            torch.nn.Conv2d(outputs, outputs, 3, stride, 1, bias=False),
            torch.nn.BatchNorm2d(outputs),
        )
        self.shortcut = torch.nn.Sequential(
            torch.nn.Conv2d(inputs, outputs, 1, stride, bias=False),
            torch.nn.BatchNorm2d(outputs),
        )

    def forward(self, x):
        return self.residual(x) + self.shortcut(x)


def iresnet():
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Conv2d(1, 16, 3, 1, 1, bias=False),
        torch.nn.BatchNorm2d(16),
        torch.nn.PReLU(16),
        Block(16, 32, 2),
        Block(32, 32, 1),
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(),
        torch.nn.Linear(32, 10),
    )


def losses(model, layout):
    digits = pytest.importorskip("sklearn.datasets").load_digits()
    images = torch.tensor(digits.images, dtype=torch.float32).unsqueeze(1) / 16
    images = torch.nn.functional.interpolate(images, scale_factor=3)
    images = images.to(memory_format=layout)
    labels = torch.tensor(digits.target)
    optimizer = torch.optim.SGD(model.parameters(), 0.05, momentum=0.9)
    curve = []
    for start in range(0, 640, 64):
        batch = slice(start, start + 64)
        loss = torch.nn.functional.cross_entropy(model(images[batch]), labels[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        curve.append(loss.item())
    return curve


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_a_network_of_face_recognition_trains_the_same(layout):
    theirs = losses(iresnet().to(memory_format=layout), layout)
    model = iresnet().to(memory_format=layout)
    assert converted(nn.convert(model)) == ["2", "3.residual.3", "4.residual.3"]
    ours = losses(model, layout)
    assert theirs[-1] < theirs[0] * 0.9
    np.testing.assert_allclose(ours, theirs, rtol=2e-4)


def test_convert_keeps_everything():
    shared = torch.nn.PReLU()

    class Own(torch.nn.PReLU):
        pass

    model = torch.nn.Sequential(
        *[shared, torch.nn.RReLU(0.1, 0.2).eval(), shared, Own(), nn.PReLU(), torch.nn.ReLU()],
        torch.nn.LeakyReLU(0.3, inplace=True),
    )
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    calls = []
    shared.register_forward_hook(lambda *_: calls.append(1))
    assert nn.convert(model) is nn.convert(model) is model
    assert converted(model) == ["0", "1", "4", "6"]
    assert repr(model[6]) == "LeakyReLU(negative_slope=0.3, inplace=True)"
    assert model[0] is model[2] is shared
    assert type(shared) is nn.PReLU
    assert type(model[3]) is Own
    assert not model[1].training
    model[:3](torch.full(SHAPE, -1.0)).sum().backward()
    assert len(calls) == 2
    optimizer.step()
    assert shared.weight.item() > 0.25
    layer = torch.nn.RReLU()
    assert nn.convert(layer) is layer
    assert type(layer) is nn.RReLU
    with pytest.raises(TypeError, match=r"must be a torch.nn.Module, but is list"):
        nn.convert([shared])


@pytest.mark.parametrize("back", [False, True])
def test_convert_a_copy(back):
    model = torch.nn.Sequential(torch.nn.PReLU(), torch.nn.RReLU())
    if back:
        nn.convert(model)
    types = [type(layer) for layer in model]
    copied = nn.convert(model, back=back, inplace=False)
    assert [type(layer) for layer in model] == types
    assert converted(copied) == ([] if back else ["0", "1"])
    assert not set(map(id, copied.parameters())) & set(map(id, model.parameters()))


def test_no_extra_memory_of_full_size():
    """Backward allocates the gradient of the input and little else."""
    x = torch.randn(SHAPE, requires_grad=True)
    for layer in (nn.LeakyReLU(), nn.PReLU(8), nn.PReLU(), nn.RReLU()):
        y = layer(x)
        with torch.profiler.profile(profile_memory=True) as profile:
            y.backward(torch.ones(()).expand(SHAPE))
        taken = sum(
            max(event.self_cpu_memory_usage, 0)
            for event in profile.events()
            if "AccumulateGrad" not in event.name
        )
        assert taken <= 1.1 * x.nbytes, profile.key_averages().table()
        x.grad = None


def test_small_tensors_go_to_pytorch():
    assert not passes(nn.PReLU()(torch.randn(10)))


# --- Bad slopes ----------------------------------------------------------------------------


@pytest.mark.parametrize("init", [math.nan, math.inf, -math.inf, 1e39, 10**400])
def test_slopes_are_finite_at_first(init):
    with pytest.raises(ValueError, match=r"init must be a finite number of torch.float32, but is"):
        nn.PReLU(init=init)


@pytest.mark.parametrize("init", ["0.25", None, [0.25], torch.ones(2)])
def test_slopes_are_numbers(init):
    with pytest.raises(TypeError, match=r"init must be a number, but is"):
        nn.PReLU(init=init)


def test_slopes_that_their_dtype_holds():
    with pytest.raises(ValueError, match=r"of torch.float16, but is 70000"):
        nn.PReLU(init=70000, dtype=torch.float16)
    for init in (-1.7e308, 0, 1, -0.5, 1.7e308, torch.tensor(0.5), np.float32(0.5)):
        assert nn.PReLU(2, init, dtype=torch.float64).weight.tolist() == [float(init)] * 2


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_bounds_are_finite(bad):
    for bounds in [(bad, 0.5), (0.1, bad)]:
        with pytest.raises(ValueError, match=r"(lower|upper) must be a finite number"):
            nn.RReLU(*bounds)


def test_bounds_are_ordered():
    with pytest.raises(ValueError, match=r"not be above upper, but lower=0.5, upper=0.1"):
        nn.RReLU(0.5, 0.1)
    with pytest.raises(TypeError, match=r"upper must be a number, but is 'a'"):
        nn.RReLU(0.5, "a")
    for bounds in [(0.5, 0.5), (-1, 1), (0, 0)]:
        assert (nn.RReLU(*bounds).lower, nn.RReLU(*bounds).upper) == bounds


def test_the_largest_bounds():
    for size in (10, 20_000):
        x = -torch.ones(size, dtype=torch.float64)
        layer = nn.RReLU(-1.7e308, 1.7e308)
        assert torch.isfinite(layer(x)).all()
        assert torch.equal(layer.eval()(x), 0 * x)
        assert torch.equal(nn.RReLU(1.7e308, 1.7e308).eval()(x), 1.7e308 * x)
