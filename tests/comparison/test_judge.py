"""Runs of others get the verdict that their scores allow, however they are written down."""

import dataclasses
import io
import math
import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from scipy import stats

import leakyrelu
from leakyrelu._compare.trial import unpacked
from leakyrelu._report.terminal import print_comparison, print_pairs

NAMES = ("relu", "elu", "my act", "Snake")
ABOVE = {"elu": 0.03, "my act": 0.004}


def scores_of(names=NAMES, seeds=10, noise=0.01, number=1):
    rng = np.random.default_rng(number)
    shared = rng.normal(0, 0.02, seeds)
    return {
        name: np.round(0.8 + ABOVE.get(name, 0) + shared + rng.normal(0, noise, seeds), 6)
        for name in names
    }


def long(scores):
    return pd.DataFrame(
        [(name, n, score) for name, own in scores.items() for n, score in enumerate(own)],
        columns=["activation", "seed", "test_accuracy"],
    )


def shown(found):
    """Return what is found, without the notes on how columns were read."""
    table = found.table().set_index("activation")
    return found.verdict, table


def same(one, other):
    assert one.verdict == other.verdict
    pd.testing.assert_frame_equal(*(shown(each)[1].sort_index() for each in (one, other)))


def printed(found, width=80):
    stream = io.StringIO()
    print_comparison(found, Console(file=stream, width=width))
    print_pairs(found, Console(file=stream, width=width))
    return stream.getvalue()


# --- The numbers ---------------------------------------------------------------------------------


def holm(p_values):
    """Return the level of each: of the clearest the smallest, until one is not decided."""
    order = np.argsort(p_values)
    levels, is_open = {}, len(p_values)
    for place in order:
        levels[place] = 0.05 / is_open
        if p_values[place] < levels[place]:
            is_open -= 1
    return [levels[n] for n in range(len(p_values))]


@pytest.mark.parametrize("seeds", [2, 3, 10, 30])
def test_scores_of_seeds_get_the_paired_t_of_scipy(seeds):
    scores = scores_of(seeds=seeds, number=seeds)
    found = leakyrelu.judge(long(scores))
    others = [name for name in scores if name != "relu"]
    differences = [scores[name] - scores["relu"] for name in others]
    least = np.mean([d.var(ddof=1) for d in differences]) / 2
    p = [2 * stats.t.sf(abs(d.mean()) / error(d, least), seeds - 1) for d in differences]
    for name, d, level in zip(others, differences, holm(p), strict=True):
        claim = next(c for c in found.candidates if c.activation == name).difference
        reach = stats.t.isf(level / 2, seeds - 1) * error(d, least)
        assert claim.mean == pytest.approx(d.mean())
        assert claim.interval == pytest.approx((d.mean() - reach, d.mean() + reach))
        assert claim.trainings == seeds
    assert found.scope == "these test examples"
    assert "for the source" not in found.verdict.lower()
    assert not [column for column in found.table() if "source" in column]


def error(differences, least):
    return math.sqrt(max(differences.var(ddof=1), least) / len(differences))


def test_where_none_varies_less_it_is_scipys_interval_as_it_is():
    scores = scores_of(("relu", "elu"), seeds=8)
    (claim,) = (c.difference for c in leakyrelu.judge(long(scores)).candidates if c.difference)
    expected = stats.ttest_rel(scores["elu"], scores["relu"]).confidence_interval(0.95)
    assert claim.interval == pytest.approx((expected.low, expected.high))


@pytest.mark.parametrize("share", [0.1, 0.2, 0.5])
def test_scores_of_splits_get_the_corrected_interval(share):
    scores = scores_of(("relu", "elu"), seeds=10)
    found = leakyrelu.judge(long(scores), splits=share)
    (claim,) = (c.difference for c in found.candidates if c.difference)
    d = scores["elu"] - scores["relu"]
    spread = math.sqrt(d.var(ddof=1) * (1 / 10 + share / (1 - share)))
    reach = stats.t.isf(0.025, 9) * spread
    assert claim.interval == pytest.approx((d.mean() - reach, d.mean() + reach))
    assert found.scope == "these data"
    assert found.has_source


def test_folds_tell_their_share():
    rows = long(scores_of(("relu", "elu")))
    rows["fold"] = rows["seed"] % 5
    rows["seed"] //= 5
    found = leakyrelu.judge(rows)
    assert found.runs.test_to_train == pytest.approx(0.25)
    assert len(found.candidates[0].trials) == 10


def of_examples(seeds=6, examples=80, fixed=False, number=0, effect=0.2):
    """Return rows of examples, a fifth of them tested with each seed, or all with all."""
    rng = np.random.default_rng(number)
    hard = rng.uniform(0.2, 0.9, examples)
    rows = []
    for seed in range(seeds):
        for name in ("relu", "elu", "my act"):
            right = rng.random(examples) < hard + effect * (name == "elu")
            tested = range(examples) if fixed else range(seed % 5, examples, 5)
            rows += [(name, seed, f"image {n}", int(right[n])) for n in tested]
    return pd.DataFrame(rows, columns=["activation", "seed", "example", "correct"])


def test_a_fixed_test_set_says_nothing_for_the_source():
    found = leakyrelu.judge(of_examples(fixed=True))
    assert found.scope == "these data"
    assert not found.has_source
    assert "new examples" in printed(found)
    by_hand = of_examples(fixed=True).pivot(
        index="seed", columns=["activation", "example"], values="correct"
    )
    d = (by_hand["elu"] - by_hand["relu"]).to_numpy(float)
    seeds, examples = d.shape
    cells = ((d - d.mean()) ** 2).sum() / d.size**2
    by_example = d.mean(0).var(ddof=1) / examples
    by_seed = d.mean(1).var(ddof=1) / seeds
    claim = next(c for c in found.candidates if c.activation == "elu").difference
    # The floors of rounding and of what others vary are below it here.
    assert (
        claim.difference.error**2 >= max(by_example, by_seed, by_example + by_seed - cells) - 1e-9
    )


def test_examples_are_compared_in_pairs():
    rows = of_examples(fixed=True)
    is_odd = (rows["activation"] == "elu") & rows["example"].isin(["image 3", "image 7"])
    found = leakyrelu.judge(rows[~is_odd])
    without = rows[~rows["example"].isin(["image 3", "image 7"])]
    same(found, leakyrelu.judge(without))
    assert any("Left out: 24 results" in note for note in found.notes)
    assert not found.has_source
    apart = rows.assign(example=rows["activation"] + rows["example"])
    with pytest.raises(leakyrelu.InputError, match="no test example was tested with all"):
        leakyrelu.judge(apart)


def test_examples_of_splits_speak_for_the_source_too():
    found = leakyrelu.judge(of_examples())
    assert found.has_source
    assert all(c.source for c in found.candidates if c.difference)


# --- As compare says ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    return leakyrelu.compare(
        activations=["relu", "leaky_relu:0.2", "elu", "gelu"],
        seeds=5,
        depth=12,
        width=8,
        epochs=3,
        lr=[0.003, 0.01],
        output=tmp_path_factory.mktemp("done"),
        progress=False,
    )


def exported(found):
    """Return what each test example of each trial got, a row each."""
    rows = []
    for trial in found.histories():
        results = unpacked(trial.results)
        rows += [
            {
                "activation": str(trial.activation),
                "lr": trial.learning_rate,
                "seed": trial.seed,
                "val_accuracy": trial.validation_score,
                "example": int(n),
                "test_accuracy": float(results[n]),
            }
            for n in np.flatnonzero(~np.isnan(results))
        ]
    return pd.DataFrame(rows)


def test_rows_of_examples_get_the_verdict_of_compare(done, monkeypatch):
    """Compare leaves 20% of the 5% to seeds that may be added: with that the two agree."""
    rows = exported(done)
    judged = leakyrelu.judge(rows.sample(frac=1, random_state=0))
    for mine, theirs in zip(judged.candidates, done.candidates, strict=True):
        assert mine.activation == theirs.activation
        assert mine.learning_rate == theirs.learning_rate
        for of_mine, of_theirs in (
            (mine.difference, theirs.difference),
            (mine.source, theirs.source),
        ):
            if of_mine:
                one, other = (dataclasses.astuple(d.difference) for d in (of_mine, of_theirs))
                assert one == pytest.approx(other, rel=1e-6)  # scores are kept in 32 bits there
    from leakyrelu._compare.statistics import judged as module

    init = module.Judged.__init__

    def with_looks(self, runs):
        init(self, runs)
        self.shares = dict.fromkeys(self.looks, 0.8)

    monkeypatch.setattr(module.Judged, "__init__", with_looks)
    again = leakyrelu.judge(rows)
    assert again.verdict in done.verdict  # which also tells of dead units
    columns = [name for name in again.table() if name not in ("seconds", "probability best")]
    pd.testing.assert_frame_equal(again.table()[columns], done.table()[columns], check_exact=False)
    best = (each.table()["probability best"] for each in (again, done))  # by draws
    np.testing.assert_allclose(*best, atol=0.01)


def test_trials_of_compare_are_judged_by_their_scores(done, tmp_path):
    judged = leakyrelu.judge(done.trials())
    assert judged.scope == "these test examples"
    for candidate in judged.candidates:
        own = next(c for c in done.candidates if c.activation == candidate.activation)
        assert candidate.learning_rate == own.learning_rate
        assert candidate.score.mean == pytest.approx(own.score.mean)
    done.export(tmp_path / "trials.csv")
    same(leakyrelu.judge(tmp_path / "trials.csv"), judged)


def test_tensorboard_of_compare_is_judged_as_its_trials_are(done, tmp_path):
    pytest.importorskip("tensorboard")
    done.to_tensorboard(tmp_path / "runs")
    found = leakyrelu.judge(tmp_path / "runs")
    trials = leakyrelu.judge(done.trials())
    assert found.verdict == trials.verdict
    one, other = (
        each.table().set_index("activation").sort_index().iloc[:, :6] for each in (found, trials)
    )
    numbers = one.select_dtypes("number").to_numpy(), other.select_dtypes("number").to_numpy()
    np.testing.assert_allclose(*numbers, atol=1e-6)  # it has float32


# --- However they are written ---------------------------------------------------------------------

EXPORTS = {
    "wandb": {"activation": "activation", "seed": "seed", "test_accuracy": "test/accuracy"},
    "mlflow": {
        "activation": "params.activation",
        "seed": "params.seed",
        "test_accuracy": "metrics.test_accuracy",
    },
    "sklearn": {"activation": "Nonlinearity", "seed": "random_state", "test_accuracy": "Accuracy"},
    "own": {"activation": "act", "seed": "Seed", "test_accuracy": "test_acc"},
}


@pytest.mark.parametrize("names", EXPORTS.values(), ids=EXPORTS)
def test_usual_names_are_recognised(names):
    scores = long(scores_of())
    rows = scores.rename(columns=names)
    rows.insert(0, "Name", [f"stellar-sun-{n}" for n in range(len(rows))])
    rows["State"] = "finished"
    rows["train_loss"] = 0.1
    rows["val_loss"] = 0.2
    rows["_step"] = 1000
    same(leakyrelu.judge(rows), leakyrelu.judge(scores))


@pytest.mark.parametrize("ending", ["csv", "tsv", "parquet", "json", "jsonl", "xlsx", "csv.gz"])
def test_files(ending, tmp_path):
    rows = long(scores_of())
    path = tmp_path / f"runs.{ending}"
    write = {
        "csv": lambda: rows.to_csv(path, index=False),
        "csv.gz": lambda: rows.to_csv(path, index=False),
        "tsv": lambda: rows.to_csv(path, sep="\t", index=False),
        "parquet": lambda: rows.to_parquet(path),
        "json": lambda: rows.to_json(path, orient="records"),
        "jsonl": lambda: rows.to_json(path, orient="records", lines=True),
        "xlsx": lambda: rows.to_excel(path, index=False),
    }
    write[ending]()
    found = leakyrelu.judge(path)
    same(found, leakyrelu.judge(rows))
    assert found.task.name == path.name


def test_decimal_commas(tmp_path):
    rows = long(scores_of())
    rows.to_csv(tmp_path / "a.csv", sep=";", decimal=",", index=False)
    same(leakyrelu.judge(tmp_path / "a.csv"), leakyrelu.judge(rows))


@pytest.mark.parametrize("has_seed", [True, False])
def test_wide_is_long(has_seed, tmp_path):
    scores = scores_of()
    wide = pd.DataFrame(scores)
    if has_seed:
        wide.insert(0, "seed", range(len(wide)))
    rows = long(scores).rename(columns={"test_accuracy": "score"})
    same(leakyrelu.judge(wide), leakyrelu.judge(rows))
    wide.to_csv(tmp_path / "wide.csv")  # with pandas' index
    same(leakyrelu.judge(tmp_path / "wide.csv"), leakyrelu.judge(rows))


@settings(max_examples=12, deadline=None)
@given(
    st.randoms(use_true_random=False),
    st.sampled_from(["int64", "str", "category", "float64", "Int64", "object"]),
    st.sampled_from(["object", "category", "string"]),
    st.booleans(),
)
def test_order_dtypes_and_other_columns_do_not_matter(random, of_seed, of_name, extra):
    rows = long(scores_of(NAMES[:3], seeds=5))
    expected = leakyrelu.judge(rows)
    rows["seed"] = rows["seed"].astype(of_seed)
    rows["activation"] = rows["activation"].astype(of_name)
    if extra:
        rows["note"] = "a text"
        rows["epoch"] = range(len(rows))
        rows["val_loss"] = np.nan
    order, columns = list(range(len(rows))), list(rows.columns)
    random.shuffle(order)
    random.shuffle(columns)
    rows = rows.iloc[order][columns]
    rows.index = [random.randrange(5) for _ in order]
    same(leakyrelu.judge(rows), expected)


@pytest.mark.parametrize("kind", ["polars", "pyarrow", "dict"])
def test_frames_of_other_libraries(kind):
    rows = long(scores_of())
    if kind == "polars":
        made = pytest.importorskip("polars").from_pandas(rows)
    elif kind == "pyarrow":
        made = pytest.importorskip("pyarrow").Table.from_pandas(rows)
    else:
        made = {name: rows[name].tolist() for name in rows}
    same(leakyrelu.judge(made), leakyrelu.judge(rows))


def test_errors_are_negated():
    rows = long(scores_of()).rename(columns={"test_accuracy": "test_loss"})
    found = leakyrelu.judge(rows.assign(test_loss=1 - rows["test_loss"]), lower_is_better=True)
    assert found.task.metric.name == "minus loss"
    plain = leakyrelu.judge(long(scores_of()))
    for one, other in zip(found.candidates, plain.candidates, strict=True):
        assert one.activation == other.activation
        assert one.verdict == other.verdict
        assert one.score.mean == pytest.approx(other.score.mean - 1)


def test_percent_are_shown_as_percent():
    rows = long(scores_of())
    found = leakyrelu.judge(rows.assign(test_accuracy=100 * rows["test_accuracy"]))
    assert found.verdict == leakyrelu.judge(rows).verdict


def test_columns_can_be_named():
    rows = long(scores_of()).set_axis(["kind of unit", "replicate", "how good"], axis=1)
    with pytest.raises(leakyrelu.InputError, match=r"'kind of unit', 'replicate'.*--activation"):
        leakyrelu.judge(rows)
    found = leakyrelu.judge(rows, activation="kind of unit", seed="Replicate", score="how good")
    assert found.task.metric.name == "how good"
    assert [c.activation for c in found.candidates if c.verdict == "better"] == ["elu"]


# --- Which is compared with which -----------------------------------------------------------------


@pytest.mark.parametrize("spelled", ["ReLU", "relu", "RELU", "nn.ReLU()", "torch.nn.ReLU"])
def test_relu_is_the_reference_however_spelled(spelled):
    rows = long(scores_of(("Snake", "elu", "relu")))
    rows["activation"] = rows["activation"].replace("relu", spelled)
    assert leakyrelu.judge(rows).settings.reference == "relu"


def test_spellings_of_one_name_are_one():
    rows = long(scores_of())
    is_odd = rows["seed"] % 2 == 1
    rows.loc[is_odd & (rows["activation"] == "Snake"), "activation"] = "SNAKE"
    rows.loc[is_odd & (rows["activation"] == "elu"), "activation"] = "nn.ELU()"
    found = leakyrelu.judge(rows)
    assert {str(c.activation): len(c.trials) for c in found.candidates} == {
        **dict.fromkeys(("relu", "elu", "my act", "SNAKE"), 10)
    }


def test_else_the_first_or_the_one_asked_for():
    rows = long(scores_of(("my act", "Snake", "elu")))
    assert leakyrelu.judge(rows).settings.reference == "my act"
    assert leakyrelu.judge(rows, reference="ELU").settings.reference == "elu"
    both = long(scores_of())
    assert leakyrelu.judge(both, reference="Snake").settings.reference == "Snake"
    with pytest.raises(leakyrelu.InputError, match=r"'tanh' is not among .* Snake, elu, my act"):
        leakyrelu.judge(rows, reference="tanh")


# --- What is missing ------------------------------------------------------------------------------


def test_unpaired_seeds_are_left_out_and_named():
    rows = long(scores_of())
    rows = rows.drop(rows[(rows["activation"] == "elu") & (rows["seed"] == 3)].index)
    rows = rows.drop(rows[(rows["activation"] == "relu") & (rows["seed"] == 7)].index)
    found = leakyrelu.judge(rows)
    counts = {c.activation: len(c.trials) for c in found.candidates}
    assert counts == {"relu": 9, "elu": 8, "Snake": 9, "my act": 9}
    claims = {c.activation: c.difference for c in found.candidates}
    assert claims["elu"].trainings == 8
    assert any("elu with seed 7" in note for note in found.notes)
    assert re.search("8 to 9 paired seeds", found.verdict)
    pairs = found.pairs().set_index(["first", "second"])
    assert np.isfinite(pairs["difference"]).all()


def test_seeds_in_common_with_nobody():
    rows = long(scores_of(("relu", "elu", "Snake")))
    rows.loc[rows["activation"] == "Snake", "seed"] += 100
    found = leakyrelu.judge(rows)
    assert [c.activation for c in found.candidates] == ["elu", "relu"]
    assert any("Snake" in note for note in found.notes)
    rows.loc[rows["activation"] == "elu", "seed"] += 50
    with pytest.raises(leakyrelu.InputError, match="no activation has a seed in common with relu"):
        leakyrelu.judge(rows)


def test_one_seed_shows_nothing():
    found = leakyrelu.judge(long(scores_of(seeds=1)))
    assert "One seed can't show a difference" in found.verdict
    assert "nan" not in printed(found).lower()
    page = found.to_html()
    assert "nan" not in page[: page.index("</main>")].lower()


def test_a_score_that_is_missing_has_diverged():
    rows = long(scores_of())
    rows.loc[(rows["activation"] == "elu") & (rows["seed"] == 2), "test_accuracy"] = math.nan
    found = leakyrelu.judge(rows)
    assert "elu diverged with some seed." in found.verdict
    assert any("seed 2" in note for note in found.notes)
    assert re.search(r"elu +diverged", printed(found))
    rows.loc[rows["activation"] == "relu", "test_accuracy"] = math.inf
    lost = leakyrelu.judge(rows)
    assert "Nothing can be said about differences from relu, which diverged." in lost.verdict


def test_repeats():
    rows = long(scores_of())
    twice = pd.concat([rows, rows[:3]])
    found = leakyrelu.judge(twice)
    assert found.verdict == leakyrelu.judge(rows).verdict
    assert any("more than once" in note for note in found.notes)
    twice = pd.concat([rows, rows[:1].assign(test_accuracy=0.5)])
    with pytest.raises(leakyrelu.InputError, match="relu with seed 0 is there 2 times, with score"):
        leakyrelu.judge(twice)


def with_rates(validation, seeds=8, number=0):
    """Return three rates, each as good as the others but for noise, and of elu nine."""
    rng = np.random.default_rng(number)
    rows = [
        (name, rate, seed, rng.normal(0.8, 0.01))
        for name, rates in (("relu", 1), ("elu", 9))
        for rate in np.arange(1, rates + 1) / 100
        for seed in range(seeds)
    ]
    frame = pd.DataFrame(rows, columns=["activation", "lr", "seed", "test_accuracy"])
    if validation:
        frame["val_accuracy"] = frame["lr"] + rng.normal(0.8, 0.001, len(frame))
    return frame


def test_the_rate_is_chosen_by_validation():
    found = leakyrelu.judge(with_rates(True))
    rates = {c.activation: c.learning_rate for c in found.candidates}
    assert rates == {"relu": 0.01, "elu": 0.09}
    assert not found.runs.chosen_by_test


def test_a_rate_with_a_failure_is_out_as_in_compare():
    rows = with_rates(True)
    rows.loc[(rows["lr"] == 0.09) & (rows["seed"] == 5), "test_accuracy"] = math.nan
    rows = rows[~((rows["lr"] == 0.08) & (rows["seed"] == 5))]
    found = leakyrelu.judge(rows)
    assert {c.activation: c.learning_rate for c in found.candidates}["elu"] == 0.07
    assert any("elu at 0.08" in note for note in found.notes)


def test_without_validation_half_of_the_seeds_choose():
    rows = with_rates(False)
    found = leakyrelu.judge(rows)
    assert found.runs.chosen_by_test
    assert {t.seed for c in found.candidates for t in c.trials} == {1, 3, 5, 7}
    choosing = rows[(rows["activation"] == "elu") & (rows["seed"] % 2 == 0)]
    best = choosing.groupby("lr")["test_accuracy"].mean().idxmax()
    assert next(c for c in found.candidates if c.activation == "elu").learning_rate == best
    assert any("would flatter" in note for note in found.notes)
    with pytest.raises(leakyrelu.InputError, match=r"takes 4 or more.*--validation"):
        leakyrelu.judge(rows[rows["seed"] < 3])


def test_half_of_the_examples_choose_too():
    rows = pd.concat([of_examples(8, fixed=True, number=n).assign(lr=n / 10) for n in (1, 2)])
    found = leakyrelu.judge(rows)
    assert found.runs.chosen_by_test
    assert not found.has_source  # all that judge were tested on the same ones
    for trial in found.histories():
        assert trial.seed % 2 == 1
        assert np.isfinite(unpacked(trial.results)).sum() == 40


def test_a_rate_drawn_for_each_seed_was_not_chosen_here():
    rows = long(scores_of())
    rows["lr"] = np.random.default_rng(0).uniform(0.001, 0.1, len(rows))
    found = leakyrelu.judge(rows)
    assert found.verdict == leakyrelu.judge(rows.drop(columns="lr")).verdict
    assert any("one for each" in note for note in found.notes)


def test_a_grid_has_an_edge_if_all_have_it():
    rows = long(scores_of())
    rows["lr"] = rows["activation"].map(dict(zip(NAMES, (1, 2, 3, 4), strict=True))) / 100
    assert not any("grid" in note for note in leakyrelu.judge(rows).notes)
    low, high = (long(scores_of(number=n)).assign(lr=n / 100, val_accuracy=n) for n in (1, 2))
    notes = leakyrelu.judge(pd.concat([low, high])).notes
    assert any("highest learning rate of the grid, 0.02" in note for note in notes)


def test_running_runs_are_left_out():
    rows = long(scores_of()).assign(State="finished")
    rows.loc[rows["seed"] == 9, "State"] = "running"
    found = leakyrelu.judge(rows)
    assert len(found.settings.seeds) == 9
    assert any("not finished" in note for note in found.notes)


BAD = {
    "no rows": (long(scores_of())[:0], {}, "no rows"),
    "one activation": (long(scores_of(("relu",))), {}, "two or more"),
    "no seed": (long(scores_of()).drop(columns="seed"), {}, "--seed COLUMN"),
    "no score": (
        long(scores_of()).rename(columns={"test_accuracy": "x"}),
        {},
        "'activation', 'seed', 'x'.*--score COLUMN",
    ),
    "a loss": (
        long(scores_of()).rename(columns={"test_accuracy": "test_loss"}),
        {},
        "--lower-is-better",
    ),
    "only validation": (
        long(scores_of()).rename(columns={"test_accuracy": "val_accuracy"}),
        {},
        "--score COLUMN",
    ),
    "of training, perhaps": (
        long(scores_of()).rename(columns={"test_accuracy": "accuracy"}).assign(val_accuracy=1.0),
        {},
        "--score COLUMN",
    ),
    "two scores": (long(scores_of()).assign(test_f1=0.5), {}, "'test_accuracy' or 'test_f1'.*--sc"),
    "no such column": (long(scores_of()), {"score": "acc"}, "no column 'acc': the columns are"),
    "texts": (
        long(scores_of()).assign(test_accuracy="high"),
        {},
        "'test_accuracy' should have numbers, but has 'high'",
    ),
    "splits": (long(scores_of()), {"splits": 20}, "splits is 20, but should be a share"),
    "split": (
        long(scores_of()).assign(split=list(range(10)) * 4),
        {},
        "'split' has 10 splits.*--splits 0.2",
    ),
    "parts": (
        long(scores_of()).assign(split=["test", "train"] * 20),
        {},
        "the parts of the data: keep the rows of the test",
    ),
    "rope": (long(scores_of()), {"rope": -1.0}, "rope must be"),
    "no table": (42, {}, "runs is a int, but should be a table of runs"),
    "wide of unknown": (pd.DataFrame({"a": [1.0], "b": [2.0]}), {}, "--activation COLUMN"),
}


@pytest.mark.parametrize(("runs", "options", "told"), BAD.values(), ids=BAD)
def test_bad_input_gets_one_sentence(runs, options, told):
    with pytest.raises(leakyrelu.InputError, match=told) as raised:
        leakyrelu.judge(runs, **options)
    assert "\n" not in str(raised.value)


def test_missing_files_and_folders(tmp_path):
    with pytest.raises(FileNotFoundError):
        leakyrelu.judge(tmp_path / "none.csv")
    with pytest.raises(leakyrelu.InputError, match="without event files of TensorBoard"):
        leakyrelu.judge(tmp_path)


# --- What is said ---------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [lambda: long(scores_of()), of_examples])
def test_terminal_and_page(make):
    found = leakyrelu.judge(make())
    text = printed(found)
    assert all(len(line) <= 80 for line in text.splitlines())
    assert not re.search(r"\bnan\b|None|…| dead|grad\b|\blr\b| time", text), text
    page = found.to_html()
    body = re.sub("<[^>]+>", " ", page[page.index("<main>") : page.index("</main>")])
    assert not re.search(r"\bnan\b|None|optimizer|Adam|epoch|silent| dead", body)
    assert "paired" in body
    found.plot()
    assert found.to_json()["trials"]
    assert found.directory.name


def test_a_known_winner_comes_with_its_code():
    page = leakyrelu.judge(long(scores_of())).to_html()
    assert 'leakyrelu.replace(model, "elu", rescale=True)' in page
    unknown = leakyrelu.judge(long(scores_of(("relu", "my act"))))
    assert "<pre>" not in unknown.to_html()


REQUIRED = [
    ("elu better than relu", True),
    ("ELU is better than ReLU", True),
    ("relu worse than elu", True),
    ("elu worse than relu", False),
    ("elu better or equivalent to relu", True),
    ("Snake not worse than relu", True),
    ("Snake better than relu", False),
    ("Snake undecided from relu", True),
    ("elu better than Snake", True),
    ("Snake not worse than elu", False),
    ("my act not better than relu", True),
]


@pytest.mark.parametrize(("requirement", "expected"), REQUIRED)
def test_requirements(requirement, expected):
    assert leakyrelu.judge(long(scores_of())).holds(requirement) is expected


@pytest.mark.parametrize(
    ("requirement", "told"),
    [
        ("elu beats relu", "should be as 'elu better than relu'"),
        ("tanh better than relu", "'tanh' is required, but the activations are elu"),
        ("elu better than elu", "compares elu with itself"),
    ],
)
def test_bad_requirements(requirement, told):
    with pytest.raises(leakyrelu.InputError, match=told):
        leakyrelu.judge(long(scores_of())).holds(requirement)


def test_what_diverged_meets_no_requirement():
    rows = long(scores_of())
    rows.loc[(rows["activation"] == "elu") & (rows["seed"] == 2), "test_accuracy"] = math.nan
    found = leakyrelu.judge(rows)
    assert not found.holds("elu not worse than relu")
    assert not found.holds("elu not worse than Snake")
