"""Training on a Ray cluster: the same batches, on whichever machine is free."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import logging
import os
import signal
import socket
import sys
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

from leakyrelu._compare.engines.calibrate import calibrate, told
from leakyrelu._compare.engines.engine import Results, in_worker, train_batch
from leakyrelu._compare.settings import Batch
from leakyrelu._compare.training.train import Experiment
from leakyrelu._compare.trial import Key
from leakyrelu._errors import InputError, needed_for

with needed_for("engine ray", "ray"):
    import ray
    from ray import cloudpickle
    from ray.exceptions import OwnerDiedError, RayError, RayTaskError

__all__ = ["RayEngine"]

VERSION = importlib.metadata.version("leakyrelu")
# A worker that dies, with its machine or without, is replaced so often for one batch.
RETRIES = 3
SECONDS_TO_REACH = 5.0
KEPT = "finished trials are kept, and the same command resumes"


class RayEngine:
    """The workers of a Ray cluster, of one core each.

    Parameters
    ----------
    experiment : Experiment
        Sent to each machine once; with it goes the code of the user's own modules, which other
        machines need not have.
    keys : sequence of Key
        What is to be trained, for the measurement of how.
    address : str, optional
        Of a cluster that runs. By default it is found as `ray.init` finds it: in ``RAY_ADDRESS``,
        or running on this machine; if there is none, one is started here. A cluster that this
        process is connected to already is taken in any case.

    Attributes
    ----------
    way : Way
        Measured on one of the workers.
    close : callable
        Leaves the cluster, and ends it if it was started here.

    Raises
    ------
    OSError
        If the cluster can't be reached.
    InputError
        If the experiment can't be sent, or the model can't be trained.
    """

    def __init__(self, experiment: Experiment, keys: Sequence[Key], address: str | None) -> None:
        self.close: Callable[[], object] = lambda: None
        self._is_guest = ray.is_initialized()
        if not self._is_guest:
            _connect(address)
            # Also when nobody calls it, so that no process is left behind.
            self.close = weakref.finalize(self, ray.shutdown)
        try:
            self._prepare(experiment, keys)
        except BaseException:
            self.close()
            raise

    def _prepare(self, experiment: Experiment, keys: Sequence[Key]) -> None:
        """Send the experiment to the workers, and measure on one of them how to train."""
        workers = max(1, int(ray.cluster_resources().get("CPU", 1)))
        with _user_code_sent_along():
            try:
                self._experiment = ray.put(experiment)
            except Exception as error:  # whatever the user's objects raise when they are pickled
                why = told(error.__cause__ or error)  # Ray's own words repeat all of the data
                raise InputError(f"model and data can't be sent to the workers: {why}") from error
        share = list(keys[: max(1, len(keys) // workers)])
        way = _result(self._submit(calibrate, share))
        where = f"on {workers} Ray workers (measured on one of them)"
        self.way = dataclasses.replace(way, workers=workers, where=where)

    def train(self, todo: Sequence[Batch]) -> Results:
        """Train batches, and yield each with its trials as it finishes."""
        waiting = [self._submit(train_batch, batch, self.way.stacked) for batch in todo]
        try:
            while waiting:
                (finished,), waiting = ray.wait(waiting)
                yield _result(finished)
        finally:
            # Leaving the cluster ends them, too; and Ray aborts a process that cancels a task whose
            # result is just on its way.
            for each in waiting if self._is_guest else []:
                with suppress(RayError):  # it may be the cluster that has ended
                    ray.cancel(each, force=True)

    def _submit(self, work: Callable[..., Any], *arguments: Any) -> Any:
        call = ray.remote(num_cpus=1, max_retries=RETRIES)(_on_worker)
        return call.remote(VERSION, work, self._experiment, *arguments)


def _connect(address: str | None) -> None:
    named = address or os.environ.get("RAY_ADDRESS") or ""
    try:
        _knock(named)
        with _own_answer_to_sigterm():
            ray.init(address, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, RuntimeError, ValueError, RayError) as error:
        which = f"the Ray cluster at {named!r}" if named else "a Ray cluster"
        raise OSError(
            f"{which} can't be reached: {error}; it should run there, with the same versions of "
            "Ray and Python, and if it asks for a token, with RAY_AUTH_MODE=token set here"
        ) from error


@contextmanager
def _own_answer_to_sigterm() -> Iterator[None]:
    """Keep what this process does when it is asked to end: Ray would abort it."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    if threading.current_thread() is threading.main_thread() and before is not None:
        signal.signal(signal.SIGTERM, before)


def _knock(address: str) -> None:
    """Fail soon where nobody listens: Ray itself tries for minutes, and then ends the process."""
    url = urlsplit(address if "://" in address else f"ray://{address}")
    if url.hostname and url.port:
        socket.create_connection((url.hostname, url.port), SECONDS_TO_REACH).close()


def _result(finished: Any) -> Any:
    """Return what a worker has returned, or say in a sentence what went wrong."""
    try:
        return ray.get(finished)
    except RayTaskError as error:
        if isinstance(error.cause, OwnerDiedError):  # nobody died: it was not let in
            raise OSError(
                "a Ray worker can't read what this process has sent; both need the same token and "
                f"RAY_AUTH_MODE, so name the cluster by --address and set both here; {KEPT}"
            ) from error
        raise InputError(f"on a Ray worker, {told(error.cause)}; {KEPT}") from error
    except RayError as error:
        first = str(error).strip().partition("\n")[0]
        raise OSError(
            f"the Ray cluster gave up a batch of trials after {RETRIES} retries "
            f"({type(error).__name__}: {first}); {KEPT}"
        ) from error


def _on_worker(
    version: str, work: Callable[..., Any], experiment: Experiment, *arguments: Any
) -> Any:
    if version != VERSION:
        raise InputError(
            f"leakyrelu is {VERSION}, but {version} where the experiment was "
            "started; install the same on every machine"
        )
    try:
        return in_worker(work, experiment, *arguments)
    except Exception as error:  # the user's own code may raise anything, also what can't be sent
        raise InputError(told(error)) from error


@contextmanager
def _user_code_sent_along() -> Iterator[None]:
    """Pickle functions and classes of the user's modules with their code, not by name."""
    before = cloudpickle.list_registry_pickle_by_value()
    added = [
        module
        for name, module in list(sys.modules.items())
        if name not in before and _is_users(name, module)
    ]
    for module in added:
        cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        for module in added:
            cloudpickle.unregister_pickle_by_value(module)


def _is_users(name: str, module: ModuleType) -> bool:
    """Whether a module is Python that nobody has installed: other machines may not have it."""
    file = getattr(module, "__file__", None) or ""
    return (
        file.endswith(".py")
        and getattr(module, "__name__", "") == name  # __main__ has several
        and name.partition(".")[0] not in {"leakyrelu", *sys.stdlib_module_names}
        and not {"site-packages", "dist-packages"} & set(Path(file).parts)
    )
