"""Runs in a folder of TensorBoard, as a table: a row a run."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from leakyrelu._data.table import Table
from leakyrelu._errors import InputError, needed_for

__all__ = ["read_folder"]

HPARAMS = "hparams"  # the plugin
EVENTS = "events.out.tfevents.*"
PAIRS = re.compile(r"(?:^|[/,;&_-])([a-z]\w*?)=([^/,;&]+)")
NUMBERED = re.compile(
    r"(?:^|[/_.,\s-])(?P<role>seed|learning_rate|lr)[_=-]?(?P<value>\d[\d.]*(?:e-?\d+)?)",
    re.IGNORECASE,
)


def read_folder(folder: Path) -> Table:
    """Read the last value of each scalar, and what was varied: hparams, else the folder's name.

    A name may have it as in ``relu-lr0.01-seed3``, ``relu/seed_3`` or ``act=relu,seed=3``.
    """
    places = sorted({file.parent for file in folder.rglob(EVENTS)})
    if not places:
        raise InputError(f"{folder} is a folder without event files of TensorBoard")
    runs = [dict(_read(place)) for place in places]
    if any(HPARAMS in run for run in runs):  # add_hparams has a folder for them, in that of a run
        kept = [n for n, run in enumerate(runs) if HPARAMS in run]
        runs, places = [runs[n] for n in kept], [places[n] for n in kept]
    rows = []
    for run, place in zip(runs, places, strict=True):
        named = _named(place.relative_to(folder).as_posix())
        rows.append({"run": place.name, **named, **run.pop(HPARAMS, {}), **run})
    return Table(pd.DataFrame(rows, dtype=object), folder.name or str(folder))


def _read(place: Path) -> Iterator[tuple[str, Any]]:
    """Yield the scalars of a run by their names, and its hparams."""
    with needed_for("a folder of TensorBoard", "tensorboard"):
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
        from tensorboard.plugins.hparams import metadata
    from tensorboard.util import tensor_util

    found = EventAccumulator(str(place), {"scalars": 1, "tensors": 1}).Reload()
    tags = found.Tags()
    for tag in tags["scalars"]:
        yield tag, found.Scalars(tag)[-1].value
    for tag in tags["tensors"]:
        kind = found.SummaryMetadata(tag).plugin_data.plugin_name
        if kind == "scalars":
            yield tag, float(tensor_util.make_ndarray(found.Tensors(tag)[-1].tensor_proto))
    if metadata.SESSION_START_INFO_TAG in found.summary_metadata:
        content = found.summary_metadata[metadata.SESSION_START_INFO_TAG].plugin_data.content
        given = metadata.parse_session_start_info_plugin_data(content).hparams
        yield (
            HPARAMS,
            {name: getattr(value, value.WhichOneof("kind")) for name, value in given.items()},
        )


def _named(path: str) -> dict[str, str]:
    """Return what the name of a run's folder tells.

    Examples
    --------
    >>> _named("leaky_relu_0.2-lr0.01-seed3")
    {'seed': '3', 'learning_rate': '0.01', 'activation': 'leaky_relu_0.2'}
    >>> _named("relu/seed_3"), _named("act=my act,seed=3")
    ({'seed': '3', 'activation': 'relu'}, {'act': 'my act', 'seed': '3'})
    """
    if pairs := dict(PAIRS.findall(path)):
        return pairs
    found: dict[str, str] = {}
    for match in reversed(list(NUMBERED.finditer(path))):
        role = {"lr": "learning_rate"}.get(match["role"].lower(), match["role"].lower())
        found[role] = match["value"]
        path = path[: match.start()] + path[match.end() :]
    if name := path.strip("/_.,- "):
        found["activation"] = name
    return found
