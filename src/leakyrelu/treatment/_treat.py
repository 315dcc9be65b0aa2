"""From a diagnosis to the cure that fits it."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from leakyrelu._errors import InputError
from leakyrelu._trace.calls import unwrapped
from leakyrelu._trace.names import path_of
from leakyrelu._trace.weights import PLAIN
from leakyrelu.activations import Activation, parse
from leakyrelu.health._causes import BORN_DEAD, STARVED
from leakyrelu.health._examine import Examination, examine
from leakyrelu.health._layers import LayerHealth, names_of
from leakyrelu.health._result import Result, counted, table_of
from leakyrelu.health._watch import Watch
from leakyrelu.nn._model import model_to_change
from leakyrelu.treatment._optimizer import check_optimizer
from leakyrelu.treatment._outputs import Outputs, Snapshot
from leakyrelu.treatment._replace import replace
from leakyrelu.treatment._revive import refuse_optimizer_of_copy, revive
from leakyrelu.treatment._warm_up import WarmUpLeakyReLU

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Treatment", "treat"]


@dataclass(frozen=True)
class Treatment(Result):
    """The result of `treat`: print it, or use `table`, `to_json` or `to_html`.

    Attributes
    ----------
    model : torch.nn.Module
        The treated model.
    before, after : Examination
        What `examine` found on the same data.
    done : list of str
        What was done, and why; also what was undone, as it changed outputs that were to stay.
    outputs : str
        How much the outputs changed, and on how many examples.
    advice : list of str
        What to change in the training, so that it does not happen again.
    """

    model: nn.Module = field(repr=False)
    before: Examination
    after: Examination
    done: list[str] = field(default_factory=list)
    advice: list[str] = field(default_factory=list)
    outputs: str = ""

    @property
    def summary(self) -> str:
        """What was found before, done, and found after, line by line."""
        lines = [f"before: {self.before.summary}"]
        lines += [f"- {line}" for line in self.done or ["nothing to treat"]]
        lines += [f"outputs: {self.outputs}"] if self.outputs else []
        lines += [f"after: {self.after.summary}{self._still_without_slope()}"]
        lines += [f"advice: {line}" for line in self.advice]
        return "\n".join(lines)

    def _still_without_slope(self) -> str:
        """Say where dead units have a leak that has not grown yet."""
        modules = dict(unwrapped(self.model).named_modules(remove_duplicate=False))
        layers = [
            layer.layer
            for layer in self.after.layers
            if layer.dead.any() and isinstance(modules.get(path_of(layer.layer)), WarmUpLeakyReLU)
        ]
        if not layers:
            return ""
        return f" The slope of {', '.join(layers)} is 0 still: it grows as the model trains."

    def table(self) -> pd.DataFrame:
        """Return one row for each layer, with the percentage of dead units before and after."""
        pairs = _pairs(self.before.layers, self.after.layers)
        return table_of(
            [
                {
                    "layer": before.layer,
                    "function": before.function,
                    "units": before.units,
                    "dead % before": before.row()["dead %"],
                    "dead % after": after.row()["dead %"],
                }
                for _, before, after in pairs
            ]
        )

    def to_json(self) -> dict[str, Any]:
        """Return the result as plain types, without the model."""
        return {
            "summary": self.summary,
            "before": self.before.to_json(),
            "done": self.done,
            "outputs": self.outputs,
            "after": self.after.to_json(),
            "advice": self.advice,
        }


def treat(
    model: nn.Module,
    data: Tensor | Iterable[Any],
    *,
    health: Watch | None = None,
    optimizer: torch.optim.Optimizer | None = None,
    leak: str | Activation | None = "leaky_relu:0.1",
    warm_up: int = 1000,
    generator: torch.Generator | None = None,
    inplace: bool = True,
) -> Treatment:
    """Cure the dead units of a model, each according to its cause, and check the result.

    Parameters
    ----------
    model : torch.nn.Module
        The model.
    data : tensor, or iterable of batches
        As `examine` takes it; used several times, so not a generator.
    health : Watch, optional
        The `leakyrelu.watch` of its training: it knows the causes. Without it, dead units are
        treated as killed.
    optimizer : torch.optim.Optimizer, optional
        The one that trains the model: its state for reinitialized units is as if new.
    leak : spec or None, default "leaky_relu:0.1"
        The activation for layers in which units were killed, so that they can't die again;
        None keeps the activations.
    warm_up : int, default 1000
        The slope of a leaky_relu grows from 0 over this many training forwards, so that the
        outputs do not change at once.
    generator : torch.Generator, optional
        For new weights; see `revive`.
    inplace : bool, default True
        Change `model` itself, not a copy; the result has the changed model. A copy is not
        trained by `optimizer`.

    Returns
    -------
    Treatment
        The model, what was done and why, advice, and what `examine` found before and after.

    Raises
    ------
    TypeError
        If `model` is not a module.
    InputError
        If `data` is empty or does not fit the model, the model calls no known activation or
        can't be copied, `leak` is unknown, or an optimizer comes with ``inplace=False``.

    Notes
    -----
    In this order:

    - *A whole layer is dead*: it blocks the signal, so there are no outputs to preserve. The signs
      of the weights and biases that feed it are flipped, so that its units fire: what was
      negative is positive (Rister and Rubin [1]_ flip signs at initialization). The layers above
      were *starved*, and are examined again after that, from the bottom up.
    - *Born dead*: never trained, so their signs are flipped, too.
    - *Killed* by bias, weights or inputs: reinitialized by `revive`, with the same outputs, and
      given a `leak`.
    - *Rare*: no push was seen; left alone.

    The outputs of the model, in evaluation mode, are compared before and after each change, on
    as many examples as fit in 256 MiB with them. What is to keep them and does not, but for
    rounding, is undone.

    References
    ----------
    .. [1] B. Rister and D. L. Rubin, "Probabilistic bounds on neuron death in deep rectifier
       networks", 2020, arXiv:2007.06192.

    Examples
    --------
    >>> import torch
    >>> _ = torch.manual_seed(0)
    >>> model = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 1))
    >>> _ = model[0].bias.data[:3].fill_(-100.0)
    >>> treatment = treat(model, torch.randn(500, 2))
    >>> for line in treatment.done:
    ...     print(line)
    1: 3 killed units reinitialized; outputs unchanged
    1: relu replaced by leaky_relu:0.1, whose slope grows from 0 over 1000 steps
    >>> treatment.outputs
    'largest change 0 on 500 examples'
    >>> treatment.table()
      layer function  units  dead % before  dead % after
    0     1     relu      8           37.5           0.0
    """
    treated = model_to_change(model, inplace)
    model = unwrapped(treated)
    refuse_optimizer_of_copy(optimizer, inplace)
    if optimizer is not None:
        check_optimizer(optimizer, model)
    spec = None if leak is None else parse(leak)
    before = examine(model, data)
    done: list[str] = []
    outputs = Outputs(model, data)
    rows = [] if health is None else health.to_json()["dead units"]
    causes: Causes = {f"{row['layer']} {row['function']}": {} for row in rows}
    for row in rows:
        causes[f"{row['layer']} {row['function']}"][row["unit"]] = row["cause"]
    found = _open_blocked_layers(model, data, before, done)
    found = _flip_born_dead(model, data, found, causes, done)
    by_flips = outputs.change() if done else 0.0
    if done:
        outputs.renew()
    named = dict(zip(names_of(found.layers), found.layers, strict=True))
    rare = {name: _died_of(layer, causes, "rare") for name, layer in named.items()}
    killed = {name: layer.dead.cpu() & ~rare[name] for name, layer in named.items()}
    if any(units.any() for units in killed.values()):
        found = _only(found, killed)

        def revived(names: list[str]) -> list[str]:
            only = _only(found, {name: killed[name] & (name in names) for name in killed})
            revival = revive(model, only, optimizer=optimizer, data=data, generator=generator)
            left: dict[str, int] = {}
            for name, _, layer in _pairs(found.layers, examine(model, data).layers):
                units = torch.zeros(layer.units, dtype=torch.bool)
                units[revival.revived.get(name, [])] = True
                again = layer.dead.cpu() & units  # new weights may be unlucky, too
                if again.any() and not _flip(model, layer, again):
                    left[name] = int(again.sum())
            lines = []
            change = outputs.change()
            how = f"change by at most {change:.2g}" if change else "unchanged"
            for name, numbers in revival.revived.items():
                of_layer = causes.get(named[name].key, {})
                what = counted(len(numbers), "killed unit") + _by_cause(numbers, of_layer)
                failed = f"; {left[name]} of them dead as before" if name in left else ""
                lines.append(f"{name}: {what} reinitialized; outputs {how}{failed}")
            return lines + [f"{n}: not reinitialized: {why}" for n, why in revival.refused.items()]

        names = [name for name, units in killed.items() if units.any()]
        done += _keeping_outputs(revived, names, outputs, optimizer)
        if spec is not None:
            steps = warm_up if spec.name == "leaky_relu" else 0

            def leaked(names: list[str]) -> list[str]:
                only = _only(found, {name: killed[name] & (name in names) for name in killed})
                return _leaked(model, data, only, spec, steps)

            starts_as_relu = steps > 0 or spec.blocks_gradient
            done += _keeping_outputs(leaked, names, outputs) if starts_as_relu else leaked(names)
    for name, seldom in rare.items():
        if seldom.any():
            what = counted(int(seldom.sum()), "rarely firing unit")
            done.append(f"{name}: {what} left alone (not pushed below zero)")
    changes = f"largest change {outputs.change():.2g} on {counted(outputs.examples, 'example')}"
    if by_flips:
        changes += f"; before, the flipped signs changed them by up to {by_flips:.2g}"
    return Treatment(treated, before, examine(model, data), done, _advice(health), changes)


def _keeping_outputs(
    change: Callable[[list[str]], list[str]],
    names: list[str],
    outputs: Outputs,
    optimizer: torch.optim.Optimizer | None = None,
) -> list[str]:
    """Change the layers of these names, except where outputs change; return what was done."""
    undo = Snapshot(outputs.model, optimizer)
    lines = change(names)
    if outputs.are_kept():
        return lines
    largest = outputs.change()
    undo.restore()
    if len(names) == 1:
        return [f"{line}: undone, as outputs changed by {largest:.2g}" for line in lines]
    return [line for name in names for line in _keeping_outputs(change, [name], outputs, optimizer)]


def _leaked(
    model: nn.Module,
    data: Tensor | Iterable[Any],
    found: Examination,
    leak: Activation,
    warm_up: int,
) -> list[str]:
    """Give the layers with dead units a leak; say what was done, or why not."""
    why = ""
    try:
        replace(model, leak, where=found, warm_up=warm_up, inplace=True)
    except InputError as error:  # such as calls that are out of reach
        why = f": {error}"
    lines = []
    for name, was, now in _pairs(found.layers, examine(model, data).layers):
        kinds = [(layer.layer, layer.function, layer.blocks_gradient) for layer in (was, now)]
        if was.dead.any() and kinds[0] == kinds[1]:
            lines.append(f"{name}: {was.function} kept{why}")
        elif was.dead.any():
            how = f", whose slope grows from 0 over {warm_up} steps" if warm_up else ""
            lines.append(f"{name}: {was.function} replaced by {leak}{how}")
    return lines


def _pairs(
    before: list[LayerHealth], after: list[LayerHealth]
) -> list[tuple[str, LayerHealth, LayerHealth]]:
    """Pair the layers, with their name before.

    After a change some may be reached by examples no more, or for once.
    """
    names = names_of(before)
    if len(before) == len(after):
        return list(zip(names, before, after, strict=True))
    now = {layer.layer: layer for layer in after}
    named = zip(names, before, strict=True)
    return [(name, was, now[was.layer]) for name, was in named if was.layer in now]


Causes = dict[str, dict[int, str]]  # of dead units, by the key of the layer and their number


def _died_of(layer: LayerHealth, causes: Causes, *wanted: str) -> Tensor:
    """Return which units of the layer are dead, of one of these causes."""
    of_layer = causes.get(layer.key, {})
    return layer.dead.cpu() & torch.tensor([of_layer.get(u) in wanted for u in range(layer.units)])


def _by_cause(units: list[int], causes: dict[int, str]) -> str:
    counts = Counter(causes[unit] for unit in units if unit in causes)
    listed = [f"{count} by {cause}" for cause, count in counts.items()]
    return f" ({', '.join(listed)})" if listed else ""


def _only(found: Examination, units: dict[str, Tensor]) -> Examination:
    """Return the examination with only these units dead, by the name of their layer."""
    layers = zip(found.layers, units.values(), strict=True)
    return Examination(
        [dataclasses.replace(layer, never_fired=only) for layer, only in layers], found.examples
    )


def _open_blocked_layers(
    model: nn.Module, data: Tensor | Iterable[Any], found: Examination, done: list[str]
) -> Examination:
    """Make layers fire that are dead as a whole, from the bottom up."""
    tried: set[str] = set()
    while True:
        blocked = [
            layer
            for layer in found.layers
            if layer.units and layer.dead.all() and layer.key not in tried
        ]
        if not blocked:
            return found
        layer = blocked[0]
        tried.add(layer.key)
        if _flip(model, layer, layer.dead):
            done.append(
                f"{layer.layer}: all {layer.units} units dead, blocking the signal; signs of the "
                f"weights of {layer.feeding} flipped"
            )
            found = examine(model, data)


def _flip_born_dead(
    model: nn.Module,
    data: Tensor | Iterable[Any],
    found: Examination,
    causes: Causes,
    done: list[str],
) -> Examination:
    for layer in found.layers:
        units = _died_of(layer, causes, BORN_DEAD, STARVED)
        if units.any() and _flip(model, layer, units):
            what = counted(int(units.sum()), "unit")
            done.append(
                f"{layer.layer}: {what} born dead or starved; signs of their weights in "
                f"{layer.feeding} flipped"
            )
            found = examine(model, data)
    return found


@torch.no_grad()
def _flip(model: nn.Module, layer: LayerHealth, units: Tensor) -> bool:
    """Flip the signs of the weights and biases of the units, if a plain layer feeds them."""
    feeding: Any = model.get_submodule(layer.feeding)
    if not isinstance(feeding, PLAIN) or len(feeding.weight) != layer.units:
        return False
    rows = units.to(feeding.weight.device)
    feeding.weight[rows] *= -1
    if feeding.bias is not None:
        feeding.bias[rows] *= -1
    return True


def _advice(health: Watch | None) -> list[str]:
    if health is None:
        return ["watch the training (leakyrelu.watch) to see when and why units die"]
    advice = {}
    for deaths in health.deaths:
        if deaths.cause in ("bias", "weights") and deaths.learning_rate is not None:
            advice[deaths.cause] = (
                f"use a learning rate below {deaths.learning_rate:g}, or warm it up: "
                f"{deaths.layer} was pushed below zero by its {deaths.cause} between step "
                f"{deaths.first} and {deaths.last}"
            )
        if deaths.cause == "inputs":
            advice["inputs"] = (
                f"put a BatchNorm or LayerNorm before {deaths.layer}: it was pushed below zero by "
                f"its inputs between step {deaths.first} and {deaths.last}"
            )
        if deaths.cause == BORN_DEAD and deaths.units and 2 * len(deaths.units) > deaths.of:
            advice["born"] = (
                "use a wider or shallower network, residual connections or BatchNorm: most of "
                f"{deaths.layer} was born dead"
            )
    return list(advice.values())
