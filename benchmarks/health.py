"""What it costs to watch a model train, beside the hooks people write and the tools they use.

python benchmarks/health.py [--quick]

All contestants train their own copy of one network in the same process, step by step in turns;
the times of the steps of a window are added up, and the ratios are taken window by window.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable
from statistics import median

import harness
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - its usual name

from leakyrelu import watch

WINDOW = 100
Start = Callable[[nn.Module], object]


def rectifiers(model: nn.Module) -> Iterable[nn.Module]:
    return (module for module in model.modules() if isinstance(module, nn.ReLU))


def ours(model: nn.Module) -> object:
    return watch(model, window=WINDOW).start()


def firing_hook(model: nn.Module) -> object:
    """Which units have fired, by the hook that one would write: at every step."""
    fired: dict[nn.Module, torch.Tensor] = {}

    def hook(module, args, output):
        others = [axis for axis in range(output.ndim) if axis != 1]
        now = (output.detach() > 0).any(others) if len(others) == 1 else any_of(output)
        fired[module] = fired[module] | now if module in fired else now

    def any_of(output):
        return (output.detach() > 0).transpose(0, 1).flatten(1).any(1)

    for module in rectifiers(model):
        module.register_forward_hook(hook)
    return fired


def statistics_hook(model: nn.Module) -> object:
    """Mean, standard deviation and near-zero share of each layer, as fastai's ActivationStats."""
    found: list[tuple[float, float, float]] = []

    def hook(module, args, output):
        out = output.detach()
        near_zero = (out <= 0.05).long().sum().item() / out.numel()
        found.append((out.mean().item(), out.std().item(), near_zero))

    for module in rectifiers(model):
        module.register_forward_hook(hook)
    return found


def histograms(every: int) -> Start:
    """Histograms of 64 bins of activations and gradients, as Weights & Biases draws them."""

    def start(model: nn.Module) -> object:
        found: list[torch.Tensor] = []
        steps = {}

        def draw(tensor):
            flat = tensor.detach().flatten()
            low, high = flat.min().item(), flat.max().item()
            found.append(torch.histc(flat, 64, low, high))
            del found[:-1000]

        def hook(module, args, output):
            steps[module] = steps.get(module, -1) + 1
            if steps[module] % every == 0:
                draw(output)

        def of_gradient(parameter):
            def hook(gradient):
                steps[parameter] = steps.get(parameter, -1) + 1
                if steps[parameter] % every == 0:
                    draw(gradient)

            return hook

        for module in rectifiers(model):
            module.register_forward_hook(hook)
        for parameter in model.parameters():
            parameter.register_hook(of_gradient(parameter))
        return found

    return start


CONTESTANTS: dict[str, Start] = {
    "nothing": lambda model: None,
    "watch": ours,
    "firing hook": firing_hook,
    "activation statistics": statistics_hook,
    "histograms, each step": histograms(1),
    f"histograms, each {WINDOW} steps": histograms(WINDOW),
}


class Block(nn.Module):
    """A residual block of the networks for small images."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1, self.relu1 = nn.BatchNorm2d(outputs), nn.ReLU()
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2, self.relu2 = nn.BatchNorm2d(outputs), nn.ReLU()
        self.stride, self.wider = stride, outputs - inputs

    def forward(self, x):
        out = self.bn2(self.conv2(self.relu1(self.bn1(self.conv1(x)))))
        shortcut = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.wider))
        return self.relu2(out + shortcut)


def resnet20() -> nn.Module:
    layers: list[nn.Module] = [nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
    inputs = 16
    for outputs in (16, 32, 64):
        for number in range(3):
            layers.append(Block(inputs, outputs, 2 if number == 0 and outputs > 16 else 1))
            inputs = outputs
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


def mlp() -> nn.Module:
    layers: list[nn.Module] = []
    for _ in range(4):
        layers += [nn.Linear(512, 512), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(512, 10))


def mlp_with_dead_units() -> nn.Module:
    """Of each layer 5% can't fire: these must be looked at in every step."""
    model = mlp()
    with torch.no_grad():
        for module in model:
            if isinstance(module, nn.Linear) and module.out_features == 512:
                module.bias[:26] = -100.0
    return model


def training(build: Callable[[], nn.Module], shape: tuple[int, ...], start: Start):
    """Return a call that makes one step of SGD, and what keeps the watching alive."""
    torch.manual_seed(0)
    model = build()
    optimizer = torch.optim.SGD(model.parameters(), 0.01, momentum=0.9)
    batches = [(torch.randn(shape), torch.randint(10, shape[:1])) for _ in range(8)]
    watching = start(model)
    step = 0

    def call():
        nonlocal step
        x, y = batches[step % len(batches)]
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
        optimizer.zero_grad()
        step += 1

    return call, watching


def compare(build, shape, windows: int) -> list[str]:
    """Return the cells of one row: the time of a step, and what each adds to it in per cent."""
    calls, kept = {}, []
    for name, start in CONTESTANTS.items():
        calls[name], watching = training(build, shape, start)
        kept.append(watching)
    names = list(calls)
    totals: dict[str, list[float]] = {name: [] for name in names}
    for number in range(windows + 1):
        spent = dict.fromkeys(names, 0.0)
        for step in range(WINDOW):
            turn = step % len(names)
            for name in names[turn:] + names[:turn]:
                begin = time.perf_counter()
                calls[name]()
                spent[name] += time.perf_counter() - begin
        print(build.__name__, f"window {number} of {windows}", file=sys.stderr)
        if number > 0:  # the first is for warming up
            for name in names:
                totals[name].append(spent[name])
    cells = [harness.duration(median(totals["nothing"]) / WINDOW)]
    for name in names[1:]:
        added = [
            100 * (mine / without - 1)
            for mine, without in zip(totals[name], totals["nothing"], strict=True)
        ]
        cells.append(f"{median(added):+.1f} ({min(added):+.1f} to {max(added):+.1f})")
    return cells


def main() -> None:
    """Print the table."""
    harness.keep_memory()
    quick = "--quick" in sys.argv
    print(harness.header(["leakyrelu", "torch"]))
    print(f"{os.cpu_count()} threads; time of a step, and what is added to it, in per cent:\n")
    rows = []
    for name, build, shape, windows in (
        ("ResNet-20, 64 images of 32 x 32", resnet20, (64, 3, 32, 32), 3),
        ("MLP 4 x 512, batch of 128", mlp, (128, 512), 9),
        ("the same, 5% of its units dead", mlp_with_dead_units, (128, 512), 9),
    ):
        shape = (4, *shape[1:]) if quick else shape
        rows.append([name, *compare(build, shape, 1 if quick else windows)])
    print(harness.table(["network", *CONTESTANTS], rows))


if __name__ == "__main__":
    main()
