"""The learning rate over a run."""

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from job.contract.configs import TrainConfig
from job.contract.errors import ConfigError
from job.training.schedule import learning_rate, total_steps


def config(**changes):
    return TrainConfig(data="data", run="run", **changes)


def test_steps_are_given_or_follow_from_the_epochs():
    assert total_steps(config(steps=7), 1000) == 7
    assert total_steps(config(epochs=20.0, global_batch_size=64), 75_750) == 23_672
    assert total_steps(config(epochs=0.5, global_batch_size=10), 100) == 5
    with pytest.raises(ConfigError, match="no examples"):
        total_steps(config(), 0)


@pytest.mark.parametrize("schedule", ["cosine", "polynomial"])
def test_the_rate_peaks_after_warm_up_and_ends_exactly_at_its_end(schedule):
    rate = learning_rate(
        config(schedule=schedule, learning_rate=0.1, end_learning_rate=1e-7, warmup_steps=10), 200
    )
    rates = [rate(step) for step in range(200)]
    assert rates[:10] == pytest.approx([0.1 * k / 11 for k in range(1, 11)])
    assert rates[10] == pytest.approx(0.1)
    assert rates[199] == pytest.approx(1e-7)
    assert rates[10:] == sorted(rates[10:], reverse=True)


def test_polynomial_falls_by_the_same_amount_each_step_and_cosine_is_at_half_in_the_middle():
    line = learning_rate(config(schedule="polynomial", end_learning_rate=0.0, warmup_steps=0), 101)
    assert line(50) == pytest.approx(0.0005)
    cosine = learning_rate(config(schedule="cosine", end_learning_rate=0.0, warmup_steps=0), 101)
    assert cosine(50) == pytest.approx(0.0005)
    assert cosine(25) == pytest.approx(0.001 * (0.5 + math.sqrt(0.125)))


def test_constant_stays_at_its_peak_after_warm_up():
    rate = learning_rate(config(schedule="constant", warmup_steps=5), 100)
    assert {rate(step) for step in range(5, 100)} == {0.001}


def test_warm_up_is_at_most_a_tenth_of_a_short_run():
    rate = learning_rate(config(warmup_steps=500), 50)
    assert rate(5) == pytest.approx(0.001)


@given(
    st.sampled_from(["cosine", "polynomial", "constant"]),
    st.integers(0, 1000),
    st.integers(1, 2000),
    st.floats(1e-6, 1.0),
    st.floats(0.0, 1.0),
)
def test_every_step_has_a_positive_rate_of_at_most_the_peak(schedule, warmup, steps, peak, end):
    assume(end <= peak)
    rate = learning_rate(
        config(schedule=schedule, warmup_steps=warmup, learning_rate=peak, end_learning_rate=end),
        steps,
    )
    for step in {0, steps // 20, steps // 2, steps - 1, steps + 5}:
        assert 0.0 <= rate(step) <= peak * (1 + 1e-12)
