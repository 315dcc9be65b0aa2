"""A comparison that is read again, finished or not, says what it said; processes may share it."""

import dataclasses
import functools
import importlib.metadata
import json
import math
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import leakyrelu
from leakyrelu._compare.data.table_task import load_task
from leakyrelu._compare.data.task import TaskInfo
from leakyrelu._compare.engines import local
from leakyrelu._compare.engines.calibrate import Way
from leakyrelu._compare.environment import environment
from leakyrelu._compare.metric import metric_named
from leakyrelu._compare.networks.recipe import make_recipe
from leakyrelu._compare.settings import make_settings
from leakyrelu._compare.statistics.rounds import wanted
from leakyrelu._compare.store.reading import FILE_NAME, read
from leakyrelu._compare.store.writing import Store
from leakyrelu._compare.trial import Checkpoint, Trial
from leakyrelu._comparison.comparison import Comparison
from leakyrelu._report.html import comparison_page
from leakyrelu._report.sentences import progress

SMALL = {"activations": ["relu", "prelu", "elu"], "seeds": 10, "depth": 3, "width": 8, "epochs": 2}


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    return leakyrelu.compare(output=tmp_path_factory.mktemp("small"), progress=False, **SMALL)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Return a comparison of which all trials are there, at all learning rates."""
    options = {**SMALL, "seeds": 2}
    return leakyrelu.compare(output=tmp_path_factory.mktemp("whole"), progress=False, **options)


def stored(result, directory, trials):
    """Store some of the trials of a comparison, as if it were still running."""
    with Store(directory, result.settings, result.task, {"rope": "0.01"}) as store:
        store.add(trials)
    return directory


def first_round(result):
    """Return the keys of the trials up to the first look, in the order of training."""
    known, stored = {trial.key: trial for trial in result.histories()}, []
    while True:
        keys = wanted(result.settings, stored, result.task.score_step)
        if not keys or max(key[2] for key in keys) >= 5:
            return [trial.key for trial in stored]
        stored += [known[key] for key in keys]


def test_reading_it_again_gives_the_same(result):
    again = Comparison.read(result.directory)
    assert again.verdict == result.verdict
    assert again.why == result.why
    assert again.notes == result.notes
    assert again.is_finished
    pd.testing.assert_frame_equal(again.table(), result.table())
    pd.testing.assert_frame_equal(again.trials(), result.trials())


def test_table_tells_the_condition(result):
    table = result.table().set_index("activation")
    relu = next(c for c in result.candidates if c.activation == "relu")
    assert table.loc["relu", "born dead %"] == pytest.approx(
        100 * np.mean([t.history[0].never_fired for t in relu.trials])
    )
    assert (table.loc[["prelu", "elu"], "born dead %"] == 0).all()
    for column, at in (("first gradient start", 0), ("first gradient end", -1)):
        each = [t.history[at].gradient[0] / t.history[at].gradient[-1] for t in relu.trials]
        assert table.loc["relu", column] == pytest.approx(np.median(each))
    assert table["seeds"].between(5, 10).all()


def test_trials_tell_which_were_chosen(result):
    trials = result.trials()
    for candidate in result.candidates:
        own = trials[(trials["activation"] == candidate.activation) & trials["chosen"]]
        assert set(own["learning_rate"]) == {candidate.learning_rate}
        assert own["test_score"].mean() == pytest.approx(candidate.score.mean)


def test_a_running_experiment_is_told_by_its_complete_rounds(result, tmp_path):
    keys = first_round(result)
    known = {trial.key: trial for trial in result.histories()}
    complete = [known[key] for key in keys]
    later = [dataclasses.replace(complete[0], seed=7, test_score=1.0)]
    running = Comparison.read(stored(result, tmp_path / "run", [*complete, *later]))
    assert not running.is_finished
    assert progress(running).startswith(f"not finished: {len(keys) + 1} trials of up to 90 are")
    assert {len(c.trials) for c in running.candidates} == {5}
    assert "(5 paired seeds" in running.verdict
    assert len(running.trials()) == len(keys) + 1
    page = comparison_page(running)
    assert f"Not finished: {len(keys) + 1} trials of up to 90" in page


def test_scores_that_are_undefined_are_not_said_to_have_diverged(whole):
    def found(is_undefined):
        trials = [
            dataclasses.replace(t, test_score=math.nan, undefined=True) if is_undefined(t) else t
            for t in whole.histories()
        ]
        names = ("task", "settings", "environment", "directory")
        return Comparison(trials=trials, **{name: getattr(whole, name) for name in names})

    of_one_seed = found(lambda trial: trial.seed == 1)
    assert "accuracy is undefined" in " ".join(of_one_seed.notes)
    assert "the test part of seed 1: these seeds are left out" in " ".join(of_one_seed.notes)
    assert len(of_one_seed.trained) == len(whole.candidates)
    assert not of_one_seed.trials()["diverged"].any()
    table = of_one_seed.trials()
    assert table["test_score"].isna().equals(table["seed"] == 1)

    of_one = found(lambda trial: trial.activation == "elu" and trial.seed == 1)
    assert "elu" not in {c.activation for c in of_one.trained}
    assert "accuracy of elu is undefined at every learning rate" in of_one.verdict
    everywhere = found(lambda trial: True)
    for each in (of_one_seed, of_one, everywhere):
        told = [each.verdict, *each.why, *each.notes]
        assert "try rates below" not in " ".join(told)
        assert "diverged" not in " ".join(told).replace("not divergence", "")
    assert everywhere.table()["seeds"].eq(0).all()


def test_learning_rates_that_were_too_high_are_noted(whole):
    def told(is_lost):
        trials = [
            dataclasses.replace(t, validation_score=math.nan, test_score=math.nan)
            if is_lost(t)
            else t
            for t in whole.histories()
        ]
        names = ("task", "settings", "environment", "directory")
        parts = {name: getattr(whole, name) for name in names}
        return " ".join(Comparison(trials=trials, **parts).notes)

    at_one_rate = told(lambda trial: trial.learning_rate == 0.01)
    assert "At learning rate 0.01 every activation diverged." in at_one_rate
    assert "try rates below" not in at_one_rate
    everywhere = told(lambda trial: True)
    assert "diverged with some seed at every learning rate of the grid; try rates" in everywhere
    assert "every activation diverged" not in everywhere
    assert "diverged" not in told(lambda trial: False)


def test_how_it_was_trained_is_told_in_words():
    task = load_task()

    def told(**given):
        recipe = make_recipe(None, given.get("optimizer"), given.get("schedule"))
        own = {name: given[name] for name in ("loss", "metric") if name in given}
        found = environment(dataclasses.replace(task, **own), recipe)
        return [found[name] for name in ("optimizer", "schedule", "loss", "metric")]

    assert told() == ["Adam", "cosine decay to 0", "cross-entropy", "accuracy"]
    sgd = functools.partial(torch.optim.SGD, momentum=0.9)
    steps = functools.partial(torch.optim.lr_scheduler.StepLR, step_size=3)
    brought = told(optimizer=sgd, schedule=steps, loss=torch.nn.functional.nll_loss, metric=stored)
    assert brought == [
        "SGD(momentum=0.9)",
        "StepLR(step_size=3)",
        "nll_loss",
        f"{stored.__module__}.stored",
    ]


@pytest.mark.parametrize("there", [1, 5, 11, 17])
def test_before_the_first_round_is_complete_there_is_no_verdict(result, tmp_path, there):
    keys = first_round(result)
    known = {trial.key: trial for trial in result.histories()}
    later = [dataclasses.replace(known[keys[0]], seed=7)]  # of the next round
    own = [known[key] for key in keys[:there]]
    early = Comparison.read(stored(result, tmp_path / "run", [*own, *later]))
    assert early.verdict == (
        f"No verdict yet: {there} of up to 45 trials of the first round (5 seeds) are finished. "
        "The same call or command resumes."
    )
    assert (early.is_finished, early.candidates, early.recommended) == (False, [], None)
    assert early.progress == f"not finished: {there + 1} trials of up to 90 are stored"
    assert (early.why, early.notes) == ([], result.task.notes)
    assert not early.trials()["chosen"].any()
    assert set(early.trials()["test_score"]) == {t.test_score for t in [*own, *later]}
    for ask in (early.table, early.plot, lambda: early.to_html(tmp_path / "page.html")):
        with pytest.raises(ValueError, match="run: No verdict yet"):
            ask()
    assert not (tmp_path / "page.html").exists()


def test_where_no_trial_is_there_is_nothing_to_read(result, tmp_path):
    with pytest.raises(ValueError, match="holds none of up to 90 trials yet; the command that"):
        Comparison.read(stored(result, tmp_path / "run", []))


def test_rope_is_that_of_the_run_or_ones_own(result, tmp_path):
    directory = stored(result, tmp_path / "run", result.histories())
    assert Comparison.read(directory).rope == 0.01
    wide = Comparison.read(directory, rope=1.0)
    assert {c.verdict for c in wide.candidates} == {None, "equivalent"}
    for rope in (-0.1, math.nan, math.inf):
        with pytest.raises(ValueError, match=f"0 or more, but is {rope}"):
            Comparison.read(directory, rope=rope)


def test_two_processes_share_a_directory(tmp_path):
    """Both finish, with the same trials and the same verdict."""
    options = {**SMALL, "activations": ",".join(SMALL["activations"]), "output": tmp_path / "run"}
    named = [text for name, value in options.items() for text in (f"--{name}", str(value))]
    command = [sys.executable, "-m", "leakyrelu", "compare", *named]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    both = [subprocess.Popen(command, **pipes) for _ in range(2)]
    told = [process.communicate(timeout=300) for process in both]
    assert [process.returncode for process in both] == [0, 0], told
    verdicts = [out[out.index("±: ") : out.index("report:")] for out, _ in told]
    assert verdicts[0] == verdicts[1]
    trials = read(tmp_path / "run").trials
    assert len({trial.key for trial in trials}) == len(trials) >= 3 * 3 * 2
    assert Comparison.read(tmp_path / "run").is_finished
    assert {path.name for path in (tmp_path / "run").iterdir()} == {FILE_NAME, "report.html"}


def test_who_is_recommended_is_ahead_and_may_be_the_best(result):
    assert result.recommended in result.best
    assert result.recommended is result.candidates[0]
    assert result.regret >= 0


def test_who_was_dropped_is_placed_by_the_seeds_it_shares():
    """The first splits are easy: the mean score of who had only these is high."""
    settings = make_settings("abc", ["relu", "elu", "silu"], 20, 1, 0.01, depth=2, width=8)
    ease = np.where(np.arange(20) < 5, 0.2, 0.0)
    noise = 0.001 * np.random.default_rng(0).standard_normal((3, 20))
    scores = {
        "relu": 0.60 + ease + noise[0],
        "elu": 0.65 + ease + noise[1],
        "silu": (0.55 + ease + noise[2])[:5],
    }
    looked = Checkpoint(1, 0.1, 0.5, [0.0], [1.0, 1.0], [])
    trials = [
        Trial(spec, 0.01, seed, score, score, 1.0, [], [looked])
        for spec, each in scores.items()
        for seed, score in enumerate(each)
    ]
    info = TaskInfo("own", metric_named("accuracy"), 0.001, 1000, "", [])
    found = Comparison(info, settings, trials, {}, Path("none"))
    assert [c.activation for c in found.candidates] == ["elu", "relu", "silu"]
    assert found.candidates[2].score.mean > found.candidates[0].score.mean
    assert found.candidates[2].verdict == "worse"
    assert found.recommended.activation == "elu"


def test_the_name_of_the_data_may_be_of_any_length():
    def make():
        return X, (X[:, 0] > 0.5).long()

    X = torch.rand(40, 2, generator=torch.Generator().manual_seed(0))
    make.__name__ = "n" * 400
    found = leakyrelu.compare(
        data=make, activations=["relu", "elu"], seeds=1, depth=1, width=2, epochs=1, progress=False
    )
    assert found.task.name == make.__name__
    assert len(found.directory.name) < 120
    found.to_html(found.directory / "report.html")


# --- What is told beside the differences ----------------------------------------------------------


def scored(scores, metric="accuracy", baseline=0.6, rope=0.0):
    """Make a comparison of activations with these test scores, a seed each."""
    seeds = len(next(iter(scores.values())))
    settings = make_settings("abc", list(scores), seeds, 1, 0.01, depth=2, width=8)
    looked = Checkpoint(1, 0.1, 0.5, [0.0], [1.0, 1.0], [])
    trials = [
        Trial(spec, 0.01, seed, 0.5, float(score), 1.0, [], [looked])
        for spec, each in scores.items()
        for seed, score in enumerate(each)
    ]
    info = TaskInfo("own", metric_named(metric), 0.0, 1000, "", [], baseline)
    return Comparison(info, settings, trials, {}, Path("none"), rope)


def spread(mean, width=0.01, seeds=6):
    """Return scores of this mean whose spread between seeds is this."""
    each = np.random.default_rng(round(1000 * mean)).standard_normal(seeds)
    return mean + width * (each - each.mean()) / each.std(ddof=1)


GUESS = "always guessing the majority class (60.0%)"


@pytest.mark.parametrize(
    ("means", "told"),
    [
        ((0.55, 0.60), f"No activation beats {GUESS}."),
        ((0.55, 0.602), f"No activation is detectably better than {GUESS}."),
        ((0.602, 0.603), f"No activation is detectably better than {GUESS}."),
        ((0.55, 0.70), ""),
        ((0.65, 0.70), ""),
    ],
)
def test_who_only_guesses_is_told_first(means, told):
    found = scored({"relu": spread(means[0]), "elu": spread(means[1])})
    assert (found.limit is not None) == bool(told)
    assert found.verdict.startswith(told or "Best on these data")
    notes = " ".join(found.notes)
    assert not told or "more data" not in notes


@pytest.mark.parametrize("metric", ["accuracy", "R²"])
def test_where_all_are_perfect_it_is_said(metric):
    found = scored({"relu": [1.0] * 6, "elu": [1.0] * 5 + [0.9995]}, metric)
    assert found.verdict.startswith("Every activation reaches 1")
    assert "more data" not in " ".join(found.notes)
    assert not scored({"relu": [1.0] * 6, "elu": [0.99] * 6}, metric).limit


def test_the_baseline_is_that_of_the_data():
    X, rng = np.zeros((50, 2)), np.random.default_rng(0)
    y = rng.permutation([0] * 30 + [1] * 15 + [2] * 5)
    assert load_task((X + rng.random(2), y)).info.baseline == 30 / 50
    assert load_task((X + rng.random(2), y), kind="regression").info.baseline == 0
    own = dataclasses.replace(load_task((X, y)), metric=lambda outputs, targets: 0.0)
    assert own.info.baseline is None
    assert scored({"relu": spread(0.1), "elu": spread(0.2)}, "own", None).limit is None


def test_no_rope_of_0_is_told_of():
    found = scored({"relu": [1.0] * 5, "elu": [1.0] * 5}, "own", None)
    assert not any("--rope" in note for note in found.notes)


@pytest.mark.parametrize("width", [0.002, 0.01, 0.02, 0.2])
@pytest.mark.parametrize("metric", ["accuracy", "R²", "own"])
def test_a_rope_that_is_told_of_settles_what_it_says(width, metric):
    means = {"relu": 0.8, "elu": 0.801, "gelu": 0.805, "silu": 0.79, "prelu": 0.7, "rrelu": 0.95}
    scores = {spec: spread(mean, width) for spec, mean in means.items()}
    found = scored(scores, metric, None)
    (hint,) = [note for note in found.notes if "--rope" in note] or [""]
    was = {c.activation: c.verdict for c in found.candidates}

    def after(rope):
        return {c.activation: c.verdict for c in scored(scores, metric, None, rope).candidates}

    if hint:
        rope = float(hint.split("--rope ")[1].split(")")[0])
        names = hint.split("), ")[1].split(" would be equivalent")[0].split(", ")
        then = after(rope)
        # What is decided leaves the others more, so that there may be others, too.
        assert set(names) <= {n for n in then if then[n] == "equivalent" != was[n]}
        assert all(then[n] == was[n] for n in then if was[n] != "undecided")
        assert "exploratory and proves nothing" in hint
    else:  # no rope of one digit settles anything, or not without loss
        for rope in [*(0.0001 * i for i in range(1, 10)), *(0.001 * i for i in range(1, 10))]:
            then = after(rope)
            assert "equivalent" not in then.values() or any(
                then[n] != was[n] for n in then if was[n] in ("better", "worse")
            )


# --- Activations and learning rates that are asked for later --------------------------------------


@pytest.fixture
def asked(monkeypatch, tmp_path):
    """Return a function that compares in a directory, in stacks of a known size."""
    monkeypatch.setattr(local, "calibrate", lambda experiment, keys: Way(2, 1.0, 1.0))
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)

    def ask(activations, rates=(0.003, 0.01), folder="run", **more):
        options = {"seeds": 2, "depth": 2, "width": 8, "epochs": 3, "progress": False, **more}
        return leakyrelu.compare(
            activations=activations, lr=rates, output=tmp_path / folder, **options
        )

    return ask


def numbers(found):
    """Return what was stored of each trial but the time that it took."""
    return {t.key: repr(dataclasses.replace(t, seconds=0.0)) for t in found.histories()}


def table(found):
    return found.table().drop(columns="seconds").to_csv()


@pytest.mark.parametrize(
    ("first", "later"),
    [
        ((["relu", "elu"],), (["relu", "elu", "gelu", "prelu"],)),
        ((["relu", "elu"],), (["prelu", "elu", "relu"],)),
        ((["elu", "gelu"],), (["elu", "relu", "gelu"],)),
        ((["relu", "elu"], (0.003,)), (["relu", "elu"], (0.001, 0.003, 0.01))),
        ((["relu", "elu"], (0.003, 0.01)), (["relu", "silu"], (0.01, 0.03))),
    ],
)
def test_what_is_added_is_trained_and_the_rest_is_kept(asked, first, later):
    before = asked(*first)
    after = asked(*later)
    anew = asked(*later, folder="anew")
    assert numbers(after) == numbers(anew)
    assert table(after) == table(anew)
    assert after.verdict == anew.verdict
    kept = {t.key: t.seconds for t in before.histories()}
    for trial in after.histories():
        if trial.key in kept:
            assert trial.seconds == kept[trial.key]
    notes = " ".join(after.notes)
    assert f"began with {before.settings.candidates}" in notes
    left_out = set(first[0]) - set(later[0])
    assert ("not in this table: " in notes) == bool(left_out)
    # And back again: nothing is trained, and the table is what it was.
    again = asked(*first)
    assert table(again) == table(before)
    assert {t.key: t.seconds for t in again.histories()} == kept
    assert "began with" not in " ".join(again.notes)
    assert Comparison.read(again.directory).verdict == again.verdict


def test_they_are_of_one_experiment_and_other_settings_are_not():
    def named(*activations, lr=(0.01,), **more):
        options = {"seeds": 3, "epochs": 2, **more}
        return make_settings("abc", activations, learning_rates=lr, **options).fingerprint

    assert named("relu", "elu") == named("gelu", "relu", "elu", lr=(0.1, 0.2))
    assert named("relu", "elu") == named("relu", "elu", seeds=40)
    others = [named("relu", "elu", **more) for more in ({"epochs": 3}, {"depth": 3})]
    assert len({named("relu", "elu"), *others}) == 3


def test_another_version_that_goes_on_is_told(asked, monkeypatch, tmp_path):
    real = importlib.metadata.version
    asked(["relu", "elu"])
    monkeypatch.setattr(importlib.metadata, "version", lambda n: "9.9" if n == "torch" else real(n))
    assert "torch" not in " ".join(asked(["relu", "elu"]).notes)  # nothing was trained
    for _ in range(2):
        found = asked(["relu", "elu", "gelu"])
        assert found.environment["torch"] == f"{real('torch')}, then 9.9"
        assert f"Trained with torch {real('torch')}, then 9.9;" in " ".join(found.notes)


def test_damaged_trials_are_told_of_and_trained_again(asked):
    first = asked(["relu", "elu"])
    file = first.directory / FILE_NAME
    whole = file.read_bytes()
    place = whole.index(b'"train_loss": ') + 15
    file.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
    early = Comparison.read(first.directory)
    assert early.verdict.startswith("No verdict yet: 7 of up to 8 trials")
    assert "damaged" in early.notes[-1]
    again = asked(["relu", "elu"])
    assert table(again) == table(first)
    (note,) = [note for note in again.notes if "damaged" in note]
    assert re.search(r"trials.sqlite were trained again: \w+ at 0.0\d+, seed \d\.", note)


def test_more_seeds_go_on_and_fewer_are_what_there_is(asked):
    before = asked(["relu", "leaky_relu:0.01"], seeds=5)
    after = asked(["relu", "leaky_relu:0.01"], seeds=10)
    assert before.directory == after.directory
    kept = {t.key: t.seconds for t in before.histories()}
    assert {t.key: t.seconds for t in after.histories() if t.key in kept} == kept
    assert (after.settings.planned, len(after.settings.seeds)) == (5, 10)
    fewer = asked(["relu", "leaky_relu:0.01"], seeds=5)
    assert table(fewer) == table(after)
    assert "5 seeds were asked for, but 10 had been begun" in " ".join(fewer.notes)


def test_pairs_are_all_against_all(result):
    pairs = result.pairs()
    assert len(pairs) == 3
    table = result.table().set_index("activation")
    to_relu = pairs[pairs["second"] == "relu"].set_index("first")["difference"]
    for name, difference in to_relu.items():
        assert difference == pytest.approx(table.loc[name, "difference to relu"])
    assert (pairs["high for the source"] > pairs["high on these data"]).all()


def test_all_that_is_known_is_plain_types(result, tmp_path):
    known = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert known["verdict"] == result.verdict
    assert len(known["trials"]) == len(result.trials())
    page = result.to_html()
    assert page.count("<html") == 1
    assert result.to_html(tmp_path / "page.html") is None
    assert len((tmp_path / "page.html").read_text(encoding="utf-8")) == len(page)
