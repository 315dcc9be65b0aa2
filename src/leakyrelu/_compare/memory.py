"""How much memory there is to use."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

__all__ = ["available_memory"]

# Where Linux states a container's limit (cgroups, version 2 and 1).
CONTAINER_LIMITS = "/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"
UNKNOWN_MEMORY = 4 << 30  # what is assumed


def available_memory() -> int:
    """Bytes of memory that this process may use: those of the machine, or of its container."""
    limits = []
    with suppress(AttributeError, ValueError, OSError):  # not on Windows
        limits.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    for file in CONTAINER_LIMITS:
        with suppress(ValueError, OSError):  # "max", or no such file
            limits.append(int(Path(file).read_text()))
    return min(limits, default=UNKNOWN_MEMORY)
