"""How likely a network is dead before it trains."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from numbers import Integral
from statistics import NormalDist
from typing import Any

import torch
from torch import Tensor, nn

from leakyrelu._errors import InputError
from leakyrelu.activations import Activation, parse
from leakyrelu.health._calls import NO_RECTIFIER, Call, CallTracer
from leakyrelu.health._counts import FiringCounts
from leakyrelu.health._odds_theory import bounds

__all__ = ["Odds", "odds"]

WORTH_A_WARNING = 0.05
NUMBERS_AT_ONCE = 2**22  # networks are simulated side by side in tensors of at most this size


@dataclass(frozen=True)
class Odds:
    """How likely a network is born dead, by simulation and by theory; made by `odds`.

    Attributes
    ----------
    born_dead : float
        Share of the simulated networks in which a whole layer never fires, so that the same
        comes out whatever comes in, and the layers below do not learn.
    interval : tuple of float
        Its 95% interval (Wilson).
    layers : tuple of str
        The hidden layers: numbers from 1, or the paths of a model's rectifiers.
    dead_units : tuple of float
        For each of them, the share of its units that are dead.
    trials : int
        The number of networks simulated.
    bounds : tuple of float or None
        By theory the probability is between these; None for a model.
    """

    born_dead: float
    interval: tuple[float, float]
    layers: tuple[str, ...]
    dead_units: tuple[float, ...]
    trials: int
    bounds: tuple[float, float] | None = None

    @property
    def exact(self) -> float | None:
        """The probability, where theory tells it: its two bounds are one number."""
        if self.bounds is None or self.bounds[0] != self.bounds[1]:
            return None
        return self.bounds[0]

    def __str__(self) -> str:
        low, high = map(_percent, self.interval)
        text = (
            f"born dead with probability {_percent(self.born_dead)} "
            f"({low} to {high}, {self.trials:,} networks)"
        )
        if self.bounds is not None:
            text += "; by theory " + " to ".join(dict.fromkeys(map(_percent, self.bounds)))
        worst = max(range(len(self.layers)), key=self.dead_units.__getitem__)
        if self.dead_units[worst] > 0:
            text += (
                f"; most dead units in layer {self.layers[worst]}: "
                f"{_percent(self.dead_units[worst])}"
            )
        if self.born_dead > WORTH_A_WARNING:
            how = "is probably" if self.born_dead > 0.5 else "may well be"
            text += (
                f". Such a network {how} dead before it trains; wider or fewer layers, a leaky "
                "activation, residual connections or BatchNorm help"
            )
        return text + "."


def odds(
    network: int | Sequence[int] | nn.Module | Callable[[], nn.Module],
    width: int | None = None,
    *,
    data: Tensor | None = None,
    inputs: int | None = None,
    init: str = "torch",
    activation: str | Activation = "relu",
    trials: int = 1000,
    seed: int = 0,
) -> Odds:
    r"""Tell how likely a network is dead before its first update.

    A layer none of whose units fires for any example passes on the same whatever comes in, and
    no gradient back: the network is *born dead*. The deeper and the narrower it is, the
    likelier that is.

    Parameters
    ----------
    network : int, sequence of int, torch.nn.Module, or callable
        The number of hidden layers, with `width`; or the width of each; or a model, of which
        all layers are drawn anew by their ``reset_parameters``; or a function that returns a
        new model, if that has an initialisation of its own.
    width : int, optional
        Units in each hidden layer, if `network` is a number.
    data : torch.Tensor, optional
        Examples, shape (N, inputs), or as the model takes them; a model needs it. By default
        256 draws from the standard normal distribution.
    inputs : int, optional
        Features of an example, if there is no `data`; by default 1.
    init : {"torch", "he"}
        How weights and biases are drawn: as `torch.nn.Linear` does, or from normal
        distributions with the gain of the activation (He et al. 2015) and biases 0.
    activation : spec, default "relu"
        As `leakyrelu.activations.parse` takes it.
    trials : int, default 1000
        The number of networks simulated. Those of a model run one after the other.
    seed : int, default 0
        Of the random numbers.

    Returns
    -------
    Odds
        With the estimate and its interval, the share of dead units in each layer, and, but for
        a model, what theory says. Print it to be told in words.

    Raises
    ------
    InputError
        If there is no layer, unit, example or trial, `data` is not finite, a model comes
        without data or has nothing to draw anew, or arguments contradict each other.
    TypeError
        If `data` is no tensor or array, or the function returns no model.

    Notes
    -----
    `network` counts *hidden* layers; Lu et al. count the output too, so that their network of
    10 layers has 9 here. They call a network born dead if it is a constant function. On the
    examples given that is the same, but for events of probability zero: if each layer fires
    for some example, different examples give different outputs. More examples, or others, can
    make a unit fire that seemed dead.

    All that theory needs is that weights and biases are independent, symmetric about 0 and
    continuous. Any one example then makes a unit of a layer fire with probability 1/2, and
    gets through :math:`L` layers of :math:`N_l` units with :math:`\prod_l (1 - 2^{-N_l})`.
    Networks are born dead at most as often as they lose that one example, and at least as
    often as the weights (and biases, :math:`b = 1`; without them :math:`b = 0`) of a layer
    above the first are all negative:

    .. math:: 1 - \prod_{l=2}^{L} \left(1 - 2^{-(N_{l-1} + b) N_l}\right) \le P \le
              1 - \prod_{l=1}^{L} \left(1 - 2^{-N_l}\right)

    The right side is exact for a single example.

    With one input and no biases an example counts by its sign only. While examples of both
    signs get through, and not to the same single unit, a layer of :math:`N` units loses both
    with probability :math:`p^N`, where :math:`p` is 1/4 in the second layer and anything from
    1/4 to 1/2 above it, which depends on the distribution of the weights. With 1/4 throughout
    this is a Markov chain that dies at most as often as the network does. For equal widths
    it has a closed form, with :math:`a_1 = 1 - 2^{-N}` and
    :math:`a_2 = 1 - 2^{1-N} - (N-1) 4^{-N}`:

    .. math:: P \ge 1 - a_1^{L-1} + \frac{(1 - 2^{1-N}) (1 - 2^{-N})}{1 + (N-1) 2^{-N}}
              \left(a_2^{L-1} - a_1^{L-1}\right)

    which is exact for up to two layers, and for width 1. With the first two layers from the
    chain the upper bound, too, is nearer.

    Both papers bound the probability from both sides. Lu et al. prove that it goes to 1 with
    depth, Rister and Rubin that it need not if the width grows as well.

    A model is run in training mode, as in its first step, so that BatchNorm does its work. If
    it has connections around a dead layer, it is born dead only if its output is the same for
    all examples.

    References
    ----------
    .. [1] L. Lu, Y. Shin, Y. Su and G. E. Karniadakis, "Dying ReLU and initialization: theory
       and numerical examples", Communications in Computational Physics 28, 2020,
       arXiv:1903.06733.
    .. [2] B. Rister and D. L. Rubin, "Probabilistic bounds on neuron death in deep rectifier
       networks", 2020, arXiv:2007.06192.

    Examples
    --------
    >>> from leakyrelu.health import odds
    >>> print(odds(9, 2, init="he", trials=10_000))
    born dead with probability 8... by theory 87% to 88.7%; most dead units in layer 9: 9...
    Such a network is probably dead before it trains; wider or fewer layers, a leaky activation,
    residual connections or BatchNorm help.
    >>> odds(2, 2, init="he").exact
    0.15625
    >>> print(odds(9, 2, activation="leaky_relu"))
    born dead with probability 0% (0% to 0.383%, 1,000 networks); by theory 0%.
    """
    if not _is_count(trials):
        raise InputError(f"trials must be a whole number of at least 1, but is {trials!r}")
    if data is not None:
        data = _checked(data)
    if isinstance(network, nn.Module) or callable(network):
        if data is None:
            raise InputError("a model needs data= to be run on, such as a batch of its examples")
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
    if inputs is not None and not _is_count(inputs):
        raise InputError(f"inputs must be a whole number of at least 1, but is {inputs!r}")
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
    return _odds(names, dead, (dead == 1).any(1), bounds(widths, data, init, spec))


def _is_count(value: object) -> bool:
    return isinstance(value, Integral) and int(value) >= 1


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
        widths = list(network)
        if not widths or not all(map(_is_count, widths)):
            raise InputError(f"widths must be whole numbers of at least 1, but are {widths}")
        return widths
    if not _is_count(network):
        raise InputError(
            "network must be a number of hidden layers of at least 1, their widths, or a model, "
            f"but is {network!r}"
        )
    if width is None:
        raise InputError("with a number of layers, width= must tell the units in each")
    if not _is_count(width):
        raise InputError(f"width must be a whole number of at least 1, but is {width!r}")
    return [width] * network


def _odds(
    names: Sequence[str],
    dead: Tensor,
    born_dead: Tensor,
    bounds: tuple[float, float] | None = None,
) -> Odds:
    """Sum up the shares of dead units, shape (trials, layers), and who is born dead."""
    share, trials = float(born_dead.double().mean()), len(dead)
    units = tuple(dead.double().mean(0).tolist())
    return Odds(share, _wilson(share, trials), tuple(names), units, trials, bounds)


def _wilson(share: float, n: int) -> tuple[float, float]:
    z = NormalDist().inv_cdf(0.975)
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    # At the ends these are 0 and 1 but for rounding.
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
) -> Odds:
    draw = _redrawn(network) if isinstance(network, nn.Module) else network
    dead, born_dead = [], []
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
                raise InputError(NO_RECTIFIER)
            dead.append(torch.tensor(list(layers.values())))
            born_dead.append(bool((dead[-1] == 1).any()) and not _varies(output))
    return _odds(list(layers), torch.stack(dead), torch.tensor(born_dead))


def _redrawn(model: nn.Module) -> Callable[[], nn.Module]:
    """Return a function that gives a copy of `model`, each time with other parameters."""
    model = copy.deepcopy(model)
    resets: list[Any] = [getattr(module, "reset_parameters", None) for module in model.modules()]
    resets = [reset for reset in resets if callable(reset)]
    if not resets:
        raise InputError(
            "no layer of the model has reset_parameters to draw it anew; give a function that "
            "returns a new model, as in odds(make_model, data=...)"
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
        counts = FiringCounts(call.unit_axis)
        counts.update(call.pre_activation)
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
