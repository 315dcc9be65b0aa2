"""Making dead units new, so that they learn again."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from leakyrelu._errors import InputError
from leakyrelu.treatment._graph import Graph, RefusedError
from leakyrelu.treatment._operation import Operation

if TYPE_CHECKING:
    from leakyrelu.health._examine import Examination
    from leakyrelu.health._layers import LayerHealth
    from leakyrelu.health._watch import Watch

__all__ = ["Revival", "revive"]


@dataclass(frozen=True)
class Revival:
    """What `revive` did; print it.

    Attributes
    ----------
    revived : dict of str to list of int
        The units that were made new, by the layer they are of.
    resting : dict of str to list of int
        Those left alone, as they were made new the time before.
    refused : dict of str to str
        Why those of a layer can't be made new.
    """

    revived: dict[str, list[int]] = field(default_factory=dict)
    resting: dict[str, list[int]] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        units = sum(map(len, self.revived.values()))
        lines = [f"{units} units revived" + (":" if units else ".")]
        lines += [f"- {layer}: {_listed(units)}" for layer, units in self.revived.items()]
        lines += [f"- {layer}: {_listed(units)} rest" for layer, units in self.resting.items()]
        lines += [f"- {layer} can't be: {reason}" for layer, reason in self.refused.items()]
        return "\n".join(lines)


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
    generator: torch.Generator | None = None,
) -> Revival:
    r"""Make the dead units of a model new, so that they learn again; what it computes stays.

    A unit is made new in place: its incoming weights are drawn, its bias is 0, and its outgoing
    weights are 0, so that nothing changes but what it can learn.

    Parameters
    ----------
    model : torch.nn.Module
        Of ``Linear``, ``Conv`` and ``ConvTranspose`` layers with whatever takes units one by
        one in between: normalisation, dropout, pooling, flattening. In a residual network,
        the units inside the branches.
    health : Examination or Watch
        What `examine` or `watch` found on this model.
    optimizer : torch.optim.Optimizer, optional
        What it remembers of the weights that change, such as momentum or Adam's moments, is
        set to 0, of just those entries; ``step`` stays.
    tau : float, default 0
        Units that are not dead but dormant, with a score of at most `tau`, are made new too;
        0.025 is usual. Their mean output goes to the bias of the layers that use it.
    after : Revival, optional
        What was done the time before: units that were made new then are left alone this time,
        so that they have time to learn.
    generator : torch.Generator, optional
        For the draws; PyTorch's own for the CPU by default. Where several processes train one
        model, give each a generator of the same seed.

    Returns
    -------
    Revival
        What was done, and what could not be, with the reasons.

    Warns
    -----
    UserWarning
        If there are units that can't be made new without changing the function: those of
        layers with shared weights, those that flow into a residual sum, into what is not known,
        or that are in a part of the model that `torch.fx` can't trace.

    Raises
    ------
    TypeError
        If `model` is not a module.
    InputError
        If `tau` is negative, or `optimizer` has no parameter of the model.

    See Also
    --------
    replace : Give a model units that don't die.

    Notes
    -----
    Weights are drawn from a normal distribution of variance :math:`2 / n` for :math:`n` inputs
    [3]_. A BatchNorm before the unit starts anew for it. Behind a LayerNorm or GroupNorm new
    weights would change what the other units are normalised by: there the weights stay, its
    shift becomes 0, and its scale 1 or -1, of the other sign than before if the shift was not
    negative, as then the unit's inputs kept it down.

    For a dead unit the outputs are the same before and after, bit for bit, on all data for
    which it is dead. After a BatchNorm behind the rectifier it gives a constant, which goes to
    the next bias: then they are the same in evaluation mode up to rounding. For a dormant unit
    only the mean over the positions is kept.

    The layers that make and use the units are those of a trace by `torch.fx`, with optional
    arguments of forward left out; of a model that can't be traced, those parts are treated that
    can. A ``view(-1, n)`` is taken for flattening. The model must be run as it was examined:
    what hooks do to activations is not seen.

    As Adam's ``step`` is one for a whole tensor, the bias of the new moments is not corrected:
    under gradients that stay the same the new weights move by up to 6.6 learning rates a step
    at first, with the default betas.

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
    3 units revived:
    - 1: 0, 1, 2
    >>> torch.equal(before, model(data))
    True
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, but is {type(model).__name__}")
    if tau < 0:
        raise InputError(f"tau must not be negative, but is {tau}; 0 is for dead units only")
    if optimizer is not None:
        trained = {id(p) for group in optimizer.param_groups for p in group["params"]}
        if trained.isdisjoint(map(id, model.parameters())):
            raise InputError("optimizer has no parameter of model; give the one that trains it")
    layers = health.layers
    graphs = [Graph(model, training) for training in (True, False)]
    done = Revival()
    changed: list[tuple[Tensor, Tensor]] = []
    for layer, name in zip(layers, _names(layers), strict=True):
        rested = torch.zeros(layer.units, dtype=torch.bool)
        rested[(after.revived.get(name, []) if after is not None else [])] = True
        dead = layer.dead.cpu()
        wanted = dead | layer.dormant(tau).cpu() if tau else dead
        if (wanted & rested).any():
            done.resting[name] = _numbers(wanted & rested)
        if (units := wanted & ~rested).any():
            try:
                with torch.no_grad():
                    changed += Operation(graphs, layers, layer, units).perform(generator)
            except RefusedError as reason:
                done.refused[name] = str(reason)
            else:
                done.revived[name] = _numbers(units)
    if optimizer is not None:
        for parameter, entries in changed:
            _forget(optimizer, parameter, entries)
    if done.refused:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in done.refused.items())
        warnings.warn(f"some units can't be revived: {reasons}", stacklevel=2)
    return done


def _numbers(units: Tensor) -> list[int]:
    numbers: list[int] = units.nonzero().squeeze(1).tolist()
    return numbers


def _names(layers: Sequence[LayerHealth]) -> list[str]:
    """Name the layers, with the function where a module calls several."""
    times = Counter(layer.layer for layer in layers)
    return [
        layer.layer if times[layer.layer] == 1 else f"{layer.layer} ({layer.function})"
        for layer in layers
    ]


def _forget(optimizer: torch.optim.Optimizer, parameter: Tensor, entries: Tensor) -> None:
    for remembered in optimizer.state.get(parameter, {}).values():
        if isinstance(remembered, Tensor) and remembered.shape == parameter.shape:
            remembered[entries.to(remembered.device)] = 0
