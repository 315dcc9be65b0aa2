"""What an experiment has found, as data frames."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from leakyrelu._compare.results import Results
from leakyrelu._compare.statistics.candidates import Candidate
from leakyrelu._compare.statistics.condition import END, START, median_reach, reach, silent
from leakyrelu.activations import Activation

__all__ = ["candidates_table", "names_of", "pairs_table", "side_by_side", "trials_table"]

HEALTH: tuple[str, ...] = (
    *("dead %", "born dead %", "stuck negative %", "first gradient start", "first gradient end"),
    *("silent_start", "silent_end", "first_gradient_start", "first_gradient_end"),
)
SOURCE = ("low for the source", "high for the source", "verdict for the source")


def candidates_table(found: Results) -> pd.DataFrame:
    """Return one row per activation: see `Comparison.table`."""
    rows = []
    for c in found.candidates:
        here, source = c.difference, c.source
        row = {
            "activation": str(c.activation),
            found.task.metric.name: c.score.mean,
            "low": c.score.low,
            "high": c.score.high,
            f"difference to {found.settings.reference}": here and here.mean,
            f"low on {found.scope}": here and here.low,
            f"high on {found.scope}": here and here.high,
            f"verdict on {found.scope}": c.verdict,
            "low for the source": source and source.low,
            "high for the source": source and source.high,
            "verdict for the source": source and c.verdict and source.verdict,
            "probability better": c.probability,
            "probability best": c.probability_best,
            "seeds": len(c.trials),
            "dead %": 100 * c.dead,
            "born dead %": 100 * c.born_dead,
            "stuck negative %": 100 * c.stuck_negative,
            "first gradient start": median_reach(c.trials, START),
            "first gradient end": median_reach(c.trials, END),
            "learning rate": c.learning_rate,
            "seconds": c.seconds,
        }
        rows.append(row)
    return _known(_as_frame(rows, ("activation",)), found)


def pairs_table(found: Results) -> pd.DataFrame:
    """Return one row per pair: see `Comparison.pairs`."""
    rows = [
        {
            "first": str(pair.first),
            "second": str(pair.second),
            "difference": pair.difference.mean,
            f"low on {found.scope}": pair.difference.low,
            f"high on {found.scope}": pair.difference.high,
            f"verdict on {found.scope}": pair.difference.verdict,
            "low for the source": pair.source and pair.source.low,
            "high for the source": pair.source and pair.source.high,
            "verdict for the source": pair.source and pair.source.verdict,
            "probability better": pair.probability,
        }
        for pair in found.compared_pairs
    ]
    return _known(_as_frame(rows, ("first", "second")), found)


def _as_frame(rows: list[dict[str, Any]], names: Sequence[str]) -> pd.DataFrame:
    numbers = [
        name for row in rows[:1] for name in row if name not in names and "verdict" not in name
    ]
    return pd.DataFrame(rows).astype(dict.fromkeys(numbers, float))


def trials_table(found: Results) -> pd.DataFrame:
    """Return one row per trial: see `Comparison.trials`."""
    chosen = {trial.key for candidate in found.candidates for trial in candidate.trials}
    rows = pd.DataFrame(
        [
            {
                "activation": str(trial.activation),
                "learning_rate": trial.learning_rate,
                "seed": trial.seed,
                "validation_score": trial.validation_score,
                "test_score": trial.test_score,
                "diverged": trial.diverged,
                "seconds": trial.seconds,
                "chosen": trial.key in chosen,
                "silent_start": silent(trial, START),
                "silent_end": silent(trial, END),
                "first_gradient_start": reach(trial, START),
                "first_gradient_end": reach(trial, END),
            }
            for trial in found.histories()
        ]
    )
    if rows["validation_score"].isna().all():
        rows = rows.drop(columns="validation_score")
    return _known(rows, found)


def _known(table: pd.DataFrame, found: Results) -> pd.DataFrame:
    """Leave out the columns of what is not known of any trial."""
    unknown = () if found.has_health else HEALTH
    unknown += () if found.has_rates else ("learning rate", "learning_rate")
    unknown += () if found.has_times else ("seconds",)
    unknown += () if found.has_source else SOURCE
    return table.drop(columns=[name for name in table if name in unknown])


def names_of(several: Sequence[Results]) -> list[str]:
    """Name experiments by their directories, with as much of the path as tells them apart."""
    paths = [found.directory.absolute() for found in several]
    for parts in range(1, max(len(path.parts) for path in paths)):
        names = ["/".join(path.parts[-parts:]) for path in paths]
        if len(set(names)) == len(names):
            return names
    return [str(path) for path in paths]


def side_by_side(several: Sequence[Results]) -> list[tuple[Activation, list[Candidate | None]]]:
    """Return each activation with what each experiment found of it, None if it is not among them.

    Those that are in more experiments come first, then those of the better mean place.
    """
    each = [{c.activation: c for c in found.candidates} for found in several]
    places: dict[Activation, list[int]] = {}
    for own in each:
        for place, activation in enumerate(own):
            places.setdefault(activation, []).append(place)
    ordered = sorted(places, key=lambda name: (-len(places[name]), sum(places[name])))
    return [(name, [own.get(name) for own in each]) for name in ordered]
