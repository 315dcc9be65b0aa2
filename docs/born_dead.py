"""How often networks are born dead, and what becomes of them: born-dead.md and its figures.

pip install ".[all]" && python docs/born_dead.py > docs/born-dead.md
"""

from __future__ import annotations

import importlib.metadata
import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from torch import Tensor, nn

from leakyrelu._compare.networks.mlp import StackedMLP
from leakyrelu._plot.figure import NotebookFigure
from leakyrelu._plot.plot import COLORS
from leakyrelu.activations import parse
from leakyrelu.health import BornDead, born_dead

HERE = Path(__file__).parent

DEPTHS = [1, 2, 3, 5, 9, 14, 20, 30, 40]
WIDTHS = [2, 3, 4, 5, 8]
TRIALS = 2000
INITS = {"he": "He's initialisation, biases 0", "torch": "PyTorch's default, with biases"}

# The 10-layer, 2-wide network of Lu et al.: they count the output as a layer.
HIDDEN, WIDTH = 9, 2
ACTIVATIONS = ["relu", "leaky_relu:0.01", "leaky_relu:0.1"]
NETWORKS = 1000
STEPS = 2000
LEARNING_RATE = 0.01
X = torch.linspace(-(3**0.5), 3**0.5, 64)  # of variance 1, as the initialisation supposes

# What a trained network is, by its root mean squared error: on |x| the best constant has 0.51,
# and the best that follows one arm and is constant elsewhere 0.42.
LEARNED, ONE_ARM = 0.25, 0.48
FATES = {"|x|": "#1f86c8", "one arm": "#606060", "constant": "#d9731a"}


@dataclass(frozen=True)
class Fates:
    """What became of the networks with one activation, each an entry.

    Attributes
    ----------
    silent : Tensor of bool
        Before training a layer fired for no example: with ReLU the network was born dead.
    outputs : Tensor, shape (networks, examples)
        After training.
    """

    silent: Tensor
    outputs: Tensor

    @property
    def errors(self) -> Tensor:
        return (self.outputs - X.abs()).square().mean(1).sqrt()

    @property
    def fate(self) -> dict[str, Tensor]:
        """For each of `FATES`, which networks had it."""
        learned, constant = self.errors < LEARNED, self.errors > ONE_ARM
        return {"|x|": learned, "one arm": ~learned & ~constant, "constant": constant}


def train(activation: str) -> Fates:
    """Train the networks on |x|, side by side, with Adam and all examples in each step."""
    sizes = [1, *[WIDTH] * HIDDEN, 1]
    network = StackedMLP(parse(activation), sizes, tuple(range(NETWORKS)))
    x, y = X[:, None].expand(NETWORKS, -1, -1), X.abs()[:, None]
    silent = torch.zeros(NETWORKS, dtype=torch.bool)
    with torch.no_grad():
        network(x, lambda _, z: silent.logical_or_((z <= 0).all(1).all(1)))
    network.parameters.grad = network.gradient
    optimizer = torch.optim.Adam([network.parameters], lr=LEARNING_RATE, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    for _ in range(STEPS):
        # Summed over the networks: the gradient of each is that of its own mean loss.
        network.differentiate((network(x) - y).square().mean((1, 2)).sum())
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        return Fates(silent, network(x)[..., 0])


class Residual(nn.Module):
    """A ReLU network in which the input of each layer is added to its output."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(1, WIDTH)
        self.layers = nn.ModuleList(nn.Linear(WIDTH, WIDTH) for _ in range(HIDDEN))

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        for layer in self.layers:
            x = x + layer(x).relu()
        return x


def normalized() -> nn.Sequential:
    """Make a ReLU network with BatchNorm before each ReLU."""
    layers: list[nn.Module] = []
    for fan_in in [1, *[WIDTH] * (HIDDEN - 1)]:
        layers += [nn.Linear(fan_in, WIDTH), nn.BatchNorm1d(WIDTH), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(WIDTH, 1))


def what_helps() -> dict[str, BornDead]:
    x = X[:, None]
    return {
        f"{HIDDEN} hidden layers of {WIDTH}, ReLU": born_dead(HIDDEN, WIDTH, data=x),
        "a third of the layers": born_dead(HIDDEN // 3, WIDTH, data=x),
        "twice as wide": born_dead(HIDDEN, 2 * WIDTH, data=x),
        "four times as wide": born_dead(HIDDEN, 4 * WIDTH, data=x),
        "Leaky ReLU": born_dead(HIDDEN, WIDTH, data=x, activation="leaky_relu"),
        "residual connections": born_dead(Residual, data=x),
        "BatchNorm before each ReLU": born_dead(normalized, data=x),
    }


def draw_probabilities(
    found: dict[tuple[str, int, int], BornDead], leaky: dict[tuple[str, int], BornDead]
) -> Figure:
    """Draw the probability by depth, a line each width and a panel each initialization."""
    figure = NotebookFigure(figsize=(9, 4))
    panels: Sequence[Axes] = figure.subplots(1, 2, sharey=True)
    for axes, (init, title) in zip(panels, INITS.items(), strict=True):
        for width, color in zip(WIDTHS, COLORS, strict=False):
            line = [found[init, depth, width] for depth in DEPTHS]
            draw_line(axes, line, color, f"ReLU, {width} wide")
            if init == "he":
                bounds = [one.bounds for one in line if one.bounds is not None]
                lower, upper = zip(*bounds, strict=True)
                axes.fill_between(DEPTHS, lower, upper, color=color, alpha=0.18, linewidth=0)
        draw_line(
            axes, [leaky[init, depth] for depth in DEPTHS], "black", f"Leaky ReLU, {WIDTH} wide"
        )
        axes.set_title(title)
        axes.set_xlabel("hidden layers")
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        axes.grid(color="0.9", linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("networks born dead")
    panels[0].set_ylim(-0.02, 1.02)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right center", frameon=False)
    return figure


def draw_line(axes: Axes, line: Sequence[BornDead], color: str, label: str) -> None:
    shares = [one.probability for one in line]
    low, high = zip(*(one.interval for one in line), strict=True)
    axes.plot(DEPTHS, shares, "o-", color=color, label=label, markersize=3.5, linewidth=1.2)
    # One line with gaps makes a smaller file than a line for each interval.
    depths = [depth for depth in DEPTHS for _ in range(3)]
    ends = [end for pair in zip(low, high, strict=True) for end in (*pair, math.nan)]
    axes.plot(depths, ends, color=color, linewidth=1.5)


def draw_fates(fates: dict[str, Fates], shown: int = 20) -> Figure:
    """Draw what some networks compute after training, and the shares of all of them."""
    figure = NotebookFigure(figsize=(9, 4.6))
    top, bottom = figure.subfigures(2, 1, height_ratios=[3, 1.7])
    panels: Sequence[Axes] = top.subplots(1, len(fates), sharey=True)
    for axes, (activation, one) in zip(panels, fates.items(), strict=True):
        axes.plot([X[0], 0, X[-1]], [X[-1], 0, X[-1]], color="0.87", linewidth=6, zorder=0)
        for fate, which in one.fate.items():
            for output in one.outputs[:shown][which[:shown]]:
                x, y = X[corners(output)], output[corners(output)]
                axes.plot(x, y, color=FATES[fate], linewidth=1, alpha=0.7)
        axes.set_title(f"{activation}: first {shown} networks")
        axes.set_xlabel("x")
        axes.spines[["top", "right"]].set_visible(False)
    bars: Axes = bottom.subplots()
    left = torch.zeros(len(fates))
    for fate, color in FATES.items():
        share = torch.tensor([float(one.fate[fate].float().mean()) for one in fates.values()])
        drawn = bars.barh(list(fates), share, left=left, color=color, label=fate, height=0.7)
        labels = [f"{value:.0%}" if value > 0.025 else "" for value in share.tolist()]
        bars.bar_label(drawn, labels, label_type="center", color="white", fontsize=8)
        left += share
    bars.invert_yaxis()
    bars.set_xlim(0, 1)
    bars.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    bars.set_xlabel(f"of {NETWORKS:,} networks each, after {STEPS:,} steps")
    bars.spines[["top", "right", "left"]].set_visible(False)
    bars.tick_params(axis="y", length=0)
    bottom.legend(loc="outside right center", frameon=False)
    return figure


def corners(y: Tensor) -> Tensor:
    """Return which points a line needs to look the same: the SVG gets smaller by much."""
    bent = y.diff(n=2).abs() > 1e-3
    end = torch.ones(1, dtype=torch.bool)
    return torch.cat([end, bent, end])


def save(figure: Figure, name: str) -> None:
    # No date and fixed ids: the same picture gives the same file.
    with matplotlib.rc_context({"svg.hashsalt": "leakyrelu", "svg.fonttype": "none"}):
        figure.savefig(HERE / name, metadata={"Date": None})


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def percent(share: float | Tensor) -> str:
    return f"{float(share):.1%}"


def span(ends: tuple[float, float] | None) -> str:
    return "" if ends is None else " to ".join(dict.fromkeys(map(percent, ends)))


def main() -> None:
    """Write the figures and print the page."""
    found = {
        (init, depth, width): born_dead(depth, width, init=init, trials=TRIALS)
        for init in INITS
        for depth in DEPTHS
        for width in WIDTHS
    }
    leaky = {
        (init, depth): born_dead(depth, WIDTH, init=init, activation="leaky_relu", trials=TRIALS)
        for init in INITS
        for depth in DEPTHS
    }
    save(draw_probabilities(found, leaky), "born-dead.svg")
    fates = {activation: train(activation) for activation in ACTIVATIONS}
    save(draw_fates(fates), "abs.svg")

    by_width = [
        [
            str(width),
            percent((he := found["he", HIDDEN, width]).probability),
            span(he.interval),
            span(he.bounds),
            percent((default := found["torch", HIDDEN, width]).probability),
            span(default.interval),
        ]
        for width in WIDTHS
    ]
    by_fate = [
        [
            activation,
            percent(one.silent.float().mean()),
            *(percent(which.float().mean()) for which in one.fate.values()),
            percent(one.fate["|x|"][one.silent].float().mean()),
        ]
        for activation, one in fates.items()
    ]
    helps = [
        [name, percent(one.probability), span(one.interval)] for name, one in what_helps().items()
    ]
    relu = fates["relu"]
    killed = relu.fate["constant"] & ~relu.silent
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in VERSIONS)
    print(
        PAGE.format(
            versions=versions,
            example=textwrap.fill(str(born_dead(HIDDEN, WIDTH)), 92),
            wide=born_dead(20, 64, trials=1).bounds[1],
            by_width=table(BY_WIDTH, by_width),
            by_fate=table(BY_FATE, by_fate),
            helps=table(HELPS, helps),
            constant=percent(relu.fate["constant"].float().mean()),
            born_constant=percent(relu.fate["constant"][relu.silent].float().mean()),
            killed=percent(killed.float().mean()),
            trials=TRIALS,
            networks=NETWORKS,
            steps=STEPS,
            learning_rate=LEARNING_RATE,
            examples=len(X),
            learned=LEARNED,
            one_arm=ONE_ARM,
            hidden=HIDDEN,
            width=WIDTH,
        ),
        end="",
    )


VERSIONS = ["leakyrelu", "torch", "numpy"]
BY_WIDTH = ["width", "He", "95% interval", "theory", "PyTorch's default", "95% interval"]
BY_FATE = [
    "activation",
    "a layer silent at the start",
    "learned \\|x\\|",
    "one arm",
    "constant",
    "\\|x\\| among those with a silent layer",
]
HELPS = ["network", "born dead", "95% interval"]

PAGE = """\
# Born dead

A network is *born dead* if, before its first update, one of its layers fires for no example at
all. That layer outputs zero for every input; the layers above turn it into a constant, and the
layers below get no gradient. Training can move that constant and nothing else. One call estimates
how likely that is:

```python
>>> import leakyrelu
>>> print(leakyrelu.born_dead({hidden}, {width}))
{example}

```

One command makes this page, with its figures and numbers, in a few minutes:

`python docs/born_dead.py > docs/born-dead.md`: {versions}

## By depth and width

![Share of networks born dead by number of hidden layers, for widths 2 to 8](born-dead.svg)

Drawn by `python docs/born_dead.py` with `leakyrelu.born_dead(depth, width, init=...)`: {trials:,}
random networks per point, one input, 256 examples from the standard normal distribution. Bars are
95% intervals, shaded bands the bounds from theory. With {hidden} hidden layers:

{by_width}

The deeper and narrower the network, the more likely. Leaky ReLU is the black line at 0: units
that do not fire still pass on a hundredth of their input and of the gradient. With biases, narrow
networks are born dead about as often as without, wider ones somewhat more often.

**Theory** (Lu et al. [1], Rister and Rubin [2]) bounds the probability from both sides. The
bands are for biases of 0. Their upper edge counts, from the third layer on, the networks that
lose one given example: a layer of `N` units does so with probability `2^-N`. Their lower edge is
a Markov chain that follows the positive and the negative examples. For one or two hidden layers
the edges meet and the probability is exact, as it is for any depth if all examples have the same
sign. Otherwise no formula of the widths alone can be exact, as the distribution of the weights
matters a little; that takes simulation. `help(leakyrelu.born_dead)` has the formulas and their
sources.

The simulation only uses the given examples. With biases, or with more than one input, a network
that is dead on these may be alive on others.

## Ten layers, two wide, for |x|

`|x| = relu(x) + relu(-x)`, so one hidden layer of two units is enough. Lu et al. took ten
layers of two, which in their count is {hidden} hidden layers and the output, and report that
over 90% of a thousand such networks ended as a constant. Here are {networks:,}, with ReLU and
with Leaky ReLU, from the same initial weights (He, biases 0).

![What the first 20 networks of each activation learned, and the shares of all](abs.svg)

Trained by `python docs/born_dead.py`: {examples} examples from -√3 to √3, all of them in each of
{steps:,} steps of Adam, with a cosine schedule from {learning_rate} to 0.

{by_fate}

A layer is *silent* if it fires for no example; with ReLU the network is then born dead. A
network has *learned |x|* if its root mean squared error is below {learned}, and is *constant*
if that is above {one_arm} (the best constant has 0.51). Nearly all networks in between have
*one arm*: they follow |x| on one side, and are flat elsewhere.

- Of the ReLU networks born dead, {born_constant} ended as a constant, as they must.
  Another {killed} of all networks were alive at first and died in training.
- Leaky ReLU has silent layers at the start, too, but most of those networks learn |x|
  nevertheless, as the last column shows.
- A slope of 0.01 does not cure everything. Each silent layer multiplies the gradient by 0.01,
  and after {steps:,} steps some networks are still a constant, and as many have only one arm.
  Networks with a slope of 0.1 learn more often.
- Nobody needs this network, but it isolates the mechanism. At ordinary sizes hardly any network
  is born dead (20 layers of 64: at most {wide:.0e} by theory), though units do die during
  training; `leakyrelu.watch` shows when.

## What helps

The same {hidden} layers of {width}, with one change in each row and PyTorch's initialization;
1,000 networks each, by `leakyrelu.born_dead`:

{helps}

With residual connections layers still fall silent, but the signal passes around them. BatchNorm
centers each unit over the batch, so that it fires for some example. Rister and Rubin discuss
both; Lu et al. propose an asymmetric initialization instead.

## References

1. L. Lu, Y. Shin, Y. Su and G. E. Karniadakis, "Dying ReLU and initialization: theory and
   numerical examples", Communications in Computational Physics 28, 2020,
   [arXiv:1903.06733](https://arxiv.org/abs/1903.06733).
2. B. Rister and D. L. Rubin, "Probabilistic bounds on neuron death in deep rectifier networks",
   2020, [arXiv:2007.06192](https://arxiv.org/abs/2007.06192).
"""

if __name__ == "__main__":
    main()
