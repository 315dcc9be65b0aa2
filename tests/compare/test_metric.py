import math

import pytest

from leakyrelu._compare.metric import ACCURACY, Metric
from leakyrelu._report.words import score_in_words


@pytest.mark.parametrize("scale", [1e6, 1.0, 1e-6])
@pytest.mark.parametrize("reach", [0.0712, 0.712, 7.12])
def test_digits_follow_the_scale_of_a_score_of_unknown_range(scale, reach):
    shown = Metric("error").shown_to(scale * reach)
    score = scale * 12 * reach
    assert float(score_in_words(score, shown)) == pytest.approx(score, abs=scale * reach / 20)
    coarser = Metric("error", digits=shown.digits - 1)
    assert shown.digits == 0 or f"{scale * reach:.{coarser.digits}f}".strip("0.") in "123456789"


@pytest.mark.parametrize("unknown", [0.0, math.nan, math.inf])
def test_digits_stay_where_nothing_is_known(unknown):
    metric = Metric("error")
    assert metric.shown_to(unknown) == metric
    assert ACCURACY.shown_to(1e-9) == ACCURACY
