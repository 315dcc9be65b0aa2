"""Proofs that the cures work: treatment.md and its figures.

pip install ".[all]" && python docs/treatment.py > docs/treatment.md
"""

from __future__ import annotations

import copy
import importlib.metadata
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import torch
from matplotlib.ticker import PercentFormatter
from scipy import stats
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - its usual name

from leakyrelu import examine, replace, watch
from leakyrelu._plot.figure import NotebookFigure
from leakyrelu._plot.plot import COLORS
from leakyrelu.health import HealthWarning, Watch
from leakyrelu.treatment import Reviver, SelfRepair, treat

HERE = Path(__file__).parent
SEEDS = 8
PIXELS, LABELS = load_digits(return_X_y=True)
X, Y = torch.tensor(PIXELS / 16, dtype=torch.float32), torch.tensor(LABELS)
TRAINING = 1347  # examples; the others are for testing

# The stream of tasks, each with the pixels in another order.
TASKS, BATCH, LEARNING_RATE = 100, 16, 0.003
CURES = {
    "nothing": "nothing (ReLU)",
    "leaky_relu:0.1": "Leaky ReLU, slope 0.1",
    "prelu": "PReLU",
    "self-repair 0.01": "self-repair of 0.01",
    "revive": "dead units revived",
    "self-repair 0.1": "self-repair of 0.1",
}


def mlp(width: int, depth: int, inputs: int = 64, outputs: int = 10) -> nn.Sequential:
    """Return a ReLU network with He's initialisation."""
    layers: list[nn.Module] = []
    for number in range(depth):
        layers += [nn.Linear(width if number else inputs, width), nn.ReLU()]
    model = nn.Sequential(*layers, nn.Linear(width, outputs))
    for module in model:
        if isinstance(module, nn.Linear):
            nn.init.kaiming_normal_(module.weight)
            nn.init.zeros_(module.bias)
    return model


def epochs(
    model: nn.Module, count: int, learning_rate: float, seed: int, inputs: Tensor = X
) -> None:
    """Train on the training part with Adam."""
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(model.parameters(), learning_rate)
    model.train()
    for _ in range(count):
        for batch in torch.randperm(TRAINING, generator=generator).split(32):
            optimizer.zero_grad()
            F.cross_entropy(model(inputs[batch]), Y[batch]).backward()
            optimizer.step()


@torch.no_grad()
def accuracy(model: nn.Module, inputs: Tensor = X) -> float:
    model.eval()
    return (model(inputs[TRAINING:]).argmax(1) == Y[TRAINING:]).float().mean().item()


# --- Known dead units ----------------------------------------------------------------------


def known_deaths(seed: int) -> dict[str, tuple[float, ...]]:
    """Kill 90% of the units of each layer; return accuracies, and dead units before and after."""
    found = {}
    for what in ("intact", "killed", "killed, then treated"):
        torch.manual_seed(seed)
        model = mlp(40, 3)
        if what != "intact":
            with torch.no_grad():
                for module in list(model)[:-1:2]:
                    module.bias[:36] = -100.0
        dead = dead_share(model)
        if what == "killed, then treated":
            treat(model, X[:TRAINING], generator=torch.Generator().manual_seed(seed))
        after = dead_share(model)
        epochs(model, 10, 0.001, seed)
        found[what] = (accuracy(model), dead, after)
    return found


def dead_share(model: nn.Module) -> float:
    layers = examine(model, X[:TRAINING]).layers
    return float(torch.cat([layer.dead for layer in layers]).float().mean())


# --- A stream of tasks ---------------------------------------------------------------------


def stream(cure: str, seed: int) -> tuple[list[float], list[float]]:
    """Learn one task after the other; return the accuracy on, and the silent units after, each."""
    torch.manual_seed(seed)
    model: nn.Module = mlp(100, 3)
    if cure in ("leaky_relu:0.1", "prelu"):
        model = replace(model, cure)
    optimizer = torch.optim.Adam(model.parameters(), LEARNING_RATE)
    generator = torch.Generator().manual_seed(1000 + seed)
    steps = len(X) // BATCH
    accuracies = []
    if cure.startswith("self-repair"):
        health: Watch = SelfRepair(model, float(cure.split()[1]), window=steps)
    else:
        reviver = Reviver(model, optimizer) if cure == "revive" else None
        health = watch(model, window=steps, on_window=reviver)
    with health:
        for _ in range(TASKS):
            pixels = torch.randperm(64, generator=generator)
            examples = torch.randperm(len(X), generator=generator)[: steps * BATCH]
            right = 0
            for batch in examples.split(BATCH):
                scores = model(X[batch][:, pixels])
                right += int((scores.argmax(1) == Y[batch]).sum())
                optimizer.zero_grad()
                F.cross_entropy(scores, Y[batch]).backward()
                optimizer.step()
            accuracies.append(right / len(examples))
    history = health.history().groupby("step")[["dead", "stuck negative", "units"]].sum()
    silent = (history["dead"] + history["stuck negative"]) / history["units"]
    return accuracies, silent.tolist()


# --- The deep and narrow network -----------------------------------------------------------


def narrow(seed: int) -> dict[str, bool]:
    """Train 9 hidden layers of 2 on |x|; return who learned it, and whether it was born dead."""
    x = torch.linspace(-(3**0.5), 3**0.5, 64)[:, None]
    found = {}
    for cure in ("nothing", "treated", "leaky_relu:0.1"):
        torch.manual_seed(seed)
        model: nn.Module = mlp(2, 9, inputs=1, outputs=1)
        found["born dead"] = any(bool(layer.dead.all()) for layer in examine(model, x).layers)
        if cure == "leaky_relu:0.1":
            model = replace(model, cure)
        elif cure == "treated":
            treat(model, x, leak=None)
        optimizer = torch.optim.Adam(model.parameters(), 0.01)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 1000)
        for _ in range(1000):
            optimizer.zero_grad()
            error = F.mse_loss(model(x), x.abs())
            error.backward()
            optimizer.step()
            schedule.step()
        found[cure] = error.item() < 0.25**2
    return found


# --- A trained network, swapped ------------------------------------------------------------

SWAPS: dict[str, Callable[[nn.Module], nn.Module]] = {
    "none": copy.deepcopy,
    "leaky_relu:0.1": lambda model: replace(model, "leaky_relu:0.1"),
    "leaky_relu:0.1, warm_up=100": lambda model: replace(model, "leaky_relu:0.1", warm_up=100),
    "prelu": lambda model: replace(model, "prelu"),
    "prelu:0": lambda model: replace(model, "prelu:0"),
}


def swapped(seed: int) -> dict[str, tuple[float, ...]]:
    """Return accuracies: right after the swap of a trained CNN, and after 3 epochs more."""
    images = X.view(-1, 1, 8, 8)
    torch.manual_seed(seed)
    model = nn.Sequential(
        *(nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU()),
        *(nn.Conv2d(16, 32, 3, padding=1, stride=2), nn.BatchNorm2d(32), nn.ReLU()),
        *(nn.Flatten(), nn.Linear(512, 64), nn.ReLU(), nn.Linear(64, 10)),
    )
    epochs(model, 5, 0.001, seed, images)
    model.eval()
    before = model(images[TRAINING:])
    found = {}
    for name, swap in SWAPS.items():
        other = swap(model)
        is_same = float(torch.equal(before, other.eval()(images[TRAINING:])))
        right_after = accuracy(other, images)
        epochs(other, 3, 0.001, seed + 1, images)
        found[name] = (right_after, accuracy(other, images), is_same)
    return found


# --- The page ------------------------------------------------------------------------------


def interval(values: Sequence[float]) -> str:
    """Write the mean with its 95% interval (Student's t), in per cent."""
    mean, reach = np.mean(values), stats.sem(values) * stats.t.ppf(0.975, len(values) - 1)
    return f"{100 * mean:.1f} ± {100 * reach:.1f}%"


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [columns, ["---", *["---:"] * (len(columns) - 1)], *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def draw_stream(results: dict[str, list[tuple[list[float], list[float]]]]) -> None:
    figure = NotebookFigure(figsize=(9, 3.2))
    left, right = figure.subplots(1, 2)
    for (cure, label), color in zip(CURES.items(), COLORS, strict=False):
        for axes, which in ((left, 0), (right, 1)):
            each = np.array([result[which] for result in results[cure]])
            mean = each.mean(0)
            reach = stats.sem(each, axis=0) * stats.t.ppf(0.975, len(each) - 1)
            tasks = np.arange(1, len(mean) + 1)
            axes.plot(tasks, mean, color=color, label=label, linewidth=1.3)
            axes.fill_between(tasks, mean - reach, mean + reach, color=color, alpha=0.15, lw=0)
    left.set_ylabel("accuracy on the task")
    right.set_ylabel("silent units")
    for axes in (left, right):
        axes.set_xlabel("task")
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.2)
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=3)
    figure.savefig(HERE / "plasticity.svg", metadata={"Date": None})


def draw_others(
    known: list[dict[str, tuple[float, ...]]],
    fates: list[dict[str, bool]],
    swaps: list[dict[str, tuple[float, ...]]],
) -> None:
    figure = NotebookFigure(figsize=(9, 2.2))
    axes = figure.subplots(1, 3, width_ratios=[1, 1, 1.2])
    bars: list[tuple[str, dict[str, list[float]]]] = [
        ("test accuracy, 90% of units killed", {k: [one[k][0] for one in known] for k in known[0]}),
        (
            "networks that learn |x|",
            {k: [float(one[k]) for one in fates] for k in ("nothing", "treated", "leaky_relu:0.1")},
        ),
        ("accuracy right after the swap", {k: [one[k][0] for one in swaps] for k in SWAPS}),
    ]
    for axis, (title, values) in zip(axes, bars, strict=True):
        means = [np.mean(each) for each in values.values()]
        reach = [stats.sem(each) * stats.t.ppf(0.975, len(each) - 1) for each in values.values()]
        names = list(values)
        axis.barh(names, means, xerr=reach, color=COLORS[1], ecolor="#606060", height=0.6)
        axis.invert_yaxis()
        axis.set_title(title, fontsize=9)
        axis.tick_params(labelsize=8)
        axis.set_xlim(0, 1)
        axis.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(HERE / "cures.svg", metadata={"Date": None})


def quiet() -> None:
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", HealthWarning)


def main() -> None:
    """Run everything, draw the figures and print the page."""
    with ProcessPoolExecutor(os.cpu_count(), initializer=quiet) as pool:
        known = list(pool.map(known_deaths, range(SEEDS)))
        print("known deaths: done", file=sys.stderr)
        swaps = list(pool.map(swapped, range(SEEDS)))
        print("swaps: done", file=sys.stderr)
        fates = list(pool.map(narrow, range(60), chunksize=5))
        print("deep and narrow: done", file=sys.stderr)
        streams = {}
        for cure in CURES:
            streams[cure] = list(pool.map(partial(stream, cure), range(SEEDS)))
            print(f"stream, {cure}: done", file=sys.stderr)
    draw_stream(streams)
    draw_others(known, fates, swaps)
    by_kill = [
        [
            what,
            *(f"{100 * np.mean([one[what][k] for one in known]):.0f}%" for k in (1, 2)),
            interval([one[what][0] for one in known]),
        ]
        for what in known[0]
    ]
    by_cure = [
        [
            label,
            *(
                interval([float(np.mean(result[0][part])) for result in streams[cure]])
                for part in (slice(0, 10), slice(-10, None))
            ),
            interval([result[1][-1] for result in streams[cure]]),
        ]
        for cure, label in CURES.items()
    ]
    born = [one for one in fates if one["born dead"]]
    by_fate = [
        [
            cure,
            f"{100 * np.mean([one[cure] for one in fates]):.0f}%",
            f"{100 * np.mean([one[cure] for one in born]):.0f}%",
        ]
        for cure in ("nothing", "treated", "leaky_relu:0.1")
    ]
    by_swap = [
        [
            name,
            f"{sum(one[name][2] for one in swaps):.0f} of {SEEDS}",
            *(interval([one[name][k] for one in swaps]) for k in (0, 1)),
        ]
        for name in SWAPS
    ]
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in VERSIONS)
    print(
        PAGE.format(
            versions=versions,
            seeds=SEEDS,
            tasks=TASKS,
            learning_rate=LEARNING_RATE,
            batch=BATCH,
            born=len(born),
            networks=len(fates),
            by_kill=table(
                ["network", "dead at first", "dead after treatment", "test accuracy"], by_kill
            ),
            by_cure=table(
                ["cure", "accuracy, first 10 tasks", "last 10 tasks", "silent units at the end"],
                by_cure,
            ),
            by_fate=table(["cure", "learned \\|x\\|", "of those born dead"], by_fate),
            by_swap=table(
                ["swap", "same outputs, bit for bit", "accuracy right after", "3 epochs later"],
                by_swap,
            ),
        ),
        end="",
    )


VERSIONS = ["leakyrelu", "torch", "numpy", "scipy"]

PAGE = """\
# Treatment: cure a model, and see that it worked

| | |
| --- | --- |
| `leakyrelu.treat(model, data)` | finds the dead units, chooses the cure, shows before and after |
| `leakyrelu.revive(model, health)` | reinitializes dead units; outputs unchanged |
| `leakyrelu.replace(model, "leaky_relu:0.1")` | replaces activations, modules and calls |
| `leakyrelu.restore(model)` | undoes `replace` |
| `leakyrelu.watch(model, on_window=Reviver(model, optimizer))` | revives units during training |
| `leakyrelu.treatment.SelfRepair(model, 0.01)` | adds small corrective gradients during training |

```python
>>> import torch
>>> from torch import nn
>>> from leakyrelu import treat
>>> _ = torch.manual_seed(0)
>>> model = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 1))
>>> _ = model[0].bias.data[:3].fill_(-100.0)
>>> print(treat(model, torch.randn(500, 2)))
before: 3 of 8 units are dead, most in 1 (3 of 8) (window: 500 examples; ...).
- 1: 3 killed units reinitialized; outputs unchanged
- 1: relu replaced by leaky_relu:0.1, whose slope grows from 0 over 1000 steps
outputs: largest change 0 on 500 examples
after: 0 of 8 units are dead (window: 500 examples).
advice: watch the training (leakyrelu.watch) to see when and why units die

```

Given the `Watch` of the training (`health=`), it treats each unit by its cause: born dead units
have the signs of their weights flipped, killed units are reinitialized and get a leak that grows
from 0, units that fire rarely are left alone. Layers that are dead as a whole are treated from
the bottom up. The outputs are compared before and after each change; one that is to keep them and
does not is undone, and the result says so.

**On a trained model**, these keep the outputs: `revive`, and, of a model of ReLUs or ReLU6s,
`replace(model, "prelu:0")` and `replace(model, "leaky_relu:0.1", warm_up=1000)`. One of the Leaky
ReLU family keeps the upper bound of what it replaces: that of ReLU6 computes `min(f(x), 6)`.
`leakyrelu.parameter_groups(model,
weight_decay)` keeps PReLU slopes out of weight decay.

**In place or not**: with `inplace=True` the model itself is changed, with `inplace=False` a copy,
in `replace`, `restore`, `revive`, `treat` and `leakyrelu.nn.convert`. `replace` and `restore` make
a copy by default; the others change the model, so that its optimizer goes on working. The changed
model is returned, by `revive` and `treat` as `.model` of their result.

**An optimizer** (`optimizer=`) forgets what it knew of reinitialized weights, and of nothing else:
momentum, Adam's moments, Rprop's step sizes, Adafactor's rows and columns are as if new. `LBFGS`
is refused, as it keeps directions of all weights together. Behind a BatchNorm, `treat` takes the
running statistics of reinitialized units from the data, and `revive` from `data=`.

## Proofs

One command makes this page, with its figures and numbers:

`python docs/treatment.py > docs/treatment.md`: {versions}.
The data are handwritten digits of 8 x 8 pixels; ± is the 95% confidence interval of the mean over
{seeds} seeds.

![Test accuracy with killed units, deep narrow networks that learn, accuracy right after a swap]\
(cures.svg)

## Known dead units

Three hidden layers of 40 units; 90% of each layer are killed before training by a bias of -100.
Then 10 epochs of Adam.

{by_kill}

## A stream of tasks

Units die over time: {tasks} tasks in sequence, each the same digits with the pixels permuted,
each example seen once, in batches of {batch} (Adam, learning rate {learning_rate}; 3 hidden layers
of 100; the online permuted images of the loss-of-plasticity literature [1]). The accuracy is
measured on each batch before training on it. A network that keeps learning learns task {tasks} as
well as the first ones.

![Accuracy and silent units by task, for six cures](plasticity.svg)

{by_cure}

ReLU loses units from task to task, and with them the ability to learn. Leaky ReLU and PReLU lose
less; their silent units still get a gradient, but a leak alone does not bring them back. With dead
units reinitialized during training, nothing is lost here (`on_window=Reviver(...)`). Self-repair
with a strength of 0.01 comes next; 0.1 ruins the training, as Adam amplifies small gradients whose
sign never changes. Try it before you rely on it.

## Ten layers, two wide

The network of the [born-dead](born-dead.md) page on |x|: {born} of {networks} networks are
born dead. Before training (1,000 steps of Adam), `treat` flips signs in dead layers; a network has
learned |x| if its root mean squared error is below 0.25.

{by_fate}

Flipped signs let a gradient through, so more networks learn than without; but in a network this
narrow units keep dying in training, and a leak, which prevents that, works far better.

## Activations of a trained network, replaced

A CNN with two convolutions, each with BatchNorm, trained for 5 epochs; then its ReLUs are replaced.

{by_swap}

"Same outputs" compares all scores of the test images before and after. `prelu` starts with
a slope of 0.25.

## References

1. S. Dohare et al., "Loss of plasticity in deep continual learning", Nature 632, 2024.
"""

if __name__ == "__main__":
    main()
