"""Reinitializing dead units, so that they learn again."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from leakyrelu._errors import InputError
from leakyrelu._trace.calls import unwrapped
from leakyrelu._trace.flow import RefusedError
from leakyrelu.health._layers import names_of
from leakyrelu.health._result import Result, counted, table_of
from leakyrelu.nn._model import model_to_change
from leakyrelu.treatment._calibrate import calibrate
from leakyrelu.treatment._operation import Operation
from leakyrelu.treatment._optimizer import check_optimizer, forget

if TYPE_CHECKING:
    import pandas as pd

    from leakyrelu.health._examine import Examination
    from leakyrelu.health._watch import Watch

__all__ = ["Revival", "Reviver", "refuse_optimizer_of_copy", "revive"]


@dataclass(frozen=True)
class Revival(Result):
    """The result of `revive`: print it, or use `table`, `to_json` or `to_html`.

    Attributes
    ----------
    model : torch.nn.Module
        The changed model.
    revived : dict of str to list of int
        The reinitialized units, by layer.
    resting : dict of str to list of int
        Dead units left alone, as they were reinitialized the time before.
    refused : dict of str to str
        Why the units of a layer can't be reinitialized.
    """

    model: nn.Module = field(repr=False)
    revived: dict[str, list[int]] = field(default_factory=dict)
    resting: dict[str, list[int]] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)

    @property
    def summary(self) -> str:
        """How many units were reinitialized, and a line for each layer."""
        units = sum(map(len, self.revived.values()))
        lines = [f"{counted(units, 'unit')} reinitialized" + (":" if units else ".")]
        lines += [f"- {layer}: {_listed(units)}" for layer, units in self.revived.items()]
        lines += [
            f"- {layer}: {_listed(units)} left alone, reinitialized the time before"
            for layer, units in self.resting.items()
        ]
        lines += [f"- {layer}: not reinitialized: {why}" for layer, why in self.refused.items()]
        return "\n".join(lines)

    def table(self) -> pd.DataFrame:
        """Return one row for each layer: its units, as listed here, and why they are refused."""
        layers = {**self.revived, **self.resting, **self.refused}
        rows = [
            {
                "layer": layer,
                "revived": self.revived.get(layer, []),
                "resting": self.resting.get(layer, []),
                "refused": self.refused.get(layer, ""),
            }
            for layer in layers
        ]
        return table_of(rows, ["layer", "revived", "resting", "refused"])

    def to_json(self) -> dict[str, Any]:
        """Return the result as plain types, without the model."""
        units = {"revived": self.revived, "resting": self.resting, "refused": self.refused}
        return {"summary": self.summary, **units}


def _listed(units: list[int]) -> str:
    more = f" and {len(units) - 10} more" if len(units) > 10 else ""
    return ", ".join(map(str, units[:10])) + more


def revive(
    model: nn.Module,
    health: Examination | Watch,
    *,
    optimizer: torch.optim.Optimizer | None = None,
    tau: float = 0.0,
    after: Revival | None = None,
    data: Tensor | Iterable[Any] | None = None,
    generator: torch.Generator | None = None,
    inplace: bool = True,
) -> Revival:
    r"""Reinitialize the dead units of a model, so that they learn again; its outputs stay the same.

    A unit gets new incoming weights, a bias of 0, and outgoing weights of 0, so that the outputs
    of the model do not change.

    Parameters
    ----------
    model : torch.nn.Module
        Units between layers with weights, linear or convolutions, are reinitialized, with
        anything in between that treats units one by one: normalization, dropout, pooling,
        permuting, reshaping, concatenating, gates. In a residual network, the units inside the
        branches.
    health : Examination or Watch
        The result of `examine` or `watch` for this model.
    optimizer : torch.optim.Optimizer, optional
        Its state for the weights that change, such as momentum or Adam's moments, is as if new,
        for just those entries; ``step`` stays. Not LBFGS, whose state is of all weights together.
    tau : float, default 0
        Also reinitialize units that are not dead but dormant, with a score of at most `tau`;
        0.025 is usual. Their mean output moves to the bias of the layers that use it.
    after : Revival, optional
        The previous revival: units that were reinitialized then are left alone this time, so
        that they have time to learn.
    data : tensor, or iterable of batches, optional
        Examples, as `examine` takes them, from which the running statistics of a BatchNorm are
        taken for reinitialized units. Without them these are 0 and 1 until the model trains on:
        in evaluation mode units may be dead again.
    generator : torch.Generator, optional
        For the draws; PyTorch's default for the CPU if there is none. If several processes train
        one model, give each a generator with the same seed.
    inplace : bool, default True
        Change `model` itself, not a copy; the result has the changed model. A copy is not
        trained by `optimizer`.

    Returns
    -------
    Revival
        The model, what was done, and what could not be done, with the reasons.

    Warns
    -----
    UserWarning
        If there are units that can't be reinitialized without changing the outputs: those of
        layers with shared weights, and those that flow into a residual sum or into an operation
        that mixes them, all by name.

    Raises
    ------
    TypeError
        If `model` is not a module.
    InputError
        If `tau` is negative, `optimizer` has no parameter of the model, can't forget single
        weights or comes with ``inplace=False``, or `model` can't be copied.

    See Also
    --------
    replace : Give a model units that don't die.
    Reviver : Do this while the model trains.

    Notes
    -----
    Weights are drawn from a normal distribution of variance :math:`2 / n` for :math:`n` inputs
    [3]_. The parameters and statistics of a BatchNorm before the unit are reset for it. After a
    LayerNorm or GroupNorm new weights would change the normalization of the other units: there
    the weights stay, its shift becomes 0, and its scale 1 or -1, with the opposite sign if the
    shift was not negative, as then the inputs kept the unit down.

    For dead units the outputs are the same before and after, bit for bit, on all data for which
    they are dead. With a BatchNorm after the activation a dead unit gives a constant, which moves
    to the next bias: then outputs are the same in evaluation mode up to rounding. For a dormant
    unit only the mean over the positions is kept.

    The layers that make and use the units are those through which they flowed when `health` saw
    the model run: `examine` lets it run in evaluation and, on four examples, in training; `watch`
    sees it train, and the first evaluation while it is watched. The model must run as it did then.
    If a unit comes out of a sum, or of a layer that something else uses, but a normalization of its
    own is before it, only this is made new, as after a LayerNorm.

    As Adam has one ``step`` for a whole tensor, the bias of the reset moments is not corrected:
    with constant gradients the new weights move by up to 6.6 learning rates per step at first,
    with the default betas.

    References
    ----------
    .. [1] G. Sokar, R. Agarwal, P. S. Castro and U. Evci, "The dormant neuron phenomenon in
       deep reinforcement learning", ICML 2023, arXiv:2302.12902.
    .. [2] S. Dohare et al., "Loss of plasticity in deep continual learning", Nature 632, 2024.
    .. [3] K. He, X. Zhang, S. Ren and J. Sun, "Delving deep into rectifiers: Surpassing
       human-level performance on ImageNet classification", ICCV 2015.

    Examples
    --------
    >>> import torch
    >>> from leakyrelu import examine
    >>> _ = torch.manual_seed(0)
    >>> model = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 1))
    >>> _ = model[0].bias.data[:3].fill_(-100.0)
    >>> data = torch.randn(100, 2)
    >>> before = model(data)
    >>> print(revive(model, examine(model, data)))
    3 units reinitialized:
    - 1: 0, 1, 2
    >>> torch.equal(before, model(data))
    True
    """
    model = model_to_change(model, inplace)
    refuse_optimizer_of_copy(optimizer, inplace)
    if tau < 0:
        raise InputError(f"tau must not be negative, but is {tau}; 0 is for dead units only")
    if optimizer is not None:
        check_optimizer(optimizer, model)
    layers = health.layers
    done = Revival(model)
    changed: list[tuple[Tensor, Tensor]] = []
    for layer, name in zip(layers, names_of(layers), strict=True):
        rested = torch.zeros(layer.units, dtype=torch.bool)
        rested[(after.revived.get(name, []) if after is not None else [])] = True
        dead = layer.dead.cpu()
        wanted = dead | layer.dormant(tau).cpu() if tau else dead
        if (wanted & rested).any():
            done.resting[name] = _numbers(wanted & rested)
        if (units := wanted & ~rested).any():
            try:
                with torch.no_grad():
                    changed += Operation(unwrapped(model), layer, units).perform(generator)
            except RefusedError as reason:
                done.refused[name] = str(reason)
            else:
                done.revived[name] = _numbers(units)
    if data is not None and changed:
        calibrate(model, data, changed)
    if optimizer is not None:
        for parameter, entries in changed:
            forget(optimizer, parameter, entries)
    if done.refused:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in done.refused.items())
        warnings.warn(f"some units can't be reinitialized: {reasons}", stacklevel=2)
    return done


def refuse_optimizer_of_copy(optimizer: torch.optim.Optimizer | None, inplace: bool) -> None:
    """Refuse an optimizer if a copy is changed, which it does not train."""
    if optimizer is not None and not inplace:
        raise InputError(
            "optimizer= trains the model, but inplace=False changes a copy; leave one of them out"
        )


def _numbers(units: Tensor) -> list[int]:
    numbers: list[int] = units.nonzero().squeeze(1).tolist()
    return numbers


class Reviver:
    """Revive dead units while a model trains, at the end of each window of a `watch`.

    Parameters
    ----------
    model : torch.nn.Module
        The model that is trained.
    optimizer : torch.optim.Optimizer, optional
        The optimizer that trains it.
    tau : float, default 0
        Also revive units that are this dormant; see `revive`.
    generator : torch.Generator, optional
        For new weights; see `revive`.

    Attributes
    ----------
    revivals : list of Revival
        One for each window after which units were revived.

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
        """Revive dead units, except those revived after the window before."""
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
