"""Which trials an experiment still needs."""

from __future__ import annotations

from collections.abc import Sequence

from leakyrelu.compare.plan import Settings
from leakyrelu.compare.trial import Key, Trial

__all__ = ["wanted"]


def wanted(settings: Settings, trials: Sequence[Trial], score_step: float) -> list[Key]:
    """Return the trials to run next, none if the experiment is complete.

    Parameters
    ----------
    settings : Settings
    trials : sequence of Trial
        Those that are finished.
    score_step : float
        As in `leakyrelu.compare.task.TaskInfo`.
    """
    finished = {trial.key for trial in trials}
    keys = [
        (spec, rate, seed)
        for spec in settings.activations
        for rate in settings.learning_rates
        for seed in settings.seeds
    ]
    return [key for key in keys if key not in finished]
