"""Worker processes end with the process that started them, however that one ends.

This module imports nothing slow, so that workers watch from the start.
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

SECONDS = 0.5  # between two checks


def end_with(parent: int) -> None:
    """Make this process, and those it has started, end when its parent does.

    A killed process can't tell its children, and those of a pool would go on as long as there is
    work in the queue. Linux could send them a signal, but it also does so when only the thread that
    started them ends.
    """
    # A terminal, `timeout` and schedulers send these to all processes of a group. The parent, which
    # gets them too, ends its workers in order; one that ends earlier would look like a failure.
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
    """Yield all descendants of a process, where Linux lists them."""
    with suppress(OSError):
        for listed in Path(f"/proc/{process}/task").glob("*/children"):
            for child in map(int, listed.read_text().split()):
                yield from _children(child)
                yield child
