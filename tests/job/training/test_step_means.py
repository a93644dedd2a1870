"""The points of the curves and of the log: means over the steps since the one before."""

import math
import statistics

from hypothesis import given
from hypothesis import strategies as st

from job.training.step import StepResult
from job.training.step_means import StepMeans

MEASURES = ("loss", "top1", "top5", "gradient_norm")


def result(value, *, finite=True):
    return StepResult(
        **dict.fromkeys(MEASURES, value),
        leave=False,
        finite=finite,
        backward_ended=0.0,
        reports=(),
    )


@given(st.lists(st.lists(st.floats(0, 100), min_size=1), min_size=1))
def test_each_point_is_the_mean_of_the_steps_since_the_one_before(windows):
    means = StepMeans()
    for window in windows:
        for value in window:
            means.add(result(value))
        point = means.take()
        assert set(point) == set(MEASURES)
        assert all(math.isclose(v, statistics.fmean(window)) for v in point.values())


def test_a_step_whose_gradient_overflowed_does_not_spoil_the_point():
    means = StepMeans()
    for step in (result(1.0), result(math.nan, finite=False), result(3.0)):
        means.add(step)
    assert means.take()["loss"] == 2.0
    assert math.isnan(means.take()["loss"])
