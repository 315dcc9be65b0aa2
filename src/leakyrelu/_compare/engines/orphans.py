"""Worker processes end with the process that started them, however that one ends.

This module imports nothing that takes time: workers watch from their start.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

__all__ = ["end_with"]

SECONDS = 0.5  # between two looks


def end_with(parent: int) -> None:
    """Let this process end, with those that it has started, once its parent has.

    Who is killed can't tell its children, and those of a pool would go on for as long as there is
    work in the queue. Linux could send them a signal, but does so as well when only the thread that
    started them ends.

    Parameters
    ----------
    parent : int
        The process that started this one.
    """
    # A terminal, `timeout` and schedulers send these to all processes of a group. The parent, which
    # gets them too, ends its workers in order; one that is gone before looks to it like a failure.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(SECONDS)
    for process in _children(os.getpid()):
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    os._exit(1)


def _children(process: int) -> Iterator[int]:
    """Yield the children of a process and all of theirs, where Linux tells of them."""
    with suppress(OSError):
        for listed in Path(f"/proc/{process}/task").glob("*/children"):
            for child in map(int, listed.read_text().split()):
                yield from _children(child)
                yield child
