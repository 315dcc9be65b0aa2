"""Examples that belong together: duplicates, and those of one person or thing.

Training on one and testing on another would be leakage, so a split keeps each group in one part.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["alike", "grouped_split", "joined", "sized_for_a_split"]

Numbers = npt.NDArray[np.int64]

# A group of more than this share of the rows always goes to training: it would fill most of a test
# part. If such groups make up too many rows, no split resembles the data.
LARGEST = 0.1
MOST_IN_LARGE = 0.2
ROWS_AT_A_TIME = 4096


def alike(X: npt.NDArray[Any]) -> Numbers | None:
    """Give identical rows the same number.

    Returns
    -------
    ndarray or None
        None if there are no duplicates. NaN equals NaN here, and -0.0 equals 0.0.
    """
    rows = X.reshape(len(X), -1)
    numbers: dict[int, int] = {}
    found = np.empty(len(X), np.int64)
    for start in range(0, len(X), ROWS_AT_A_TIME):
        part = np.ascontiguousarray(rows[start : start + ROWS_AT_A_TIME])
        if part.dtype.kind == "f":
            part = np.where(np.isnan(part), np.nan, part).astype(part.dtype) + 0
        for i, row in enumerate(part, start):
            found[i] = numbers.setdefault(hash(row.tobytes()), len(numbers))
    return found if len(numbers) < len(X) else None


def joined(one: Numbers | None, other: Numbers | None) -> Numbers | None:
    """Give rows that share a number in either grouping the same number."""
    if one is None or other is None:
        return other if one is None else one
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    first, total = one.max() + 1, one.max() + other.max() + 2
    links = coo_array((np.ones(len(one)), (one, first + other)), shape=(total, total))
    found = connected_components(links, directed=False)[1][one]
    return np.unique(found, return_inverse=True)[1].astype(np.int64)


def sized_for_a_split(groups: Numbers) -> bool:
    """Whether groups are small enough to be split without distorting the data."""
    sizes = np.bincount(groups)
    large = sizes > LARGEST * len(groups)
    return bool(sizes[large].sum() <= MOST_IN_LARGE * len(groups))


def grouped_split(
    groups: Numbers, labels: Numbers | None, size: int, seed: int
) -> tuple[Numbers, Numbers, Numbers]:
    """Split rows so that each group, numbered from 0 without gaps, is in one part.

    The split is stratified as far as groups allow. Of validation and test rows there are `size`
    each, of training rows equally many for all seeds: where no group fits, one is cut, the rest of
    its rows left out, and as many training rows repeated.
    """
    draw = np.random.default_rng(seed)
    counts = np.bincount(groups)
    firsts = np.unique(groups, return_index=True)[1]
    classes = np.zeros(len(counts), np.int64) if labels is None else labels[firsts]
    # The groups of each class are placed at random, evenly over 0 to 1; in this order, every class
    # keeps its share.
    place = np.empty(len(counts))
    for each in np.unique(classes):
        own = draw.permutation(np.flatnonzero(classes == each))
        place[own] = (np.cumsum(counts[own]) - counts[own] * draw.random()) / counts[own].sum()
    place[counts > LARGEST * len(groups)] = 2
    waiting = np.argsort(place)
    rows = np.split(np.argsort(groups, kind="stable"), np.cumsum(counts)[:-1])
    parts = []
    for _ in ("test", "validation"):
        taken, room = [], size
        for group in waiting:
            if counts[group] <= room and place[group] < 2:
                taken.append(group)
                room -= counts[group]
            if room == 0:
                break
        waiting = waiting[~np.isin(waiting, taken)]
        part = [rows[group] for group in taken]
        if room:
            smallest = waiting[np.argmin(counts[waiting])]
            part.append(rows[smallest][:room])
            waiting = waiting[waiting != smallest]
        parts.append(np.concatenate(part))
    rest = draw.permutation(np.concatenate([rows[group] for group in waiting]))
    left_out = len(groups) - 2 * size - len(rest)
    return np.concatenate([rest, rest[:left_out]]), parts[1], parts[0]
