"""Checks that the user's networks train in a stack as each of them would alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from leakyrelu._compare.networks.models import SingleModel
from leakyrelu._compare.networks.noise import kept_generators, where_others_stand
from leakyrelu._compare.networks.recipe import default_schedule
from leakyrelu._compare.settings import Batch
from leakyrelu._compare.training.train import Experiment, Training
from leakyrelu.activations import Activation

__all__ = ["reason_against"]

STEPS = 3
TOLERANCE, OF_LARGEST = 0.01, 1e-3  # relative, and as a fraction of a network's largest number
_OF_ANY_MODULE = set(vars(nn.Module()))


def reason_against(
    experiment: Experiment, activation: Activation, each: Sequence[tuple[float, int]]
) -> str:
    """Say why networks of these learning rates and seeds can't be a stack; empty if they can.

    With the user's own model or loss, two networks are trained for a few steps, as a stack and
    each alone.
    """
    rate, seed = each[0]
    with kept_generators():  # from which a single network draws
        if not Training(experiment, Batch(activation, (rate,), (seed,)), stacked=False).can_stack:
            return "the optimizer is not elementwise"
        if experiment.recipe.model is None and experiment.task.loss is None:
            return ""
        try:
            return _difference_in_training(experiment, activation, each)
        except Exception as error:  # vmap raises many types of error for what it can't do
            reason = str(error).partition("\n")[0].partition(". ")[0]
            return f"can't be stacked: {reason}"


def _difference_in_training(
    experiment: Experiment, activation: Activation, each: Sequence[tuple[float, int]]
) -> str:
    rate, seed = each[0]
    seeds = seed, next((other for _, other in each if other != seed), seed)
    attributes: list[dict[str, Any]] = []
    if experiment.recipe.model is not None:
        models = [experiment.recipe.build(activation, seed) for seed in seeds]
        hooks = "_backward_hooks", "_post_accumulate_grad_hooks"
        if any(getattr(p, hook, None) for m in models for p in m.parameters() for hook in hooks):
            return "its parameters have hooks"
        attributes = list(map(_attributes, models))
        if name := _difference(*attributes):
            return f"{name} differs from seed to seed, but is not a parameter or buffer"

    # Plain gradient descent, as Adam magnifies rounding differences.
    plain = dataclasses.replace(
        experiment.recipe, optimizer=torch.optim.SGD, schedule=default_schedule
    )

    def trained(*seeds: int) -> tuple[Training, bool]:
        batch = Batch(activation, (rate,) * len(seeds), seeds)
        training = Training(dataclasses.replace(experiment, recipe=plain), batch, len(seeds) > 1)
        before = where_others_stand()
        for _ in islice(training.epoch(), STEPS):
            pass
        return training, where_others_stand() != before

    stack, _ = trained(*seeds)
    for network, seed in enumerate(seeds):
        alone, draws = trained(seed)
        if draws:
            return "training draws from NumPy's or Python's generator"
        if isinstance(alone.networks, SingleModel) and (
            name := _difference(attributes[network], _attributes(alone.networks.model))
        ):
            return f"it changes {name}, which is not a parameter or buffer"
        if not (
            _are_close([stack.outputs(network)], [alone.outputs(0)])
            and _are_close(_gradients(stack, network), _gradients(alone))
        ):
            return "a stack does not compute the same as the model alone"
    return ""


def _attributes(model: nn.Module) -> dict[str, Any]:
    """Return the numbers that a model keeps besides its parameters and buffers."""
    found: dict[str, Any] = {}
    for path, module in model.named_modules():
        for key, value in vars(module).items():
            if key in _OF_ANY_MODULE or isinstance(value, nn.Parameter):
                continue
            value = value.detach() if isinstance(value, Tensor) else value
            if isinstance(value, (Tensor, bool, int, float, str, np.ndarray)):
                found[f"{path}.{key}".lstrip(".")] = np.array(value)
    return found


def _difference(one: dict[str, Any], other: dict[str, Any]) -> str:
    """Return the name of the first difference; empty if there is none."""
    for name in one | other:
        if name not in one or name not in other or not np.array_equal(one[name], other[name]):
            return name
    return ""


def _gradients(training: Training, network: int | None = None) -> list[Tensor]:
    """Return each parameter's gradient, of one network in a stack or of a single one."""
    found = [p.grad for p in training.stepped_on]
    gradients = [torch.zeros(()) if g is None else g for g in found]
    return gradients if network is None else [g[network] if g.ndim else g for g in gradients]


def _are_close(found: list[Tensor], expected: list[Tensor]) -> bool:
    largest = max((float(x.nan_to_num().abs().max()) for x in expected if x.numel()), default=0.0)
    return all(
        torch.allclose(one, other, TOLERANCE, OF_LARGEST * largest, equal_nan=True)
        for one, other in zip(found, expected, strict=True)
    )
