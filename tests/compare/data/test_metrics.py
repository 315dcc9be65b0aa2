"""scikit-learn's metrics by name, against scikit-learn's own scorers of an estimator."""

import functools
import math
import warnings

import numpy as np
import pytest
import sklearn.metrics
import torch
from scipy.special import expit, softmax
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.metrics import get_scorer, get_scorer_names, roc_auc_score
from torch.nn import functional as F  # noqa: N812

import leakyrelu
from leakyrelu._compare.data.metrics import NamedMetric, named_metric
from leakyrelu._compare.data.tensor_task import make_task

RNG = np.random.default_rng(0)


class Classifier(ClassifierMixin, BaseEstimator):
    def __init__(self, logits):
        self.logits = logits
        self.classes_ = np.arange(logits.shape[1])

    def predict(self, X):
        return self.logits.argmax(1)

    def predict_proba(self, X):
        return softmax(self.logits, 1)

    def decision_function(self, X):
        is_binary = self.logits.shape[1] == 2
        return self.logits[:, 1] - self.logits[:, 0] if is_binary else self.logits


class Regressor(RegressorMixin, BaseEstimator):
    def __init__(self, values):
        self.values = values
        self.is_fitted_ = True

    def predict(self, X):
        return self.values


def named(is_of_classes):
    found = []
    for name in get_scorer_names():
        try:
            metric = named_metric(name)
        except ValueError:  # of clusters
            continue
        if metric.is_of_classes == is_of_classes:
            found.append(name)
    return found


def expected(name, estimator, y):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return get_scorer(name)(estimator, np.zeros((len(y), 1)), y)


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("name", named(is_of_classes=True))
def test_metrics_of_classes_are_those_of_an_estimator(name, classes):
    y, logits = RNG.integers(0, classes, 60), RNG.normal(size=(60, classes))
    metric = named_metric(name)
    try:
        value = expected(name, Classifier(logits), y)
    except ValueError:
        assert math.isnan(metric(torch.from_numpy(logits), torch.from_numpy(y)))
        with pytest.raises(ValueError, match=f"^metric {name} does not fit these targets: "):
            make_task((np.zeros((60, 2)), y), None, None, None, name, is_table=True)
    else:
        found = metric(torch.from_numpy(logits).float(), torch.from_numpy(y))
        assert found == pytest.approx(value, rel=1e-5)
        make_task((np.zeros((60, 2)), y), None, None, None, name, is_table=True)


@pytest.mark.parametrize("name", named(is_of_classes=False))
@pytest.mark.parametrize("shape", [(), (1,), (3,)])
def test_metrics_of_numbers_are_those_of_an_estimator(name, shape):
    y, values = RNG.gamma(2, size=(60, *shape)), RNG.gamma(2, size=(60, *shape))
    if name.endswith(("poisson_deviance", "gamma_deviance", "max_error")) and shape == (3,):
        pytest.skip("scikit-learn has it of one number only")
    found = named_metric(name)(torch.from_numpy(values), torch.from_numpy(y))
    assert found == pytest.approx(expected(name, Regressor(values), y), rel=1e-5)


@pytest.mark.parametrize("name", ["f1", "roc_auc", "neg_log_loss", "accuracy", "average_precision"])
def test_one_logit_is_as_two_classes(name):
    y, logits = torch.from_numpy(RNG.integers(0, 2, 60)), torch.from_numpy(RNG.normal(size=60))
    two = torch.stack([torch.zeros(60), logits], 1)
    assert named_metric(name)(logits, y.float()) == pytest.approx(named_metric(name)(two, y))


@pytest.mark.parametrize("name", ["f1", "roc_auc", "neg_log_loss", "accuracy", "neg_brier_score"])
@pytest.mark.parametrize("loss", [torch.nn.BCELoss(), F.binary_cross_entropy])
def test_outputs_of_binary_cross_entropy_are_probabilities(name, loss):
    y, logits = (
        torch.from_numpy(RNG.integers(0, 2, 60)).float(),
        torch.from_numpy(RNG.normal(size=60)),
    )
    logits[0] = 100.0  # of which the probability is 1
    found = named_metric(name, loss)(logits.sigmoid(), y)
    assert found == pytest.approx(named_metric(name)(logits.clamp(max=math.log(1e12)), y), rel=1e-4)


@pytest.mark.parametrize("positions", [(), (4, 5)])
def test_one_logit_a_position(positions):
    y, logits = torch.randint(0, 2, (20, *positions)), torch.randn(20, *positions)
    expected = named_metric("balanced_accuracy")(logits.flatten(), y.flatten())
    assert named_metric("balanced_accuracy")(logits, y.float()) == expected
    y[:4] = 255
    expected = named_metric("balanced_accuracy")(logits[4:].flatten(), y[4:].flatten())
    loss = torch.nn.CrossEntropyLoss(ignore_index=255)
    assert named_metric("balanced_accuracy", loss)(logits, y) == expected


def test_labels_of_which_an_example_has_several():
    y, logits = RNG.integers(0, 2, (60, 4)), RNG.normal(size=(60, 4))
    found = named_metric("roc_auc")(torch.from_numpy(logits), torch.from_numpy(y).float())
    assert found == pytest.approx(roc_auc_score(y, expit(logits)))


def test_positions_of_no_class_do_not_count():
    logits, y = torch.randn(20, 3, 5), torch.randint(0, 3, (20, 5))
    y[:, 2:] = 255
    metric = named_metric("f1_macro", torch.nn.CrossEntropyLoss(ignore_index=255))
    flat = logits[:, :, :2].movedim(1, 2).reshape(-1, 3)
    value = expected("f1_macro", Classifier(flat.numpy()), y[:, :2].flatten().numpy())
    assert metric(logits, y) == pytest.approx(value)


@pytest.mark.parametrize(
    ("given", "name"),
    [
        *(("mae", "neg_mean_absolute_error"), ("RMSE", "neg_root_mean_squared_error")),
        *(("mean_absolute_error", "neg_mean_absolute_error"), ("log-loss", "neg_log_loss")),
        *(
            ("auc", "roc_auc"),
            ("f1_score", "f1"),
            ("accuracy_score", "accuracy"),
            ("r2_score", "r2"),
        ),
        *(
            ("mcc", "matthews_corrcoef"),
            ("brier_score", "neg_brier_score"),
            ("f1_macro", "f1_macro"),
        ),
    ],
)
def test_names_that_people_use(given, name):
    assert named_metric(given).__name__ == name


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("f1_marco", r"^there is no metric 'f1_marco'; did you mean 'f1_macro'\?"),
        ("balanced_acuracy", "did you mean 'balanced_accuracy'"),
        ("neg_log_los", "did you mean 'neg_log_loss'"),
        ("qwertyuiop", r"^there is no metric 'qwertyuiop'\. Give a"),
        ("adjusted_rand_score", "there is no metric 'adjusted_rand_score'"),
    ],
)
def test_unknown_names_are_told(given, message):
    with pytest.raises(ValueError, match=message):
        named_metric(given)


@pytest.mark.parametrize(
    ("y", "name", "message"),
    [
        (RNG.integers(0, 2, 60), "mae", "for regression, but the targets are classes"),
        (RNG.normal(size=60), "f1_macro", "for classification, but the targets are for regression"),
        (RNG.normal(size=60) - 9, "msle", "does not fit these targets: .*(negative|less than)"),
        (RNG.integers(0, 3, 60), "f1", "does not fit these targets: .*; use f1_macro$"),
        (RNG.integers(0, 3, 60), "roc_auc", "does not fit these targets: .*; use roc_auc_ovr$"),
    ],
)
@pytest.mark.parametrize("is_table", [True, False])
def test_metrics_of_another_kind_are_refused(y, name, message, is_table):
    data = RNG.normal(size=(60, 2)), y
    with pytest.raises(ValueError, match=message):
        make_task(data, None, None, None, name, is_table)
    if name == "msle":  # in the unit of the user, though tables are scaled
        make_task((data[0], -y), None, None, None, name, is_table)
    if len(set(y)) == 60:
        with pytest.raises(ValueError, match=message):  # and with a loss, so that kind is custom
            make_task(data, None, None, F.mse_loss, name, is_table)


def test_a_name_is_explained_and_survives_a_pickle():
    import pickle

    task = make_task((np.zeros((60, 2)), RNG.normal(size=60)), None, None, None, "mae", True)
    assert task.score.name == "neg_mean_absolute_error"
    assert any("in the target's unit; 0 is best); higher is better" in n for n in task.notes)
    copied = pickle.loads(pickle.dumps(task.metric))
    assert isinstance(copied, NamedMetric)
    assert copied.__name__ == "neg_mean_absolute_error"
    two = make_task((np.zeros((60, 2)), ["no", "yes"] * 30), None, None, None, "f1", True)
    assert any("f1 of class 'yes'" in note for note in two.notes)


def test_what_is_not_defined_is_nan():
    logits = torch.randn(20, 2)
    assert math.isnan(named_metric("roc_auc")(logits, torch.zeros(20, dtype=torch.int64)))
    values = torch.randn(20)
    for name in ("r2", "explained_variance"):
        assert not math.isfinite(named_metric(name)(values, torch.ones(20)))
    assert math.isnan(named_metric("rmsle")(values - 10, values.abs()))
    # But classes that are missing do not matter where all are known.
    assert math.isfinite(named_metric("log_loss")(logits, torch.zeros(20, dtype=torch.int64)))


@pytest.mark.parametrize(
    ("outputs", "targets"), [((20, 3), (20, 4)), ((20,), (20,)), ((20, 1), (20, 2))]
)
def test_outputs_that_are_no_logits_of_these_targets_are_told(outputs, targets):
    with pytest.raises(ValueError, match="output"):
        named_metric("f1_macro")(torch.randn(outputs), torch.full(targets, 2))


def test_a_comparison_by_name(tmp_path):
    rng = np.random.default_rng(3)
    y = rng.integers(0, 2, 200)
    X = np.stack([3 * y + rng.normal(size=200), rng.normal(size=200)], 1)
    small = {"activations": ["relu", "elu"], "seeds": 2, "depth": 2, "width": 8, "batch_size": 16}
    result = leakyrelu.compare(
        None, (X, y), metric="roc_auc", lr=0.01, progress=False, output=tmp_path, **small
    )
    assert result.environment["metric"] == "sklearn.metrics.roc_auc"
    assert result.table()["roc_auc"].between(0.9, 1).all()


class Error:
    """A metric as those of torchmetrics are."""

    higher_is_better = False

    def __call__(self, outputs, targets):
        return (outputs - targets).abs().mean()


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        (sklearn.metrics.mean_absolute_error, "takes targets first.* 'neg_mean_absolute_error'"),
        (sklearn.metrics.r2_score, "takes targets first.* by name, 'r2'"),
        (
            functools.partial(sklearn.metrics.f1_score, average="macro"),
            "takes targets first.* 'f1'",
        ),
        (sklearn.metrics.hamming_loss, "takes targets first.* such as 'mae'"),
        *((own, "is lower-is-better") for own in (F.mse_loss, F.cross_entropy, Error())),
        *((own, "is lower-is-better") for own in (torch.nn.L1Loss(), torch.nn.NLLLoss())),
    ],
)
def test_errors_of_libraries_are_no_scores(metric, message):
    data = np.zeros((60, 2)), RNG.normal(size=60)
    with pytest.raises(ValueError, match=message):
        make_task(data, None, None, None, metric, is_table=True)


@pytest.mark.parametrize(
    "metric", [None, F.cosine_similarity, lambda o, t: -F.mse_loss(o, t), "mae", "r2"]
)
def test_scores_are_taken(metric):
    data = np.zeros((60, 2)), RNG.normal(size=60)
    assert make_task(data, None, None, None, metric, is_table=True).score
