"""scikit-learn's metrics by name, as scores of network outputs."""

from __future__ import annotations

import difflib
import inspect
import math
import warnings
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy import special
from sklearn.metrics import get_scorer, get_scorer_names
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - its usual name

from leakyrelu._compare.data.task import Task, left_out_by, name_of
from leakyrelu._errors import InputError

__all__ = ["NamedMetric", "check_metric", "named_metric", "refuse_errors"]

# Common aliases. Errors are also found without "neg_", and any name with "_score" at its end.
_SHORT = {
    "mae": "neg_mean_absolute_error",
    "mse": "neg_mean_squared_error",
    "rmse": "neg_root_mean_squared_error",
    "mape": "neg_mean_absolute_percentage_error",
    "msle": "neg_mean_squared_log_error",
    "rmsle": "neg_root_mean_squared_log_error",
    "auc": "roc_auc",
    "mcc": "matthews_corrcoef",
}
_SCALES = {
    "neg_mean_squared_error": "minus the error, in the target's unit squared; 0 is best",
    "neg_mean_absolute_percentage_error": "minus the error, as a fraction of the target",
    "matthews_corrcoef": "from -1 to 1",
    "positive_likelihood_ratio": "a ratio, 0 or more",
    **{
        f"neg_{error}_error": "minus the error, in the target's unit; 0 is best"
        for error in ("mean_absolute", "root_mean_squared", "median_absolute", "max")
    },
    **dict.fromkeys(("r2", "explained_variance"), "1 is best, 0 is predicting the mean, no unit"),
}


class NamedMetric:
    """A metric of scikit-learn, computed from a network's outputs and the targets.

    Errors are negated, so that higher is better. For classes, outputs are logits: one per class on
    the second axis, or one per target of 0 or 1. For regression they are the predictions. The
    training loss tells which class index to ignore, and whether outputs are probabilities.
    """

    def __init__(self, name: str, loss: Any = None) -> None:
        self.__name__ = name
        self.__module__ = "sklearn.metrics"
        self.left_out = left_out_by(loss)
        own = getattr(loss, "func", loss)
        self.takes_probabilities = own is F.binary_cross_entropy or isinstance(own, nn.BCELoss)

    @property
    def _scorer(self) -> Any:
        return get_scorer(self.__name__)

    @property
    def is_of_classes(self) -> bool:
        """Whether it scores classification, not regression."""
        return not self._scorer._score_func.__module__.endswith("_regression")

    @property
    def scale(self) -> str:
        """What its values mean, in words."""
        if self.__name__ in _SCALES:
            return _SCALES[self.__name__]
        if self.__name__.startswith("neg_"):
            return "minus the error, no unit; 0 is best"
        return "1 is best" if self.__name__.startswith("d2_") else "from 0 to 1"

    def __call__(self, outputs: Tensor, targets: Tensor) -> float:
        """Return the score; NaN where it is undefined."""
        try:
            return self.computed(outputs, targets)
        except _RefusedError:
            return math.nan

    def computed(self, outputs: Tensor, targets: Tensor) -> float:
        """Return the score; raise if scikit-learn refuses to compute it."""
        scorer = self._scorer
        words: dict[str, Any] = {"force_finite": False}  # NaN if all targets are equal
        y: npt.NDArray[Any]
        if self.is_of_classes:
            y, logits = self._flat(outputs, targets)
            response = _response(logits, y.ndim == logits.ndim, scorer._response_method)
            if y.ndim == 1 and scorer._response_method != "predict":  # some classes may be missing
                words["labels"] = range(2 if logits.ndim == 1 else logits.shape[1])
        elif outputs.shape == targets.shape:
            y, response = (x.double().reshape(len(x), -1).numpy() for x in (targets, outputs))
        else:
            raise InputError("it needs outputs of the same shape as the targets")
        known = inspect.signature(scorer._score_func).parameters
        words = {name: value for name, value in words.items() if name in known}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about missing classes
            try:
                score = scorer._score_func(y, response, **scorer._kwargs, **words)
            except ValueError as error:
                raise _RefusedError(" ".join(str(error).split()).rstrip(".")) from error
        return float(scorer._sign * score)

    def _flat(
        self, outputs: Tensor, targets: Tensor
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        """Return targets, and logits: one per target of 0 or 1, or one per class."""
        if outputs.shape == targets.shape:
            if targets.ndim != 2:  # one class per position; two axes are examples and labels
                counts = targets != self.left_out
                outputs, targets = outputs[counts], targets[counts]
            if not ((targets == 0) | (targets == 1)).all():
                raise InputError("with one output per target, targets must be 0 or 1")
            single = outputs.double()
            if self.takes_probabilities:
                single = single.logit(eps=1e-12)
            return targets.long().numpy(), single.numpy()
        if outputs.ndim < 2 or (len(outputs), *outputs.shape[2:]) != targets.shape:
            raise InputError("it needs outputs with the classes on the second axis")
        y = targets.flatten()
        logits = outputs.double().movedim(1, -1).reshape(len(y), -1)
        counts = y != self.left_out
        return y[counts].numpy(), logits[counts].numpy()


class _RefusedError(InputError):
    """scikit-learn refuses to compute it."""


def _response(
    logits: npt.NDArray[np.float64], is_single: bool, method: str | tuple[str, ...]
) -> npt.NDArray[Any]:
    """Return what an estimator with these logits would predict."""
    if method == "predict":
        return np.where(logits > 0, 1, 0) if is_single else logits.argmax(1)
    if not is_single and logits.shape[1] == 2:
        logits, is_single = logits[:, 1] - logits[:, 0], True
    if method == "predict_proba":
        return np.asarray(special.expit(logits) if is_single else special.softmax(logits, 1))
    return logits


def named_metric(name: str, loss: Any = None) -> NamedMetric:
    """Return the metric with this name, for networks trained with this loss.

    Examples
    --------
    >>> named_metric("mae").__name__, named_metric("log_loss").__name__
    ('neg_mean_absolute_error', 'neg_log_loss')
    >>> named_metric("f1_marco")
    Traceback (most recent call last):
    ...
    leakyrelu.InputError: there is no metric 'f1_marco'; did you mean 'f1_macro'? ...
    """
    modules = {each: get_scorer(each)._score_func.__module__ for each in get_scorer_names()}
    known = [each for each, module in modules.items() if ".cluster." not in module]
    plain = name.strip().lower().replace("-", "_").replace(" ", "_")
    short = plain.removesuffix("_score")
    for each in (plain, _SHORT.get(plain, ""), short, f"neg_{plain}", f"neg_{short}"):
        if each in known:
            return NamedMetric(each, loss)
    everything = [*known, *_SHORT, *(each.removeprefix("neg_") for each in known)]
    nearest = difflib.get_close_matches(plain, everything, n=1)
    hint = f"; did you mean {nearest[0]!r}?" if nearest else "."
    raise InputError(
        f"there is no metric {name!r}{hint} Give a classification or regression metric of "
        "sklearn.metrics.get_scorer_names(), such as f1_macro, balanced_accuracy, roc_auc, "
        "log_loss, mae or rmse, or a function of outputs and targets (on the command line, "
        "module:function)"
    )


def refuse_errors(metric: Any) -> None:
    """Refuse library functions that don't fit as a score.

    scikit-learn's take targets first, and a loss is lower-is-better.
    """
    own = getattr(metric, "func", metric)
    name, module = name_of(metric), str(getattr(own, "__module__", ""))
    if module.startswith("sklearn.") and not isinstance(own, NamedMetric):
        known = [each for each in get_scorer_names() if get_scorer(each)._score_func is own]
        by_name = f"give it by name, {known[0]!r}" if known else "give one by name, such as 'mae'"
        raise InputError(
            f"metric {name} of scikit-learn takes targets first and may be an error; {by_name}, "
            "or give a function of outputs and targets where higher is better"
        )
    is_loss = module == "torch.nn.functional" and ("loss" in name or "entropy" in name)
    is_loss |= type(own).__module__ == "torch.nn.modules.loss"
    if is_loss or getattr(own, "higher_is_better", None) is False:  # torchmetrics has this
        raise InputError(
            f"metric {name} is lower-is-better, but a score must be higher-is-better; give a "
            "function that returns its negative, or a name such as 'mae', 'rmse' or 'log_loss'"
        )


def check_metric(task: Task) -> None:
    """Note what a task's metric means, if it was given by name; refuse one that does not fit."""
    metric = task.metric
    if not isinstance(metric, NamedMetric):
        return
    name, y = metric.__name__, task.y[np.linspace(0, len(task.y) - 1, MOST_TRIED, dtype=int)]
    is_whole = y.dtype.kind in "iu"
    if metric.is_of_classes and not (is_whole or np.isin(task.y, (0, 1)).all()):
        raise InputError(
            f"metric {name} is for classification, but the targets are for regression; use one "
            "such as r2, mae or rmse"
        )
    if not metric.is_of_classes and is_whole:
        raise InputError(
            f"metric {name} is for regression, but the targets are classes; use one such as "
            "f1_macro, balanced_accuracy or log_loss, or kind='regression'"
        )
    targets = torch.from_numpy(y if metric.is_of_classes else task.center + task.scale * y)
    try:
        metric.computed(_perfect(metric, targets), targets)
    except _RefusedError as error:
        others = {f"{name}_macro", f"{name}_ovr"} & set(get_scorer_names())
        hint = "".join(f"; use {other}" for other in sorted(others))
        raise InputError(f"metric {name} does not fit these targets: {error}{hint}") from error
    parameters = inspect.signature(metric._scorer._score_func).parameters
    is_of_one = len(task.classes) == 2 and "_" not in name.removeprefix("neg_")
    of = f" of class {task.classes[1]!r}" if is_of_one and "pos_label" in parameters else ""
    task.notes.append(f"The score is scikit-learn's {name}{of} ({metric.scale}); higher is better.")


MOST_TRIED = 2000  # examples on which a metric is tried


def _perfect(metric: NamedMetric, targets: Tensor) -> Tensor:
    """Return the outputs of a network that is always right."""
    if not metric.is_of_classes:
        return targets
    if targets.is_floating_point():
        return targets if metric.takes_probabilities else 20 * targets - 10
    classes = torch.where(targets == metric.left_out, 0, targets)
    return 10.0 * F.one_hot(classes).movedim(-1, 1)
