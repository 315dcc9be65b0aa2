"""The task to compare on: examples, a target, and how each seed splits them."""

from __future__ import annotations

import hashlib
import math
import re
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

__all__ = ["Kind", "Split", "Task", "TaskInfo"]

VALIDATION_SHARE = TEST_SHARE = 0.2

Kind = Literal["classification", "regression"]


@dataclass(frozen=True)
class TaskInfo:
    """What a report says of a task; kept with its trials, as the examples are not.

    Attributes
    ----------
    name : str
    metric : str
        Name of the score; higher is better. ``"accuracy"`` is a share, shown in per cent.
    score_step : float
        The smallest difference between two scores; 0 if there is none.
    examples : int
    description : str
        What the examples are, in a few words: ``"64 features, 10 classes"``.
    notes : list of str
        What was decided about the data, in plain sentences.
    """

    name: str
    metric: str
    score_step: float
    examples: int
    description: str
    notes: list[str]


@dataclass(frozen=True)
class Split:
    """One seed's division of the examples: row numbers of each part."""

    train: npt.NDArray[np.int64]
    validation: npt.NDArray[np.int64]
    test: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Task:
    """Examples and target, ready to train on.

    Attributes
    ----------
    name : str
        Shown in the report.
    kind : {"classification", "regression"}
    X : ndarray of float32, shape (examples, features)
        NaN where a value is missing; scaled only as far as float32 needs it. Each trial
        scales it by its own training part.
    y : ndarray, shape (examples,)
        int64 class numbers, or float32 values.
    classes : list of str
        Names of the classes; empty for regression.
    notes : list of str
        What was decided about the data, in plain sentences.
    """

    name: str
    kind: Kind
    X: npt.NDArray[np.float32]
    y: npt.NDArray[Any]
    classes: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def metric(self) -> str:
        """Name of the score; higher is better for both."""
        return "accuracy" if self.kind == "classification" else "R²"

    @property
    def score_step(self) -> float:
        """The smallest difference between two scores: one test example for accuracy."""
        if self.kind == "regression":
            return 0.0
        return 1 / math.ceil(TEST_SHARE * len(self.y))

    @property
    def info(self) -> TaskInfo:
        """What a report says of it."""
        goal = f"{len(self.classes)} classes" if self.classes else "regression"
        description = f"{self.features} features, {goal}"
        return TaskInfo(
            self.name, self.metric, self.score_step, len(self.y), description, self.notes
        )

    @property
    def features(self) -> int:
        """Number of inputs of a network."""
        return int(self.X.shape[1])

    @property
    def outputs(self) -> int:
        """Number of outputs of a network: one a class, or one value."""
        return len(self.classes) or 1

    @property
    def slug(self) -> str:
        """The name as part of a file name."""
        return re.sub(r"[^a-z0-9]+", "-", self.name.lower()).strip("-") or "data"

    @property
    def fingerprint(self) -> str:
        """Hash of the data: the same data gives the same text."""
        digest = hashlib.sha256(self.kind.encode())
        for array in (self.X, self.y):
            digest.update(str(array.shape).encode())
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()[:16]

    def split(self, seed: int) -> Split:
        """Divide the examples 60/20/20 into train, validation and test, by class if they allow."""
        from sklearn.model_selection import train_test_split

        by_class = self.y if self.kind == "classification" else None
        if by_class is not None and not self.can_stratify:
            by_class = None
        rows = np.arange(len(self.y))
        rest, test = train_test_split(
            rows, test_size=TEST_SHARE, random_state=seed, stratify=by_class
        )
        train, validation = train_test_split(
            rest,
            test_size=VALIDATION_SHARE / (1 - TEST_SHARE),
            random_state=seed,
            stratify=None if by_class is None else by_class[rest],
        )
        return Split(train, validation, test)

    @property
    def can_stratify(self) -> bool:
        """Whether each class has an example for each part, and each part room for each class."""
        counts = np.bincount(self.y)
        return bool(counts.min() >= 5 and TEST_SHARE * len(self.y) >= len(counts))
