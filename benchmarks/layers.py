"""The layers of leakyrelu.nn against those of torch.nn: time, memory, and a training step.

python benchmarks/layers.py [--quick] [--default-allocator]
python benchmarks/layers.py --memory [--quick]      only the memory, which is the same at any load

Large tensors are allocated anew at each step. Whether the system's allocator reuses their memory
or has it handed out again page by page depends on what happened before, and makes a difference
of up to ten times: for everybody, at random. So it is told to keep what was freed, as jemalloc
and tcmalloc do, unless --default-allocator is given.
"""

from __future__ import annotations

import functools
import itertools
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import harness
import torch

from leakyrelu import nn

SHAPES = {  # name: shape, memory format
    "64 x 64 x 56 x 56": ((64, 64, 56, 56), torch.contiguous_format),
    "64 x 64 x 56 x 56, channels last": ((64, 64, 56, 56), torch.channels_last),
    "32 x 256 x 14 x 14": ((32, 256, 14, 14), torch.contiguous_format),
    "32 x 512 x 7 x 7": ((32, 512, 7, 7), torch.contiguous_format),
    "16 x 64 x 4000 (speech)": ((16, 64, 4000), torch.contiguous_format),
    "1024 x 1024 (linear)": ((1024, 1024), torch.contiguous_format),
    "64 x 256 (linear)": ((64, 256), torch.contiguous_format),
    "16 x 32 (linear)": ((16, 32), torch.contiguous_format),
}
Calls = dict[str, Callable[[], object]]


def of_shape(shape, memory_format, dtype):
    """Return an input, a gradient for the output, and a layer of each kind."""
    torch.manual_seed(0)
    x = torch.randn(shape).to(dtype=dtype, memory_format=memory_format).requires_grad_()
    layers = {
        "ours": nn.PReLU(shape[1], dtype=dtype),
        "PReLU": torch.nn.PReLU(shape[1], dtype=dtype),
        "LeakyReLU": torch.nn.LeakyReLU(0.25),
        "ours, LeakyReLU": nn.LeakyReLU(0.25),
        "ours, RReLU": nn.RReLU(),
    }
    if dtype != torch.float16:  # PyTorch has no RReLU for it on a CPU
        layers["RReLU"] = torch.nn.RReLU()
    return x, torch.randn_like(x), layers


def step(layer, x, gradient) -> Callable[[], object]:
    """Return a call that goes forward and back."""
    inputs = [x, *layer.parameters()]

    def run():
        return torch.autograd.grad(layer(x), inputs, gradient)

    return run


def backward(layer, x, gradient) -> Callable[[], object]:
    inputs, y = [x, *layer.parameters()], layer(x)

    def run():
        return torch.autograd.grad(y, inputs, gradient, retain_graph=True)

    return run


def forward(layer, x, gradient) -> Callable[[], object]:
    return lambda: layer(x)


def check(layers, x, gradient) -> None:
    """Both PReLU layers compute the same."""
    ours, theirs = (step(layers[name], x, gradient)() for name in ("ours", "PReLU"))
    assert torch.equal(layers["ours"](x), layers["PReLU"](x))
    assert torch.equal(layers["ours, LeakyReLU"](x), layers["LeakyReLU"](x))
    assert torch.equal(ours[0], theirs[0])
    if x.dtype in (torch.float32, torch.float64):
        torch.testing.assert_close(ours[1], theirs[1], rtol=1e-3, atol=1e-3 * x.numel() ** 0.5)


def ratio(timings, peer: str) -> str:
    if peer not in timings:
        return ""
    found = timings[peer]
    return f"{found.ratio:.2f} ({found.low:.2f}-{found.high:.2f})"


def eager(shapes, rounds: int) -> list[list[str]]:
    rows = []
    for name, (shape, memory_format) in shapes.items():
        dtypes = [torch.float32, torch.bfloat16]
        if name == next(iter(shapes)):
            dtypes += [torch.float64, torch.float16]
        for dtype in dtypes:
            x, gradient, layers = of_shape(shape, memory_format, dtype)
            check(layers, x, gradient)
            for what in (forward, backward, step):
                print(name, dtype, what.__name__, file=sys.stderr)
                calls = {name: what(layer, x, gradient) for name, layer in layers.items()}
                with torch.set_grad_enabled(what is not forward):
                    prelu = harness.compare(
                        {key: calls[key] for key in ("ours", "PReLU", "LeakyReLU")}, rounds
                    )
                    leaky = harness.compare(
                        {key: calls[key] for key in ("ours, LeakyReLU", "LeakyReLU")}, rounds
                    )
                    peers = [key for key in ("RReLU", "LeakyReLU") if key in calls]
                    rrelu = harness.compare(
                        {key: calls[key] for key in ("ours, RReLU", *peers)}, rounds
                    )
                rows.append(
                    [
                        f"{name}, {str(dtype).removeprefix('torch.')}, {LABELS[what]}",
                        harness.duration(prelu["ours"].seconds),
                        ratio(prelu, "PReLU"),
                        ratio(prelu, "LeakyReLU"),
                        harness.duration(leaky["ours, LeakyReLU"].seconds),
                        ratio(leaky, "LeakyReLU"),
                        harness.duration(rrelu["ours, RReLU"].seconds),
                        ratio(rrelu, "RReLU"),
                        ratio(rrelu, "LeakyReLU"),
                    ]
                )
    return rows


LABELS = {forward: "forward, no gradient", backward: "backward", step: "both"}


def compiled(shapes, rounds: int) -> list[list[str]]:
    """Return rows for the layer in a compiled function, with something to be fused with."""
    rows = []
    for name, (shape, memory_format) in shapes.items():
        x, gradient, layers = of_shape(shape, memory_format, torch.float32)
        torch._dynamo.reset()  # a function is compiled for so many modules and shapes, not more
        calls = {}
        for key in ("ours", "PReLU", "LeakyReLU"):
            layer = layers[key]
            module = torch.nn.Sequential(torch.nn.Hardtanh(-3, 3), layer)
            calls[key] = step(torch.compile(module), x, gradient)
            calls[key]()
        calls["ours, eager"] = step(
            torch.nn.Sequential(torch.nn.Hardtanh(-3, 3), layers["ours"]), x, gradient
        )
        print(name, "compiled", file=sys.stderr)
        timings = harness.compare(calls, rounds)
        peers = ("PReLU", "LeakyReLU", "ours, eager")
        times = [harness.duration(timings["ours"].seconds)]
        rows.append([name, *times, *(ratio(timings, peer) for peer in peers)])
    return rows


def peak(call: Callable[[], object]) -> int:
    """Return by how many bytes the process grows at most while it runs."""

    def status(field: str) -> int:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith(field):
                return int(line.split()[1]) * 1024
        raise RuntimeError(f"no {field} in /proc/self/status")

    call()
    Path("/proc/self/clear_refs").write_text("5")  # the peak from now on
    before = status("VmRSS")
    call()
    return status("VmHWM") - before


def memory(shapes) -> list[list[str]]:
    rows = []
    for name, (shape, memory_format) in shapes.items():
        x, gradient, layers = of_shape(shape, memory_format, torch.float32)
        if x.nbytes < 2**25:  # smaller pieces come from memory that the process has already
            continue
        rows.append(
            [name, *(f"{peak(backward(it, x, gradient)) / x.nbytes:.2f}" for it in layers.values())]
        )
    return rows


def allocated(call: Callable[[], object]) -> int:
    """Return by how many bytes PyTorch's tensors grow at most while it runs."""
    call()
    activities = [torch.profiler.ProfilerActivity.CPU]
    with torch.profiler.profile(activities=activities, profile_memory=True) as profile:
        call()
    events = profile.profiler.kineto_results.events()
    changes = sorted(
        (event.start_ns(), event.nbytes()) for event in events if event.name() == "[memory]"
    )
    return max(itertools.accumulate(change for _, change in changes))


def kept(model, x) -> int:
    """Return the bytes that the forward pass keeps for the backward pass, besides parameters."""
    storages: dict[int, int] = {}

    def pack(tensor):
        storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        y = model(x)
    for own in (x, *model.parameters(), *model.buffers()):
        storages.pop(own.untyped_storage().data_ptr(), None)
    del y
    return sum(storages.values())


class InPlaceABN(torch.nn.Module):
    """BatchNorm and Leaky ReLU in one, which keep only the output of both.

    After S. Rota Bulò, L. Porzi and P. Kontschieder, "In-place activated BatchNorm for
    memory-optimized training of DNNs", CVPR 2018: the backward pass inverts the activation and
    uses the normalized input, which the output gives. In operations of PyTorch: for its memory.
    """

    def __init__(self, channels: int, negative_slope: float = 0.25) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(channels))
        self.bias = torch.nn.Parameter(torch.zeros(channels))
        self.negative_slope = negative_slope

    def forward(self, x):
        return _InPlaceABN.apply(x, self.weight, self.bias, self.negative_slope)


class _InPlaceABN(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight, bias, negative_slope):
        y, _, scale = torch.native_batch_norm(x, weight, bias, None, None, True, 0.1, 1e-5)
        y = torch.nn.functional.leaky_relu_(y, negative_slope)
        ctx.save_for_backward(y, weight, bias, scale)
        ctx.negative_slope = negative_slope
        return y

    @staticmethod
    def backward(ctx, gradient):
        y, weight, bias, scale = ctx.saved_tensors
        gradient = torch.ops.aten.leaky_relu_backward(gradient, y, ctx.negative_slope, True)
        y = torch.nn.functional.leaky_relu(y, 1 / ctx.negative_slope)
        normalized = y.sub_(bias[:, None, None]).div_(weight[:, None, None])
        of_bias, of_weight = gradient.sum((0, 2, 3)), (gradient * normalized).sum((0, 2, 3))
        n = gradient.numel() // len(weight)
        normalized.mul_((of_weight / n)[:, None, None]).add_((of_bias / n)[:, None, None])
        of_x = gradient.sub_(normalized).mul_((weight * scale)[:, None, None])
        return of_x, of_weight, of_bias, None


def convolutions(activation, between=torch.nn.Identity):
    """Return three convolutions of 3 x 3, and what stands between each and its activation."""
    model = torch.nn.Sequential()
    for _ in range(3):
        model.extend([torch.nn.Conv2d(32, 32, 3, padding=1), between(), activation()])
    return model.append(torch.nn.Conv2d(32, 8, 3, padding=1))


def steps_of(model, x) -> Callable[[], object]:
    """Return a call that trains for a step."""
    optimizer = torch.optim.SGD(model.parameters(), 1e-3)

    def call():
        model(x).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()

    return call


def memory_of_models(quick: bool) -> list[list[str]]:
    """Return rows of what whole models keep, and by how much tensors grow in a step."""
    norm = functools.partial(torch.nn.BatchNorm2d, 32)
    images = torch.randn(4 if quick else 16, 32, 128, 128)
    faces = torch.randn(2 if quick else 16, 3, 112, 112)
    models = {
        ("3 convolutions", "ReLU"): (convolutions(torch.nn.ReLU), images),
        ("", "torch's LeakyReLU"): (convolutions(torch.nn.LeakyReLU), images),
        ("", "torch's PReLU"): (convolutions(torch.nn.PReLU), images),
        ("", "torch's RReLU"): (convolutions(torch.nn.RReLU), images),
        ("", "our LeakyReLU"): (convolutions(nn.LeakyReLU), images),
        ("", "our PReLU"): (convolutions(nn.PReLU), images),
        ("", "our RReLU"): (convolutions(nn.RReLU), images),
        ("3 convolutions, BatchNorm", "ReLU"): (convolutions(torch.nn.ReLU, norm), images),
        ("", "torch's LeakyReLU "): (convolutions(torch.nn.LeakyReLU, norm), images),
        ("", "our LeakyReLU "): (convolutions(nn.LeakyReLU, norm), images),
        ("", "in-place ABN"): (convolutions(functools.partial(InPlaceABN, 32)), images),
        ("iResNet-18", "torch's PReLU"): (iresnet18(), faces),
        ("", "our PReLU "): (nn.convert(iresnet18()), faces),
        ("FSRCNN, PReLU", "torch's PReLU"): (fsrcnn(), faces[:, :1]),
        ("", "our PReLU  "): (nn.convert(fsrcnn()), faces[:, :1]),
    }
    rows = []
    for (name, activation), (model, x) in models.items():
        in_a_step = allocated(steps_of(model, x))
        rows.append(
            [name, activation.strip(), *(f"{n / 2**20:.1f}" for n in (kept(model, x), in_a_step))]
        )
    return rows


def fsrcnn() -> torch.nn.Module:
    """Return the network for super-resolution of C. Dong, C. C. Loy and X. Tang, ECCV 2016."""
    torch.manual_seed(0)
    model = torch.nn.Sequential()
    sizes = [(1, 56, 5), (56, 12, 1), *[(12, 12, 3)] * 4, (12, 56, 1)]
    for inputs, outputs, size in sizes:
        convolution = torch.nn.Conv2d(inputs, outputs, size, padding=size // 2)
        model.extend([convolution, torch.nn.PReLU(outputs)])
    return model.append(torch.nn.ConvTranspose2d(56, 1, 9, 3, padding=4, output_padding=2))


class Block(torch.nn.Module):
    """The block of the face-recognition networks (ArcFace's iResNet)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.residual = torch.nn.Sequential(
            torch.nn.BatchNorm2d(inputs),
            torch.nn.Conv2d(inputs, outputs, 3, 1, 1, bias=False),
            torch.nn.BatchNorm2d(outputs),
            torch.nn.PReLU(outputs),
            torch.nn.Conv2d(outputs, outputs, 3, stride, 1, bias=False),
            torch.nn.BatchNorm2d(outputs),
        )
        self.shortcut = torch.nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = torch.nn.Sequential(
                torch.nn.Conv2d(inputs, outputs, 1, stride, bias=False),
                torch.nn.BatchNorm2d(outputs),
            )

    def forward(self, x):
        return self.residual(x) + self.shortcut(x)


def iresnet18() -> torch.nn.Module:
    """Return the smallest of that family, for images of 112 x 112."""
    torch.manual_seed(0)
    stem = [torch.nn.Conv2d(3, 64, 3, 1, 1, bias=False), torch.nn.BatchNorm2d(64)]
    blocks, inputs = [], 64
    for outputs in (64, 128, 256, 512):
        blocks += [Block(inputs, outputs, 2), Block(outputs, outputs, 1)]
        inputs = outputs
    head = [torch.nn.BatchNorm2d(512), torch.nn.Flatten(), torch.nn.Linear(512 * 49, 512)]
    return torch.nn.Sequential(*stem, torch.nn.PReLU(64), *blocks, *head)


def training(batch: int, rounds: int) -> list[list[str]]:
    """Return rows for a step of SGD on images of random numbers."""
    rows = []
    for memory_format in (torch.contiguous_format, torch.channels_last):
        calls: Calls = {}
        for name in ("ours", "torch.nn", "LeakyReLU"):
            model = iresnet18().to(memory_format=memory_format)
            if name == "ours":
                nn.convert(model)
            if name == "LeakyReLU":
                for path, module in list(model.named_modules()):
                    if isinstance(module, torch.nn.PReLU):
                        model.set_submodule(path, torch.nn.LeakyReLU(0.25))
            images = torch.randn(batch, 3, 112, 112).to(memory_format=memory_format)
            calls[name] = steps_of(model, images)
        print("training", memory_format, file=sys.stderr)
        timings = harness.compare(calls, rounds)
        rows.append(
            [
                str(memory_format).removeprefix("torch."),
                harness.duration(timings["ours"].seconds),
                ratio(timings, "torch.nn"),
                ratio(timings, "LeakyReLU"),
            ]
        )
    return rows


def main() -> None:
    """Print the tables."""
    if not {"--default-allocator", "--memory"} & set(sys.argv):
        harness.keep_memory()
    quick = "--quick" in sys.argv
    shapes = {name: SHAPES[name] for name in list(SHAPES)[-4:]} if quick else SHAPES
    rounds = 3 if quick else 9
    if "--memory" in sys.argv:
        columns = ["input", "PReLU", "torch's PReLU", "torch's LeakyReLU", "LeakyReLU", "RReLU"]
        columns += ["torch's RReLU"]
        print("Peak memory of backward, in sizes of the input:\n", flush=True)
        print(harness.table(columns, memory(shapes)))
        print("MiB kept for the backward pass, and the peak of a training step:\n", flush=True)
        columns = ["network", "activation", "kept", "step"]
        print(harness.table(columns, memory_of_models(quick)))
        return
    print(harness.header(["leakyrelu", "torch"]))
    print(f"{torch.get_num_threads()} threads. Eager:\n")
    peers = ["PReLU", "torch's PReLU", "torch's LeakyReLU", "LeakyReLU", "torch's LeakyReLU"]
    peers += ["RReLU", "torch's RReLU", "torch's LeakyReLU"]
    print(harness.table(["input, dtype, pass", *peers], eager(shapes, rounds)))
    print("Compiled, after a Hardtanh, both ways, float32:\n")
    columns = ["input", "PReLU", "torch's PReLU", "LeakyReLU", "ours, not compiled"]
    print(harness.table(columns, compiled(shapes, 2 * rounds)))
    sys.stdout.flush()
    environment = {
        key: value for key, value in os.environ.items() if key not in harness.KEEP_MEMORY
    }
    command = [sys.executable, __file__, "--default-allocator", "--memory"]
    subprocess.run(command + ["--quick"] * quick, env=environment, check=True)
    batch = 2 if quick else 16
    print(f"A training step of iResNet-18, {batch} images of 112 x 112:\n")
    columns = ["memory format", "ours", "torch's PReLU", "LeakyReLU"]
    print(harness.table(columns, training(batch, rounds)))


if __name__ == "__main__":
    main()
