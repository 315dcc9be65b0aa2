"""The task to compare on: examples, a target, and how each seed splits them."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from leakyrelu._compare.data.repeats import grouped_split
from leakyrelu._compare.fingerprint import hash_in_use, hash_of
from leakyrelu._compare.metric import ACCURACY, R2, Metric, metric_named
from leakyrelu._errors import InputError

__all__ = [
    "BLOCKS",
    "Kind",
    "Split",
    "Task",
    "TaskInfo",
    "check_kind",
    "left_out_by",
    "name_of",
]

VALIDATION_SHARE = TEST_SHARE = 0.2
FOLDS = 5
BLOCKS = 50  # of examples at most, to be left out of a score one by one
ITEMS_HASHED = 16  # of a data set, which may be large
LONGEST_SLUG = 80  # characters; file systems allow 255, and more is appended

Kind = Literal["classification", "regression", "custom"]


def check_kind(kind: str | None) -> None:
    """Refuse a kind that a user can't ask for."""
    if kind not in (None, "classification", "regression"):
        raise InputError(f"kind must be 'classification' or 'regression', but is {kind!r}")


def name_of(function: Callable[..., Any]) -> str:
    """Return the name of a function, or of the function inside a partial."""
    inner = getattr(function, "func", function)
    return str(getattr(inner, "__name__", type(inner).__name__))


def left_out_by(loss: Any) -> int:
    """Return the class index that a loss ignores: PyTorch's -100 unless it sets another.

    Examples
    --------
    >>> import torch
    >>> left_out_by(torch.nn.CrossEntropyLoss(ignore_index=255))
    255
    """
    words = getattr(loss, "keywords", {})  # of a functools.partial
    named = words.get("ignore_index", getattr(loss, "ignore_index", None))
    return -100 if named is None else int(named)


@dataclass(frozen=True)
class TaskInfo:
    """What a report says about a task; stored with its trials, unlike the examples.

    Attributes
    ----------
    name : str
    metric : Metric
        What is scored; higher is better.
    score_step : float
        The smallest difference between two scores; 0 if there is none.
    examples : int
        0 if it is not known.
    description : str
        What the examples are, in a few words: ``"64 features, 10 classes"``.
    notes : list of str
        Decisions made about the data, in sentences.
    baseline : float or None
        The score of always predicting the majority class or the mean; None where it is unknown.
    groups : list of int or None
        The group of each example, if some belong together.
    blocks : int
        In how many blocks examples were left out of the score, 0 if one by one.
    """

    name: str
    metric: Metric
    score_step: float
    examples: int
    description: str
    notes: list[str]
    baseline: float | None = None
    groups: list[int] | None = None
    blocks: int = 0

    @property
    def clusters(self) -> npt.NDArray[np.int64] | None:
        """Numbers of what was sampled, and left out of a score, at once; None if examples were."""
        if self.groups is None and not self.blocks:
            return None
        own = np.arange(self.examples) if self.groups is None else np.array(self.groups, np.int64)
        return own % self.blocks if self.blocks else own

    def to_json(self) -> str:
        """Return the text that `from_json` reads."""
        return json.dumps({**vars(self), "metric": self.metric.name})

    @classmethod
    def from_json(cls, text: str) -> TaskInfo:
        """Read what `to_json` wrote."""
        fields = json.loads(text)
        return cls(**{**fields, "metric": metric_named(fields["metric"])})


@dataclass(frozen=True)
class Split:
    """One seed's division of the examples: row numbers of each part."""

    train: npt.NDArray[np.int64]
    validation: npt.NDArray[np.int64]
    test: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Task:
    """Examples and target, ready to train on, and how outputs are judged.

    Attributes
    ----------
    name : str
        Shown in the report.
    kind : {"classification", "regression", "custom"}
        Decides the score, and the loss unless one is given: accuracy and cross-entropy, R² and
        mean squared error, or minus the loss.
    X : ndarray, shape (examples, ...), or map-style data set
        A table (`is_table`) is float32 of shape (examples, features), NaN where a value is
        missing, and scaled only as far as float32 needs. A data set's items ``(x, y)`` are read on
        demand, and only x is used.
    y : ndarray, shape (examples, ...)
        int64 class indices, or values.
    center, scale : float
        A table's regression targets are ``center + scale * y`` in the user's unit.
    classes : list of str
        Names of the classes; empty for regression.
    notes : list of str
        Decisions made about the data, in sentences.
    is_table : bool
        Whether each trial scales the features by its own training part; else networks get them as
        given.
    loss, metric : callable, optional
        The user's own: mean loss, and score, given outputs and targets.
    groups : ndarray, optional
        The group number of each example, if some belong together: a split keeps each group in one
        part.
    source : callable, optional
        The function that the data came from.
    """

    name: str
    kind: Kind
    X: Any
    y: npt.NDArray[Any]
    classes: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    is_table: bool = True
    loss: Callable[[Any, Any], Any] | None = None
    metric: Callable[[Any, Any], Any] | None = None
    center: float = 0.0
    scale: float = 1.0
    groups: npt.NDArray[np.int64] | None = None
    source: Callable[[], Any] | None = None

    @property
    def score(self) -> Metric:
        """What is scored; higher is better."""
        if self.metric is not None:
            return metric_named(name_of(self.metric))
        built_in = {"classification": ACCURACY, "regression": R2}
        return built_in.get(self.kind, metric_named("minus the loss"))

    @property
    def score_step(self) -> float:
        """The smallest difference between two scores: one test example for accuracy."""
        if self.score != ACCURACY:
            return 0.0
        targets_of_each = (self.y != left_out_by(self.loss)).sum() / len(self.y)
        return float(1 / (self._part_size * targets_of_each))

    @property
    def info(self) -> TaskInfo:
        """What a report says about it."""
        goals = {"classification": f"{len(self.classes)} classes", "regression": "regression"}
        if self.is_table:
            inputs = f"{self.X.shape[1]} features"
        else:
            shape = np.shape(self.X[0] if isinstance(self.X, np.ndarray) else self.X[0][0])
            inputs = f"inputs of {' x '.join(map(str, shape)) or 'one number'}"
        loss = "" if self.loss is None else f"loss {name_of(self.loss)}"
        described = filter(None, (inputs, goals.get(self.kind), loss))
        return TaskInfo(
            self.name,
            self.score,
            self.score_step,
            len(self.y),
            ", ".join(described),
            self.notes,
            self.baseline,
            None if self.groups is None else self.groups.tolist(),
            BLOCKS if self.has_blocks else 0,
        )

    @property
    def has_blocks(self) -> bool:
        """Whether examples are left out of the score in blocks, as it is no mean over them."""
        is_mean = self.metric is None and self.kind == "classification"
        return not is_mean and self._part_size > BLOCKS

    @property
    def _part_size(self) -> int:
        """How many examples test, and how many validate."""
        return math.ceil(TEST_SHARE * len(self.y))

    @property
    def baseline(self) -> float | None:
        """The score of always predicting the majority class or the mean; None for other scores."""
        if self.metric is not None or self.kind == "custom":
            return None
        if self.kind == "regression":
            return 0.0
        counted = self.y[self.y >= 0]  # negative indices mark ignored positions
        return float(np.bincount(counted).max() / counted.size) if counted.size else None

    @property
    def slug(self) -> str:
        """The name, safe for use in a file name."""
        slug = re.sub(r"[^a-z0-9]+", "-", self.name.lower())
        return slug[:LONGEST_SLUG].strip("-") or "data"

    @property
    def fingerprint(self) -> str:
        """Hash of the data: the same data gives the same text.

        A data set is identified by its code and state, including all it refers to, such as
        transforms; by the function that made it; and by some of its items, unless these are random.
        """
        unit = "" if (self.center, self.scale) == (0, 1) else f"{self.center} {self.scale}"
        digest = hashlib.sha256(f"{self.kind}{unit}".encode())
        if self.classes != [str(number) for number in range(len(self.classes))]:
            digest.update(repr(self.classes).encode())
        for array in (self.X, self.y, self.groups):
            if not isinstance(array, np.ndarray):
                continue
            digest.update(str(array.shape).encode())
            digest.update(np.ascontiguousarray(array).tobytes())
        if not isinstance(self.X, np.ndarray):
            rows = np.linspace(0, len(self.y) - 1, ITEMS_HASHED, dtype=int).tolist()
            items: list[tuple[str, ...]] = []

            def read() -> None:
                items.extend(tuple(hash_of(self.X[row]) for _ in range(2)) for row in rows)

            digest.update(hash_in_use((self.source, self.X), read).encode())
            for first, again in items:
                digest.update(first.encode() if first == again else b"drawn anew each time")
        return digest.hexdigest()[:16]

    def split(self, seed: int) -> Split:
        """Split the examples 60/20/20 into train, validation and test, stratified.

        Every five seeds test each example once. The examples lie on a circle, drawn anew for these
        five, on which classes are mixed evenly; the test part is a fifth of it, the next fifth
        validates. All seeds have parts of the same size, so where five do not divide the examples,
        a few are tested twice.
        """
        size = self._part_size
        if self.groups is not None:
            by_class = self.y if self.can_stratify else None
            return Split(*grouped_split(self.groups, by_class, size, seed))
        repeat, fold = divmod(seed, FOLDS)
        rng = np.random.default_rng(repeat)
        place = rng.random(len(self.y))
        if self.kind == "classification" and self.y.ndim == 1:
            for number in np.unique(self.y):
                own = np.flatnonzero(self.y == number)
                place[own] = (rng.permutation(len(own)) + rng.random()) / len(own)
        order = np.roll(place.argsort(), -round(fold * len(self.y) / FOLDS))
        test, validation, train = np.split(order, [size, 2 * size])
        return Split(train, validation, test)

    @property
    def can_stratify(self) -> bool:
        """Whether each class has enough examples, and each part enough room, to stratify."""
        if self.kind != "classification" or self.y.ndim != 1:
            return False
        counts = np.unique(self.y, return_counts=True)[1]
        return bool(counts.min() >= 5 and TEST_SHARE * len(self.y) >= len(counts))
