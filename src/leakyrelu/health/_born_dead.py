"""The probability that a network is dead before it trains."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from numbers import Integral
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from leakyrelu._errors import InputError
from leakyrelu._trace.calls import Call, CallTracer, no_activation
from leakyrelu.activations import Activation, parse
from leakyrelu.health._born_dead_theory import bounds
from leakyrelu.health._counts import FiringCounts
from leakyrelu.health._result import Result, table_of

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["BornDead", "born_dead"]

WORTH_A_WARNING = 0.05
NUMBERS_AT_ONCE = 2**22  # networks are simulated side by side in tensors of at most this size


@dataclass(frozen=True)
class BornDead(Result):
    """The result of `born_dead`: print it, or use `table`, `to_json` or `to_html`.

    Attributes
    ----------
    probability : float
        Share of the simulated networks in which a whole layer never fires, so that the output
        is the same for every input, and the layers below do not learn.
    interval : tuple of float
        Its 95% confidence interval (Wilson).
    layers : tuple of str
        The hidden layers: numbers from 1, or the names that `examine` gives them.
    dead_units : tuple of float
        The mean share of dead units in each of them.
    trials : int
        The number of simulated networks.
    bounds : tuple of float or None
        Bounds on the probability from theory; None for a model.
    """

    probability: float
    interval: tuple[float, float]
    layers: tuple[str, ...]
    dead_units: tuple[float, ...]
    trials: int
    bounds: tuple[float, float] | None = None

    @property
    def exact(self) -> float | None:
        """The exact probability, if theory gives it: its two bounds are equal."""
        if self.bounds is None or self.bounds[0] != self.bounds[1]:
            return None
        return self.bounds[0]

    @property
    def summary(self) -> str:
        """The probability, and what helps if it is large."""
        low, high = map(_percent, self.interval)
        text = (
            f"born dead with probability {_percent(self.probability)} "
            f"({low} to {high}, {self.trials:,} networks)"
        )
        if self.bounds is not None:
            text += "; theory: " + " to ".join(dict.fromkeys(map(_percent, self.bounds)))
        worst = max(range(len(self.layers)), key=self.dead_units.__getitem__)
        if self.dead_units[worst] > 0:
            text += (
                f"; most dead units in layer {self.layers[worst]}: "
                f"{_percent(self.dead_units[worst])}"
            )
        if self.probability > WORTH_A_WARNING:
            how = "is probably" if self.probability > 0.5 else "may well be"
            text += (
                f". Such a network {how} dead before it trains; wider or fewer layers, a leaky "
                "activation, residual connections or BatchNorm help"
            )
        return text + "."

    def table(self) -> pd.DataFrame:
        """Return one row for each layer, with the mean percentage of its units that are dead."""
        rows = zip(self.layers, self.dead_units, strict=True)
        return table_of([{"layer": name, "dead %": 100 * share} for name, share in rows])

    def to_json(self) -> dict[str, Any]:
        """Return the result as plain types."""
        return {"summary": self.summary, **asdict(self), "exact": self.exact}


def born_dead(
    network: int | Sequence[int] | nn.Module | Callable[[], nn.Module],
    width: int | None = None,
    *,
    data: Tensor | None = None,
    inputs: int | None = None,
    init: Literal["torch", "he"] = "torch",
    activation: str | Activation = "relu",
    trials: int = 1000,
    seed: int = 0,
) -> BornDead:
    r"""Estimate the probability that a network is dead before its first update.

    If no unit of some layer fires for any example, that layer passes on the same for every input,
    and no gradient back: the network is *born dead*. Deep and narrow networks often are.

    Parameters
    ----------
    network : int, sequence of int, torch.nn.Module, or callable
        The number of hidden layers, with `width`; or the width of each; or a model, whose
        layers are reinitialized by their ``reset_parameters`` for each trial; or a function that
        returns a new model, if that has an initialization of its own.
    width : int, optional
        Units in each hidden layer, if `network` is a number.
    data : torch.Tensor, optional
        Examples, of shape (N, inputs) or as the model takes them; required for a model. By
        default 256 draws from the standard normal distribution.
    inputs : int, optional
        Features of an example, if there is no `data`; by default 1.
    init : {"torch", "he"}
        The distribution of weights and biases: that of `torch.nn.Linear`, or a normal
        distribution with the gain of the activation (He et al. 2015) and biases of 0.
    activation : spec, default "relu"
        As `leakyrelu.activations.parse` takes it.
    trials : int, default 1000
        The number of simulated networks. Models run one after the other.
    seed : int, default 0
        Seed of the random numbers.

    Returns
    -------
    BornDead
        The probability and its interval, the share of dead units in each layer, and, except for
        models, bounds from theory. Print it for a summary.

    Raises
    ------
    InputError
        If there is no layer, unit, example or trial, `data` is not finite, a model comes
        without data or has nothing to reinitialize, or arguments contradict each other.
    TypeError
        If `data` is not a tensor or array, or the function returns no model.

    Notes
    -----
    `network` counts *hidden* layers; Lu et al. count the output too, so that their network of
    10 layers has 9 here. They call a network born dead if it is a constant function. On the
    given examples that is the same, except for events of probability zero: if each layer fires
    for some example, different examples give different outputs. A unit that seems dead may fire
    for other examples.

    Theory only assumes that weights and biases are independent, symmetric about 0 and
    continuous. Then any one example makes a unit of a layer fire with probability 1/2, and
    gets through :math:`L` layers of :math:`N_l` units with :math:`\prod_l (1 - 2^{-N_l})`.
    Networks are born dead at most as often as they lose that one example, and at least as
    often as the weights (and biases, :math:`b = 1`; :math:`b = 0` without) of some layer
    above the first are all negative:

    .. math:: 1 - \prod_{l=2}^{L} \left(1 - 2^{-(N_{l-1} + b) N_l}\right) \le P \le
              1 - \prod_{l=1}^{L} \left(1 - 2^{-N_l}\right)

    The upper bound is exact for a single example.

    With one input and no biases only the sign of an example matters. While examples of both
    signs get through, and not to the same single unit, a layer of :math:`N` units loses both
    with probability :math:`p^N`, where :math:`p` is 1/4 in the second layer and anything from
    1/4 to 1/2 above it, which depends on the distribution of the weights. With 1/4 throughout
    this is a Markov chain that dies at most as often as the network does. For equal widths
    it has a closed form, with :math:`a_1 = 1 - 2^{-N}` and
    :math:`a_2 = 1 - 2^{1-N} - (N-1) 4^{-N}`:

    .. math:: P \ge 1 - a_1^{L-1} + \frac{(1 - 2^{1-N}) (1 - 2^{-N})}{1 + (N-1) 2^{-N}}
              \left(a_2^{L-1} - a_1^{L-1}\right)

    which is exact for up to two layers, and for width 1. Taking the first two layers from the
    chain improves the upper bound, too.

    Both papers bound the probability from both sides. Lu et al. prove that it goes to 1 with
    depth, Rister and Rubin that it need not if the width grows as well.

    A model runs in training mode, as in its first step, so that BatchNorm normalizes. If it
    has connections around a dead layer, it is born dead only if its output is the same for all
    examples.

    References
    ----------
    .. [1] L. Lu, Y. Shin, Y. Su and G. E. Karniadakis, "Dying ReLU and initialization: theory
       and numerical examples", Communications in Computational Physics 28, 2020,
       arXiv:1903.06733.
    .. [2] B. Rister and D. L. Rubin, "Probabilistic bounds on neuron death in deep rectifier
       networks", 2020, arXiv:2007.06192.

    Examples
    --------
    >>> from leakyrelu.health import born_dead
    >>> print(born_dead(9, 2, init="he", trials=10_000))
    born dead with probability 8... theory: 87% to 88.7%; most dead units in layer 9: 9...
    Such a network is probably dead before it trains; wider or fewer layers, a leaky activation,
    residual connections or BatchNorm help.
    >>> born_dead(2, 2, init="he").exact
    0.15625
    >>> print(born_dead(9, 2, activation="leaky_relu"))
    born dead with probability 0% (0% to 0.383%, 1,000 networks); theory: 0%.
    """
    _check_count("trials", trials)
    if data is not None:
        data = _checked(data)
    if isinstance(network, nn.Module) or callable(network):
        if data is None:
            raise InputError("a model needs data= to run on, such as a batch of its examples")
        if width is not None or inputs is not None or init != "torch" or activation != "relu":
            raise InputError(
                "width, inputs, init and activation are for networks given by their sizes; "
                "a model has its own, so leave them out"
            )
        return _of_model(network, data, trials, seed)

    widths = _widths(network, width)
    spec = parse(activation)
    if init not in ("torch", "he"):
        raise InputError(f"init must be 'torch' or 'he', but is {init!r}")
    if inputs is not None:
        _check_count("inputs", inputs)
    generator = torch.Generator().manual_seed(seed)
    if data is None:
        data = torch.randn(256, inputs or 1, generator=generator)
    if data.ndim != 2:
        raise InputError(
            f"data must have shape (N, inputs), but has {tuple(data.shape)}; try data.flatten(1)"
        )
    if inputs is not None and inputs != data.shape[1]:
        raise InputError(f"inputs is {inputs}, but data has {data.shape[1]}; leave inputs out")
    data = data.to("cpu", torch.float32)
    if not data.any():
        raise InputError("data is 0 everywhere; give examples that differ")
    dead = _simulate(widths, data, init, spec, trials, generator)
    names = [str(number) for number in range(1, len(widths) + 1)]
    return _result(names, dead, (dead == 1).any(1), bounds(widths, data, init, spec))


def _check_count(name: str, value: object) -> None:
    if not isinstance(value, Integral) or int(value) < 1:
        raise InputError(f"{name} must be a whole number of at least 1, but is {value!r}")


def _checked(data: object) -> Tensor:
    try:
        tensor = torch.as_tensor(data)
    except (TypeError, ValueError, RuntimeError) as error:
        kind = type(data).__name__
        raise TypeError(f"data must be a tensor of examples, but is of type {kind}") from error
    if tensor.ndim == 0 or tensor.numel() == 0:
        raise InputError(f"data has no examples: its shape is {tuple(tensor.shape)}, not (N, ...)")
    if not tensor.isfinite().all():
        raise InputError("data has NaN or infinite values; leave those examples out")
    return tensor


def _widths(network: int | Sequence[int], width: int | None) -> list[int]:
    if isinstance(network, Sequence) and not isinstance(network, str):
        if width is not None:
            raise InputError(f"the widths are given already, {list(network)}; leave width= out")
        if not network:
            raise InputError("widths must be whole numbers of at least 1, but there are none")
        for each in network:
            _check_count("the width of each layer", each)
        return list(network)
    _check_count("network, the number of hidden layers (or their widths, or a model),", network)
    if width is None:
        raise InputError("with a number of layers, width= must give the number of units in each")
    _check_count("width", width)
    return [width] * network


def _result(
    names: Sequence[str], dead: Tensor, is_dead: Tensor, bounds: tuple[float, float] | None = None
) -> BornDead:
    """Summarize shares of dead units, shape (trials, layers), and which networks are dead."""
    share, trials = float(is_dead.double().mean()), len(dead)
    units = tuple(dead.double().mean(0).tolist())
    return BornDead(share, _wilson(share, trials), tuple(names), units, trials, bounds)


def _wilson(share: float, n: int) -> tuple[float, float]:
    z = NormalDist().inv_cdf(0.975)
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    # At the ends these are 0 and 1, up to rounding.
    return (middle - half if share > 0 else 0.0), (middle + half if share < 1 else 1.0)


def _percent(share: float) -> str:
    return f"{100 * share:.3g}%"


@torch.no_grad()
def _simulate(
    widths: Sequence[int],
    data: Tensor,
    init: str,
    spec: Activation,
    trials: int,
    generator: torch.Generator,
) -> Tensor:
    """Return the share of dead units, shape (trials, layers); networks run side by side."""
    activation = spec.module()
    sizes = list(pairwise([data.shape[1], *widths]))
    at_once = max(1, NUMBERS_AT_ONCE // max(max(n, len(data)) * width for n, width in sizes))
    shares = []
    for start in range(0, trials, at_once):
        count = min(at_once, trials - start)
        x = data.expand(count, *data.shape)
        dead = []
        for fan_in, width in sizes:
            if init == "he":
                weight = torch.randn(count, fan_in, width, generator=generator)
                z = x @ (weight * (spec.gain / math.sqrt(fan_in)))
            else:
                bound = 1 / math.sqrt(fan_in)
                weight = torch.empty(count, fan_in, width).uniform_(
                    -bound, bound, generator=generator
                )
                bias = torch.empty(count, 1, width).uniform_(-bound, bound, generator=generator)
                z = torch.baddbmm(bias, x, weight)
            dead.append(((z <= 0).all(1) & spec.can_die).float().mean(1))
            x = activation(z)
            if init == "he":
                # Without biases the scale decides nothing about who fires, but would leave the
                # range of float32 within some hundred layers.
                x = x / x.abs().amax((1, 2), keepdim=True).clamp_min(1e-30)
        shares.append(torch.stack(dead, 1))
    return torch.cat(shares)


def _of_model(
    network: nn.Module | Callable[[], nn.Module], data: Tensor, trials: int, seed: int
) -> BornDead:
    draw = _redrawn(network) if isinstance(network, nn.Module) else network
    dead, is_dead = [], []
    with torch.random.fork_rng([data.device.index] if data.is_cuda else []):
        # Not torch.manual_seed: that reaches devices of which the state is not put back.
        torch.default_generator.manual_seed(seed)
        if data.is_cuda:
            torch.cuda.default_generators[data.device.index].manual_seed(seed)
        for _ in range(trials):
            model = draw()
            if not isinstance(model, nn.Module):
                kind = type(model).__name__
                raise TypeError(f"network must return a torch.nn.Module, but gave {kind}")
            layers, output = _run(model.train(), data)
            if not layers:
                raise no_activation()
            dead.append(torch.tensor(list(layers.values())))
            is_dead.append(bool((dead[-1] == 1).any()) and not _varies(output))
    return _result(list(layers), torch.stack(dead), torch.tensor(is_dead))


def _redrawn(model: nn.Module) -> Callable[[], nn.Module]:
    """Return a function that returns a copy of `model`, each time with new parameters."""
    model = copy.deepcopy(model)
    resets: list[Any] = [getattr(module, "reset_parameters", None) for module in model.modules()]
    resets = [reset for reset in resets if callable(reset)]
    if not resets:
        raise InputError(
            "no layer of the model has reset_parameters to reinitialize it; give a function that "
            "returns a new model, as in born_dead(make_model, data=...)"
        )

    def draw() -> nn.Module:
        for reset in resets:
            reset()
        return model

    return draw


@torch.no_grad()
def _run(model: nn.Module, data: Tensor) -> tuple[dict[str, float], Any]:
    """Return the share of dead units of each layer, and the output."""
    shares: dict[str, float] = {}

    def count(call: Call) -> None:
        counts = FiringCounts(call.layout.axis)
        counts.update(call.by_unit)
        dead = counts.never_fired & call.blocks_gradient
        name = call.layer if call.layer not in shares else f"{call.layer} {call.function}"
        shares[name] = dead.float().mean().item()

    tracer = CallTracer(model, count)
    with tracer.hooked(), tracer:
        output = model(data)
    return shares, output


def _varies(output: Any) -> bool:
    """Whether the output is not the same for all examples, as far as can be seen."""
    if not isinstance(output, Tensor):
        return False
    spread = (output - output[:1]).abs().max()
    return bool(spread > 1e-5 * output.abs().max())  # equal rows may differ by rounding
