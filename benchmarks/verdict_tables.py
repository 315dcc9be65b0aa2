"""Real tables that ship with packages, and networks that are trained on them once.

pip install --no-deps statsmodels patsy vega_datasets plotly narwhals
python benchmarks/verdict_tables.py [TABLE ...]

Of each table a file is made in corpus/, unless it is there: what the default comparison's 8
activations at 3 learning rates made of each test example with 20 seeds, by repeated 5-fold splits.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.datasets import load_linnerud

from leakyrelu._compare.data.table_task import load_task
from leakyrelu._compare.networks.recipe import Recipe
from leakyrelu._compare.settings import DEFAULT_ACTIVATIONS, batches, make_settings
from leakyrelu._compare.training.train import Experiment, train
from leakyrelu._compare.trial import unpacked

FOLDER = Path(__file__).parents[1] / "corpus"
RATES = (0.001, 0.003, 0.01)
SEEDS, EPOCHS = 20, 30


def of_sklearn(name: str) -> Callable[[], Any]:
    """Return what loads a data set of scikit-learn."""
    return lambda: getattr(import_module("sklearn.datasets"), f"load_{name}")(return_X_y=True)


def of_statsmodels(name: str) -> Callable[[], pd.DataFrame]:
    """Return what loads a table of statsmodels."""
    return lambda: import_module(f"statsmodels.datasets.{name}").load_pandas().data


def of_vega(file: str) -> Callable[[], pd.DataFrame]:
    """Return what reads a table of vega_datasets."""

    def load() -> pd.DataFrame:
        path = files("vega_datasets") / "_data" / file
        if file.endswith(".csv"):
            return pd.read_csv(str(path))
        return pd.DataFrame(json.loads(path.read_text()))

    return load


def of_plotly(name: str) -> Callable[[], pd.DataFrame]:
    """Return what loads a table of plotly."""
    return lambda: getattr(import_module("plotly.data"), name)()


# What loads a table, its target, and the columns that would give it away or are names.
TABLES: dict[str, tuple[Callable[[], Any], str | None, tuple[str, ...]]] = {
    "linnerud": (lambda: load_linnerud(as_frame=True).frame, "Weight", ("Waist", "Pulse")),
    "spector": (of_statsmodels("spector"), "GRADE", ()),
    "statecrime": (of_statsmodels("statecrime"), "murder", ()),
    "ccard": (of_statsmodels("ccard"), "AVGEXP", ()),
    "barley": (of_vega("barley.json"), "yield", ()),
    "wind": (of_plotly("wind"), "frequency", ()),
    "iris": (of_sklearn("iris"), None, ()),
    "wine": (of_sklearn("wine"), None, ()),
    "tips": (of_plotly("tips"), "tip", ()),
    "cars, origin": (of_vega("cars.json"), "Origin", ("Name",)),
    "cars, miles a gallon": (of_vega("cars.json"), "Miles_per_Gallon", ("Name",)),
    "diabetes": (of_sklearn("diabetes"), None, ()),
    "breast cancer": (of_sklearn("breast_cancer"), None, ()),
    "anes96": (of_statsmodels("anes96"), "vote", ()),
    "Seattle's weather": (of_vega("seattle-weather.csv"), "weather", ("date",)),
    "gapminder": (of_plotly("gapminder"), "lifeExp", ("country", "iso_alpha", "iso_num")),
    "digits": (of_sklearn("digits"), None, ()),
}


def make(name: str) -> dict[str, Any]:
    """Train on a table.

    Returns
    -------
    dict
        `results` (activation, rate, seed, example): what each test example adds to the score, NaN
        if not tested; `validation` (activation, rate, seed): the score; `step`: between scores;
        `clusters` (example): what belongs together.
    """
    load, target, drop = TABLES[name]
    data = load()
    if target is not None:
        data = data.dropna(subset=[target])
        drop = tuple(column for column in drop if column in data)
    kind = "regression" if name == "linnerud" else None  # of few whole numbers
    task = load_task(data, target, kind, drop)
    settings = make_settings(name, DEFAULT_ACTIVATIONS, SEEDS, EPOCHS, RATES)
    experiment = Experiment(task, settings, Recipe())
    keys = [
        (spec, rate, seed)
        for spec in settings.activations
        for rate in RATES
        for seed in range(SEEDS)
    ]
    trials = [
        trial for batch in batches(keys, len(RATES) * SEEDS) for trial in train(experiment, batch)
    ]
    shape = (len(settings.activations), len(RATES), SEEDS)
    clusters = task.info.clusters
    return {
        "results": np.stack([unpacked(trial.results) for trial in trials]).reshape(*shape, -1),
        "validation": np.array([trial.validation_score for trial in trials]).reshape(shape),
        "step": task.score_step,
        "clusters": np.arange(len(task.y)) if clusters is None else clusters,
    }


def made(name: str) -> dict[str, Any]:
    """Read what was trained on a table; train if need be."""
    path = FOLDER / f"table-{name.replace(' ', '-')}.npz"
    if not path.exists():
        FOLDER.mkdir(exist_ok=True)
        start = time.perf_counter()
        np.savez_compressed(path, **make(name))
        print(f"{name}: {time.perf_counter() - start:.0f} s", file=sys.stderr, flush=True)
    return dict(np.load(path))


def main() -> None:
    """Make the files that are missing."""
    torch.set_num_threads(1)
    for name in sys.argv[1:] or TABLES:
        made(name)


if __name__ == "__main__":
    main()
