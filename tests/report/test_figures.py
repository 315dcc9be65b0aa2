"""Figures show all of what they are of, and say it in the numbers of the table."""

import dataclasses

import numpy as np
import pytest
from matplotlib.figure import Figure

from leakyrelu._compare.statistics.condition import START, median_reach
from leakyrelu._report import figures, why_figures
from leakyrelu._report.words import fraction


@pytest.fixture
def axes():
    return Figure().subplots()


def changed(comparison, change, **settings):
    """Return a comparison whose trials are changed."""
    trials = [dataclasses.replace(t, history=change(t)) for t in comparison.histories()]
    names = ("task", "settings", "environment", "directory")
    parts = {name: getattr(comparison, name) for name in names}
    parts["settings"] = dataclasses.replace(comparison.settings, **settings)
    return type(comparison)(trials=trials, **parts)


def test_the_range_of_learning_curves_is_not_cut_off(several, axes):
    comparison = several[0]
    figures.learning_curve(comparison, comparison.trained[0], axes)
    scores = [
        100 * checkpoint.validation_score
        for candidate in comparison.trained
        for trial in candidate.trials
        for checkpoint in trial.history[1:]
    ]
    low, high = axes.get_ylim()
    assert low < min(scores)
    assert max(scores) < high


def test_one_epoch_is_a_line_between_whole_numbers(several, axes):
    def two(trial):
        return [dataclasses.replace(c, epoch=i) for i, c in enumerate(trial.history[:2])]

    comparison = changed(several[0], two, epochs=1)
    figures.learning_curve(comparison, comparison.trained[0], axes)
    assert {len(line.get_xdata()) for line in axes.lines} == {2}
    assert {tick for tick in axes.get_xticks() if 0 <= tick <= 1} == {0, 1}


def test_rows_of_scores_and_differences_are_the_same(several, axes):
    comparison = several[0]
    other = Figure().subplots()
    figures.scores(comparison, axes)
    figures.differences(comparison, other)

    def names(part):
        return [label.get_text() for label in part.get_yticklabels()]

    assert names(axes) == names(other)
    assert axes.get_ylim() == other.get_ylim()


def test_the_gradient_is_told_as_the_table_tells_it(large, axes):
    rng = np.random.default_rng(0)

    def noisy(trial):
        first = trial.history[0]
        gradient = (np.array(first.gradient) * rng.lognormal(0, 2, len(first.gradient))).tolist()
        return [dataclasses.replace(first, gradient=gradient), *trial.history[1:]]

    comparison = changed(large, noisy)
    says = why_figures.gradient_by_depth(comparison, START, axes).says
    for c in comparison.trained:
        assert f"{c.activation} {fraction(median_reach(c.trials, START))}" in says


def test_a_gradient_of_0_is_drawn_at_the_bottom(several, axes):
    def dead(trial):
        first, *others = trial.history
        if trial.activation == "relu":
            first = dataclasses.replace(first, gradient=[0.0, 0.0, *first.gradient[2:]])
        return [first, *others]

    comparison = changed(several[0], dead)
    drawing = why_figures.gradient_by_depth(comparison, START, axes)
    bottom = axes.get_ylim()[0]
    line = next(line for line in axes.lines if line.get_gid() == "of relu")
    assert line.get_ydata()[:2] == pytest.approx([bottom, bottom])
    assert line.get_ydata()[2] > bottom
    assert [text.get_text() for text in axes.texts] == ["bottom: 0"]
    assert [v.text for v in drawing.values if v.of == "relu"][:2] == ["relu, 1: 0", "relu, 2: 0"]


def test_no_two_of_many_activations_look_alike(large):
    styles = why_figures.line_styles(large)
    assert len({style[:2] for style in styles.values()}) == len(styles)
    assert len({(color, marker) for color, _, marker in styles.values()}) == len(styles)
    assert set(why_figures.legend(large)) == {c.activation for c in large.trained}
