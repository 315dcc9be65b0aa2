"""Training on a Ray cluster: the same batches, on whatever machine is free."""

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
from contextlib import ExitStack, contextmanager, suppress
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
# How often a batch is retried when its worker, or the worker's machine, dies.
RETRIES = 3
SECONDS_TO_REACH = 5.0
KEPT = "finished trials are kept, and the same command resumes"


class RayEngine:
    """The workers of a Ray cluster, with one core each.

    The experiment is sent to each machine once, with the code of the user's own modules, which
    other machines need not have. By default the cluster is found as by `ray.init`: in
    ``RAY_ADDRESS``, or running on this machine; if there is none, one is started here, and `close`
    stops it. If this process is already connected to a cluster, that one is used.
    """

    def __init__(self, experiment: Experiment, keys: Sequence[Key], address: str | None) -> None:
        self.close: Callable[[], object] = lambda: None
        self._is_guest = ray.is_initialized()
        if not self._is_guest:
            _connect(address)
            # Runs even if nobody calls it, so that no process is left behind.
            self.close = weakref.finalize(self, ray.shutdown)
        try:
            self._prepare(experiment, keys)
        except BaseException:
            self.close()
            raise

    def _prepare(self, experiment: Experiment, keys: Sequence[Key]) -> None:
        """Send the experiment to the workers, and calibrate on one of them."""
        workers = max(1, int(ray.cluster_resources().get("CPU", 1)))
        with _user_code_sent_along():
            try:
                self._experiment = ray.put(experiment)
            except Exception as error:  # whatever the user's objects raise when pickled
                why = told(error.__cause__ or error)  # Ray's own message repeats all of the data
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
            # Disconnecting ends them too; and Ray aborts a process that cancels a task whose
            # result is just arriving.
            for each in waiting if self._is_guest else []:
                with suppress(RayError):  # the cluster may be gone
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
            f"{which} can't be reached: {error}; check that it is running with the same versions "
            "of Ray and Python, and if it asks for a token, set RAY_AUTH_MODE=token here"
        ) from error


@contextmanager
def _own_answer_to_sigterm() -> Iterator[None]:
    """Keep this process's SIGTERM handler: Ray's would abort it."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    if threading.current_thread() is threading.main_thread() and before is not None:
        signal.signal(signal.SIGTERM, before)


def _knock(address: str) -> None:
    """Fail fast if nothing listens: Ray would retry for minutes, then end the process."""
    url = urlsplit(address if "://" in address else f"ray://{address}")
    if url.hostname and url.port:
        socket.create_connection((url.hostname, url.port), SECONDS_TO_REACH).close()


def _result(finished: Any) -> Any:
    """Return a worker's result, or raise with one sentence on what went wrong."""
    try:
        return ray.get(finished)
    except RayTaskError as error:
        if isinstance(error.cause, OwnerDiedError):  # nothing died: it was denied access
            raise OSError(
                "a Ray worker can't read what this process sent; both need the same token and "
                f"RAY_AUTH_MODE, so give the cluster's --address and set both here; {KEPT}"
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
            f"leakyrelu is version {VERSION} here, but {version} where the experiment was "
            "started; install the same version on every machine"
        )
    try:
        return in_worker(work, experiment, *arguments)
    except Exception as error:  # the user's code may raise anything, even what can't be pickled
        raise InputError(told(error)) from error


@contextmanager
def _user_code_sent_along() -> Iterator[None]:
    """Pickle functions and classes of the user's modules with their code, not by name."""
    before = cloudpickle.list_registry_pickle_by_value()
    with ExitStack() as stack:
        for name, module in list(sys.modules.items()):
            if name not in before and _is_users(name, module):
                cloudpickle.register_pickle_by_value(module)
                stack.callback(cloudpickle.unregister_pickle_by_value, module)
        yield


def _is_users(name: str, module: ModuleType) -> bool:
    """Whether a module is Python code that is not installed: other machines may lack it."""
    file = getattr(module, "__file__", None) or ""
    return (
        file.endswith(".py")
        and getattr(module, "__name__", "") == name  # __main__ has several names
        and name.partition(".")[0] not in {"leakyrelu", *sys.stdlib_module_names}
        and not {"site-packages", "dist-packages"} & set(Path(file).parts)
    )
