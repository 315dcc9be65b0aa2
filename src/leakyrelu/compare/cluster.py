"""Training on a Ray cluster: the same batches, on whichever machine is free."""

from __future__ import annotations

import dataclasses
import logging
import sys
from collections.abc import Sequence
from typing import Any

from leakyrelu.compare.calibrate import calibrate
from leakyrelu.compare.engine import Results
from leakyrelu.compare.plan import Batch
from leakyrelu.compare.train import Experiment, train
from leakyrelu.compare.trial import Key, Trial

try:
    import ray
except ImportError as error:
    raise ImportError("engine ray needs Ray: pip install 'leakyrelu[ray]'", name="ray") from error

__all__ = ["Cluster"]

# A worker that dies, with its machine or without, is replaced so often for one batch.
RETRIES = 3


class Cluster:
    """The workers of a Ray cluster, of one core each.

    Parameters
    ----------
    experiment : Experiment
        Sent to each machine once; with it goes the code of the module that the user's model and
        functions are from.
    keys : sequence of Key
        What is to be trained, for the measurement of how.
    address : str, optional
        Of a cluster that runs; by default one is started on this machine.

    Raises
    ------
    OSError
        If the cluster can't be reached.
    """

    def __init__(self, experiment: Experiment, keys: Sequence[Key], address: str | None) -> None:
        self.way = calibrate(experiment, keys)
        if not ray.is_initialized():
            try:
                ray.init(address, log_to_driver=False, logging_level=logging.ERROR)
            except (ConnectionError, ValueError, RuntimeError) as error:
                raise OSError(
                    f"the Ray cluster at {address!r} can't be reached: {error}"
                ) from error
        workers = int(ray.cluster_resources().get("CPU", 1))
        stack = max(1, min(self.way.stack, len(keys) // workers))
        where = f"on {workers} Ray workers (measured here)"
        self.way = dataclasses.replace(self.way, stack=stack, workers=workers, where=where)
        _send_code(experiment)
        self._experiment = ray.put(experiment)

    def train(self, todo: Sequence[Batch]) -> Results:
        """Train batches, and yield each with its trials as it finishes."""
        call = ray.remote(num_cpus=1, max_retries=RETRIES)(_trained_on_worker)
        stacked = self.way.stacked
        waiting: list[Any] = [call.remote(self._experiment, batch, stacked) for batch in todo]
        try:
            while waiting:
                (finished,), waiting = ray.wait(waiting)
                yield ray.get(finished)
        except ray.exceptions.WorkerCrashedError as error:
            raise OSError(
                f"a batch of trials was given up after its worker died {RETRIES + 1} times; the "
                "finished ones are kept, and the same command resumes"
            ) from error
        finally:
            for each in waiting:
                ray.cancel(each, force=True)


def _trained_on_worker(
    experiment: Experiment, batch: Batch, stacked: bool
) -> tuple[Batch, list[Trial]]:
    import torch

    torch.set_num_threads(1)
    return batch, train(experiment, batch, stacked)


def _send_code(experiment: Experiment) -> None:
    """Let the modules of the user's functions be sent along: other machines need not have them."""
    task, recipe = experiment.task, experiment.recipe
    for each in (task.loss, task.metric, recipe.model, recipe.optimizer, recipe.schedule):
        name = getattr(getattr(each, "func", each), "__module__", "")
        file = getattr(sys.modules.get(name), "__file__", None)
        is_installed = "site-packages" in (file or "") or name.startswith("leakyrelu.")
        if file and not is_installed:
            ray.cloudpickle.register_pickle_by_value(sys.modules[name])
