"""How many threads to use for a step: as many as are fastest at the moment."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median

import torch

__all__ = ["Pace"]

SAMPLE = 3  # steps whose median time is compared
WAIT, LONGEST_WAIT = 16, 1024  # steps before another number is tried; doubles each time
FASTER, SLOW, TOO_SLOW = 0.9, 3.0, 2.0


class Pace:
    """Halves or doubles PyTorch's threads where that makes steps faster, and tries it rarely.

    The threads of an operation wait for each other. When other programs keep the cores busy, all
    wait for one that has no core, and a step of many small operations takes up to a hundred times
    as long; with fewer threads it does not. And on many cores, small networks never benefit from
    using all of them. So other numbers are tried now and then, and at once when steps become slow.
    """

    def __init__(self) -> None:
        self._most = self._threads = torch.get_num_threads()
        self._is_fewer_next = True
        self._wait = self._steps_left = WAIT
        self._times: list[float] = []
        self._usual: float | None = None
        self._to_beat: float | None = None  # while another number is tried

    @contextmanager
    def kept(self) -> Iterator[Pace]:
        """Restore PyTorch's number of threads at the end."""
        try:
            yield self
        finally:
            torch.set_num_threads(self._most)

    def begin(self) -> None:
        """Start a new batch, whose steps may take a different time."""
        self._settle(self._threads, usual=None)

    def took(self, seconds: float) -> None:
        """Record how long a step took; the next may use another number of threads."""
        if self._most == 1:
            return
        self._times = [*self._times[1 - SAMPLE :], seconds]
        self._steps_left -= 1
        is_sample = len(self._times) == SAMPLE
        now = median(self._times)
        if self._to_beat is not None:
            if is_sample and now < FASTER * self._to_beat:
                self._wait = WAIT
                self._settle(torch.get_num_threads(), usual=now)
            elif is_sample or seconds > TOO_SLOW * self._to_beat:
                self._is_fewer_next = not self._is_fewer_next
                self._wait = min(2 * self._wait, LONGEST_WAIT)
                self._settle(self._threads, usual=self._to_beat)
        elif is_sample:
            self._usual = self._usual or now
            is_slow = now > SLOW * self._usual
            if is_slow or self._steps_left <= 0:
                self._is_fewer_next = is_slow or self._is_fewer_next
                self._try_another(now)

    def _try_another(self, now: float) -> None:
        if self._threads in (1, self._most):
            self._is_fewer_next = self._threads != 1
        other = self._threads // 2 if self._is_fewer_next else min(2 * self._threads, self._most)
        self._times, self._to_beat = [], now
        torch.set_num_threads(other)

    def _settle(self, threads: int, usual: float | None) -> None:
        self._threads, self._usual = threads, usual
        self._times, self._to_beat, self._steps_left = [], None, self._wait
        torch.set_num_threads(threads)
