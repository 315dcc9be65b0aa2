"""From a diagnosis to the cure that fits it, and the proof that it worked."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from leakyrelu.activations import Activation
from leakyrelu.health._causes import BORN_DEAD, STARVED
from leakyrelu.health._examine import Examination, examine
from leakyrelu.health._layers import LayerHealth
from leakyrelu.health._watch import Watch
from leakyrelu.treatment._replace import replace
from leakyrelu.treatment._revive import Revival, revive

__all__ = ["Reviver", "Treatment", "treat"]


@dataclass(frozen=True)
class Treatment:
    """What `treat` did; print it.

    Attributes
    ----------
    before, after : Examination
        What `examine` found on the same data.
    done : list of str
        What was done, and why.
    advice : list of str
        What to change in the training, so that it does not happen again.
    """

    before: Examination
    after: Examination
    done: list[str] = field(default_factory=list)
    advice: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [f"before: {self.before.summary}"]
        lines += [f"- {line}" for line in self.done or ["nothing was to be done"]]
        lines += [f"after: {self.after.summary}"]
        lines += [f"advice: {line}" for line in self.advice]
        return "\n".join(lines)


def treat(
    model: nn.Module,
    data: Tensor | Iterable[Any],
    *,
    health: Watch | None = None,
    optimizer: torch.optim.Optimizer | None = None,
    leak: str | Activation | None = "leaky_relu:0.1",
    warm_up: int = 1000,
    generator: torch.Generator | None = None,
) -> Treatment:
    """Cure the dead units of a model, each according to its cause, and show that it worked.

    Parameters
    ----------
    model : torch.nn.Module
        Is changed in place.
    data : tensor, or iterable of batches
        As `examine` takes it; gone through several times, so no generator.
    health : Watch, optional
        What watched the model train: it knows the causes. Without it, dead units are taken for
        killed.
    optimizer : torch.optim.Optimizer, optional
        That trains the model: what it remembers of units that are made new is set to 0.
    leak : spec or None, default "leaky_relu:0.1"
        What takes the place of the rectifier where units were killed, so that they can't die
        again; None leaves the rectifiers.
    warm_up : int, default 1000
        The leak grows from 0 over so many training forwards, so that what the model has learned
        stays.
    generator : torch.Generator, optional
        For new weights; see `revive`.

    Returns
    -------
    Treatment
        What was done and why, advice, and the reports of before and after.

    Raises
    ------
    TypeError
        If `model` is not a module.
    InputError
        If `data` is empty or not what the model takes, or the model calls no rectifier.

    Notes
    -----
    In this order:

    - *A whole layer is dead*: nothing gets past it, so there is nothing to preserve. The signs of
      the weights and biases that feed it are flipped, which makes its units fire: what was
      negative is positive (Rister and Rubin [1]_ flip signs at initialisation). The layers above
      were *starved*, and are looked at anew after that, from below upwards.
    - *Born dead*: never trained, so their signs are flipped too.
    - *Killed* by bias, weights or inputs: made new by `revive`, which keeps what the model
      computes, and given a `leak`.
    - *Rare*: no push was seen; left alone.

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
    1: 3 units were killed; made new, what the model computes stays
    1: leaky_relu:0.1 in place of relu, its slope grows from 0 over 1000 steps
    >>> treatment.after.layers[0].dead.sum()
    tensor(0)
    """
    before = examine(model, data)
    done: list[str] = []
    causes = {} if health is None else health.causes()
    found = _open_blocked_layers(model, data, before, done)
    found = _flip_born_dead(model, data, found, causes, done)
    dead = [layer for layer in found.layers if bool(layer.dead.any())]
    killed = {layer.layer: _killed(layer, causes) for layer in dead}
    if any(units.any() for units in killed.values()):
        revival = revive(model, _only(found, killed), optimizer=optimizer, generator=generator)
        for name, units in revival.revived.items():
            done.append(
                f"{name}: {len(units)} units were killed{_of_what(name, units, causes)}; made new, "
                "what the model computes stays"
            )
        for layer in examine(model, data).layers:  # new weights may be as unlucky as the old
            revived = torch.zeros(layer.units, dtype=torch.bool)
            revived[revival.revived.get(layer.layer, [])] = True
            if (again := layer.dead.cpu() & revived).any():
                _flip(model, layer, again)
        done += [f"{name}: can't be made new: {why}" for name, why in revival.refused.items()]
        layers = [layer for layer in dead if killed[layer.layer].any()]
        if leak is not None:
            for layer in layers:
                done.append(f"{layer.layer}: {_leaked(model, layer, leak, warm_up)}")
    for layer in dead:
        rare = int((layer.dead.cpu() & ~killed[layer.layer]).sum())
        if rare:
            done.append(f"{layer.layer}: {rare} units fire seldom, but were not pushed; left alone")
    return Treatment(before, examine(model, data), done, _advice(health))


def _leaked(model: nn.Module, layer: LayerHealth, leak: str | Activation, warm_up: int) -> str:
    """Give the layer a leak; say what was done, or why it could not be."""
    name = layer.layer.partition(" #")[0]
    try:
        replace(model, leak, where=name, warm_up=warm_up, inplace=True)
    except ValueError as error:  # such as a call that is out of reach
        return f"{layer.function} stays, as {error}"
    return f"{leak} in place of {layer.function}, its slope grows from 0 over {warm_up} steps"


Causes = dict[str, list[str | None]]


def _cause(causes: Causes, layer: str, unit: int) -> str | None:
    return causes[layer][unit] if layer in causes else None


def _killed(layer: LayerHealth, causes: Causes) -> Tensor:
    dead = layer.dead.cpu().clone()
    for unit in dead.nonzero().squeeze(1).tolist():
        dead[unit] = _cause(causes, layer.layer, unit) != "rare"
    return dead


def _of_what(layer: str, units: list[int], causes: Causes) -> str:
    of = [cause for unit in units if (cause := _cause(causes, layer, unit)) is not None]
    named = [f"{of.count(cause)} by {cause}" for cause in dict.fromkeys(of)]
    return f" ({', '.join(named)})" if named else ""


def _only(found: Examination, units: dict[str, Tensor]) -> Examination:
    """Return the examination with only these units dead."""
    layers = [
        dataclasses.replace(
            layer,
            never_fired=units.get(layer.layer, torch.zeros(layer.units, dtype=torch.bool)),
        )
        for layer in found.layers
    ]
    return Examination(layers, found.examples)


def _open_blocked_layers(
    model: nn.Module, data: Tensor | Iterable[Any], found: Examination, done: list[str]
) -> Examination:
    """Make layers that are dead as a whole fire, from below upwards."""
    tried: set[str] = set()
    while True:
        blocked = [layer for layer in found.layers if layer.dead.all() and layer.layer not in tried]
        if not blocked:
            return found
        layer = blocked[0]
        tried.add(layer.layer)
        if _flip(model, layer, layer.dead):
            done.append(
                f"{layer.layer}: all {layer.units} units were dead, and nothing got past; the "
                f"signs of {layer.feeding} were flipped"
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
        units = layer.dead.cpu().clone()
        for unit in units.nonzero().squeeze(1).tolist():
            units[unit] = _cause(causes, layer.layer, unit) in (BORN_DEAD, STARVED)
        if units.any() and _flip(model, layer, units):
            done.append(
                f"{layer.layer}: {int(units.sum())} units never fired since training began; the "
                f"signs of their weights in {layer.feeding} were flipped"
            )
            found = examine(model, data)
    return found


@torch.no_grad()
def _flip(model: nn.Module, layer: LayerHealth, units: Tensor) -> bool:
    """Flip the signs of what feeds the units, if that is a plain layer of weights."""
    feeding: Any = model.get_submodule(layer.feeding)
    plain = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
    if not isinstance(feeding, plain) or len(feeding.weight) != layer.units:
        return False
    rows = units.to(feeding.weight.device)
    feeding.weight[rows] *= -1
    if feeding.bias is not None:
        feeding.bias[rows] *= -1
    return True


def _advice(health: Watch | None) -> list[str]:
    if health is None:
        return ["watch the training (leakyrelu.watch) to learn when units die, and of what"]
    advice = {}
    for deaths in health.deaths:
        if deaths.cause in ("bias", "weights") and deaths.learning_rate is not None:
            advice[deaths.cause] = (
                f"a learning rate below {deaths.learning_rate:g}, or one that is warmed up: "
                f"{deaths.layer} was pushed by its {deaths.cause} between step {deaths.first} and "
                f"{deaths.last}"
            )
        if deaths.cause == "inputs":
            advice["inputs"] = (
                f"a BatchNorm or LayerNorm before {deaths.layer}: what came in pushed it below "
                f"between step {deaths.first} and {deaths.last}"
            )
        if deaths.cause == BORN_DEAD and deaths.units and 2 * len(deaths.units) > deaths.of:
            advice["born"] = (
                "a wider or less deep network, residual connections or BatchNorm: most of "
                f"{deaths.layer} was born dead"
            )
    return list(advice.values())


class Reviver:
    """Revive dead units whenever a window of a watch has ended.

    Parameters
    ----------
    model : torch.nn.Module
        The model that is trained.
    optimizer : torch.optim.Optimizer, optional
        What trains it.
    tau : float, default 0
        Revive units that are this dormant, too; see `revive`.
    generator : torch.Generator, optional
        For new weights; see `revive`.

    Attributes
    ----------
    revivals : list of Revival
        What was done, at the end of each window in which something was.

    Examples
    --------
    >>> import torch
    >>> from leakyrelu import watch
    >>> _ = torch.manual_seed(0)
    >>> model = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 1))
    >>> _ = model[0].bias.data[:3].fill_(-100.0)
    >>> optimizer = torch.optim.Adam(model.parameters())
    >>> reviver = Reviver(model, optimizer)
    >>> with watch(model, window=5, on_window=reviver) as health:
    ...     for _ in range(11):
    ...         model(torch.randn(100, 2)).mean().backward()
    ...         optimizer.step()
    >>> reviver.revivals[0].revived
    {'1': [0, 1, 2]}
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer | None = None,
        *,
        tau: float = 0.0,
        generator: torch.Generator | None = None,
    ) -> None:
        self.model, self.optimizer = model, optimizer
        self.tau, self.generator = tau, generator
        self.revivals: list[Revival] = []
        self._last: Revival | None = None

    def __call__(self, health: Watch) -> None:
        """Revive what was found dead; those revived the window before are left alone."""
        self._last = revive(
            self.model,
            health,
            optimizer=self.optimizer,
            tau=self.tau,
            after=self._last,
            generator=self.generator,
        )
        if self._last.revived:
            self.revivals.append(self._last)
