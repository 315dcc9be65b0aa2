"""Paired timing: all contestants alternate in one process, and ratios are taken round by round.

Machines drift and are shared, so a time by itself says little. In every round each
contestant runs once, in an order that rotates, and is divided by ours of the same round;
the median of these ratios is what is reported.
"""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles

# Large tensors are allocated anew at each step. Whether the system's allocator reuses their memory
# or has it handed out again page by page depends on what happened before. So it is told to keep
# what was freed, as jemalloc and tcmalloc do.
KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(2**40), "MALLOC_TRIM_THRESHOLD_": str(2**40)}
SECONDS_A_SAMPLE = 1e-3
# The idle threads of one contestant spin for up to 35 ms, on the next one's time.
SECONDS_TO_SETTLE = 40e-3
# Threads that slept are woken first, and may need a while to get a processor each.
SECONDS_TO_WARM_UP = 10e-3


@dataclass(frozen=True)
class Timing:
    """Times of one contestant.

    Attributes
    ----------
    seconds : float
        Median over the rounds, of one call.
    ratio, low, high : float
        Its time over that of the first contestant: median, and 10% and 90% quantile, over
        the rounds. Above 1 the first contestant is faster.
    """

    seconds: float
    ratio: float
    low: float
    high: float


def compare(contestants: dict[str, Callable[[], object]], rounds: int = 21) -> dict[str, Timing]:
    """Time the contestants in alternation; ratios are to the first of them."""
    names = list(contestants)
    repeats = {name: _repeats(contestants[name]) for name in names}
    samples: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            samples[name].append(_sample(contestants[name], repeats[name]))
    ours = samples[names[0]]
    result = {}
    for name in names:
        ratios = [theirs / own for theirs, own in zip(samples[name], ours, strict=True)]
        deciles = quantiles(ratios, n=10, method="inclusive") if len(ratios) > 1 else ratios * 9
        result[name] = Timing(median(samples[name]), median(ratios), deciles[0], deciles[-1])
    return result


def keep_memory() -> None:
    """Start the program anew with an allocator that keeps what was freed."""
    if not os.environ.keys() & KEEP_MEMORY.keys():
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | KEEP_MEMORY)


def _sample(call: Callable[[], object], repeats: int) -> float:
    time.sleep(SECONDS_TO_SETTLE)
    warm = time.perf_counter() + SECONDS_TO_WARM_UP
    while time.perf_counter() < warm:
        call()
    start = time.perf_counter()
    for _ in range(repeats):
        call()
    return (time.perf_counter() - start) / repeats


def _repeats(call: Callable[[], object]) -> int:
    """How many calls make a sample that the clock can measure; also the warm-up."""
    call()
    repeats = 1
    while (taken := _sample(call, repeats) * repeats) < SECONDS_A_SAMPLE:
        repeats = max(repeats + 1, int(1.2 * repeats * SECONDS_A_SAMPLE / max(taken, 1e-7)))
    return repeats


def header(packages: Sequence[str]) -> str:
    """Return the command, machine and versions, as Markdown."""
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in packages)
    command = shlex.join(["python", *sys.argv])
    return (
        f"`{command}`, {datetime.date.today()}; {_processor()}, {os.cpu_count()} cores; "
        f"Python {platform.python_version()}, {versions}\n"
    )


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def duration(seconds: float) -> str:
    """Write a time with three digits and its unit."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-9:.3g} ns"


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table, numbers to the right."""
    lines = [columns, ["---", *["---:"] * (len(columns) - 1)], *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines) + "\n"
