"""How likely a network is dead before it trains."""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from leakyrelu.activations import parse
from leakyrelu.health.examine import examine

__all__ = ["Odds", "odds"]


@dataclass(frozen=True)
class Odds:
    """How likely a network is born dead, by simulation; made by `odds`.

    Attributes
    ----------
    born_dead : float
        Share of the simulated networks in which a whole layer never fires: whatever comes in,
        the same comes out, and no layer below learns.
    interval : tuple of float
        Its 95% interval (Wilson).
    dead_units : tuple of float
        For each hidden layer, the share of its units that never fire.
    trials : int
        The number of networks simulated.
    bounds : tuple of float or None
        Between these the probability is by theory, if biases are 0 and weights symmetric.
    """

    born_dead: float
    interval: tuple[float, float]
    dead_units: tuple[float, ...]
    trials: int
    bounds: tuple[float, float] | None = None

    def __str__(self) -> str:
        low, high = self.interval
        text = (
            f"born dead with probability {self.born_dead:.1%} "
            f"({low:.1%} to {high:.1%}, {self.trials:,} networks)"
        )
        if self.bounds is not None:
            text += f"; by theory {self.bounds[0]:.1%} to {self.bounds[1]:.1%}"
        worst = max(range(len(self.dead_units)), key=self.dead_units.__getitem__)
        return f"{text}; most dead units in layer {worst + 1}: {self.dead_units[worst]:.1%}"


def odds(
    network: int | Sequence[int] | nn.Module,
    width: int | None = None,
    *,
    data: Tensor | None = None,
    inputs: int | None = None,
    init: str = "torch",
    activation: str = "relu",
    trials: int = 1000,
    seed: int = 0,
) -> Odds:
    r"""Tell how likely a network is dead before its first update.

    A layer none of whose units fires for any example passes on the same whatever comes in, and
    no gradient back: the network is *born dead* and cannot be trained. The deeper and the
    narrower it is, the likelier that is.

    Parameters
    ----------
    network : int, sequence of int, or torch.nn.Module
        The number of hidden layers, with `width`; or the width of each; or a model, of which
        all layers are drawn anew by their ``reset_parameters``.
    width : int, optional
        Units in each hidden layer, if `network` is a number.
    data : torch.Tensor, optional
        Examples, shape (N, inputs), or as the model takes them. By default 256 draws from the
        standard normal distribution; a model needs it.
    inputs : int, optional
        Features of an example, if there is no `data`; by default 1 for a number or sequence.
    init : {"torch", "he"}
        How weights and biases are drawn: as `torch.nn.Linear` does, or from normal
        distributions with the gain of the activation (He et al. 2015) and biases 0.
    activation : spec, default "relu"
        As `leakyrelu.activations.parse` takes it.
    trials : int, default 1000
        The number of networks simulated (a model: at most 100 take little time).
    seed : int, default 0
        Of the random numbers.

    Returns
    -------
    Odds
        With the estimate, its interval, the share of dead units in each layer and, for
        ``init="he"`` and ReLU, bounds by theory.

    Raises
    ------
    ValueError
        If there is no layer, no unit or no trial, or a model without data.

    Notes
    -----
    With symmetric weights and no biases one example gets through a layer of :math:`N` units
    with probability :math:`1 - 2^{-N}`, so that all examples are lost with at most

    .. math:: 1 - \prod_{l=1}^{L} (1 - 2^{-N_l})

    and, as all the weights of a unit must be negative for it to be dead for every input of
    positive numbers, with at least

    .. math:: 1 - \prod_{l=2}^{L} (1 - 2^{-N_{l-1} N_l})

    (both in Rister and Rubin, as bounds on the probability that a network can be trained).

    References
    ----------
    .. [1] L. Lu, Y. Shin, Y. Su and G. E. Karniadakis, "Dying ReLU and initialization: theory
       and numerical examples", Communications in Computational Physics 28, 2020.
    .. [2] B. Rister and D. L. Rubin, "Probabilistic bounds on neuron death in deep rectifier
       networks", 2020, arXiv:2007.06192.

    Examples
    --------
    >>> from leakyrelu.health import odds
    >>> print(odds(10, 2, init="he"))
    born dead with probability ...
    """
    if trials < 1:
        raise ValueError(f"trials must be at least 1, but is {trials}")
    if isinstance(network, nn.Module):
        if data is None:
            raise ValueError("a model needs data= to be run on, such as a batch of its examples")
        return _of_model(network, data, trials, seed)
    widths = [network] * 0 if isinstance(network, int) else list(network)
    if isinstance(network, int):
        if width is None:
            raise ValueError("with a number of layers, width= must tell the units in each")
        widths = [width] * network
    if not widths or min(widths) < 1:
        raise ValueError(f"there must be a layer, and a unit in each, but the widths are {widths}")
    generator = torch.Generator().manual_seed(seed)
    if data is None:
        data = torch.randn(256, inputs or 1, generator=generator)
    dead = _simulate(widths, data.flatten(1).float(), init, activation, trials, generator)
    bounds = _bounds(widths) if init == "he" and parse(activation).can_die else None
    return _odds(dead, trials, bounds)


def _odds(dead: Tensor, trials: int, bounds: tuple[float, float] | None) -> Odds:
    """Make the result of the share of dead units, shape (trials, layers)."""
    born = float((dead == 1).any(1).double().mean())
    return Odds(born, _wilson(born, trials), tuple(dead.mean(0).tolist()), trials, bounds)


def _wilson(share: float, n: int) -> tuple[float, float]:
    z = 1.959964
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, middle - half), min(1.0, middle + half)


def _bounds(widths: Sequence[int]) -> tuple[float, float]:
    above = 1 - math.prod(1 - 2.0**-n for n in widths)
    pairs = itertools.pairwise(widths)
    return 1 - math.prod(1 - 2.0 ** -(before * n) for before, n in pairs), above


def _simulate(
    widths: Sequence[int],
    data: Tensor,
    init: str,
    activation: str,
    trials: int,
    generator: torch.Generator,
) -> Tensor:
    """Return the share of dead units, shape (trials, layers); networks run side by side."""
    spec = parse(activation)
    shares = []
    for start in range(0, trials, 256):
        count = min(256, trials - start)
        x = data.expand(count, *data.shape)
        layers = []
        for width in widths:
            fan_in = x.shape[2]
            if init == "he":
                weight = torch.randn(count, fan_in, width, generator=generator)
                weight *= spec.gain / math.sqrt(fan_in)
                bias = torch.zeros(count, 1, width)
            elif init == "torch":
                weight, bias = (
                    (2 * torch.rand(shape, generator=generator) - 1) / math.sqrt(fan_in)
                    for shape in ((count, fan_in, width), (count, 1, width))
                )
            else:
                raise ValueError(f"init must be 'torch' or 'he', but is {init!r}")
            z = torch.baddbmm(bias, x, weight)
            never = (z <= 0).all(1) if spec.can_die else torch.zeros(count, width)
            layers.append(never.float().mean(1))
            x = spec.module()(z).detach()
        shares.append(torch.stack(layers, 1))
    return torch.cat(shares)


def _of_model(model: nn.Module, data: Tensor, trials: int, seed: int) -> Odds:
    model = copy.deepcopy(model)
    shares = []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for _ in range(trials):
            for module in model.modules():
                reset: Any = getattr(module, "reset_parameters", None)
                if callable(reset):
                    reset()
            layers = examine(model, data).layers
            shares.append(torch.stack([layer.dead.float().mean() for layer in layers]))
    return _odds(torch.stack(shares), trials, None)
