"""The dynamic factor on float16 losses."""

from hypothesis import given
from hypothesis import strategies as st

from job.training.loss_scale import LossScale


def test_an_overflow_halves_the_scale_and_a_long_quiet_time_doubles_it():
    scale = LossScale(dynamic=True, first=8.0, growth_steps=3)
    assert scale.update(finite=False)
    assert scale.value == 4.0
    for _ in range(3):
        assert scale.update(finite=True)
    assert scale.value == 8.0


def test_training_cannot_go_on_when_the_smallest_scale_overflows():
    scale = LossScale(dynamic=True, first=2.0)
    assert [scale.update(finite=False) for _ in range(2)] == [True, False]


def test_a_static_scale_stays_one_and_forgives_nothing():
    scale = LossScale(dynamic=False)
    assert scale.update(finite=True)
    assert not scale.update(finite=False)
    assert scale.value == 1.0


@given(st.lists(st.booleans(), max_size=60), st.integers(0, 60))
def test_a_restored_scale_goes_on_as_if_never_interrupted(history, cut):
    whole, first = (LossScale(dynamic=True, first=64.0, growth_steps=4) for _ in range(2))
    for finite in history:
        whole.update(finite=finite)
    for finite in history[:cut]:
        first.update(finite=finite)
    second = LossScale(dynamic=True, first=64.0, growth_steps=4)
    second.restore(first.value, first.steps_without_overflow)
    for finite in history[cut:]:
        second.update(finite=finite)
    assert second.value == whole.value
    assert second.steps_without_overflow == whole.steps_without_overflow
    assert second.value >= 1.0


def test_a_scale_from_another_precision_is_left_alone():
    static = LossScale(dynamic=False)
    static.restore(1024.0, 2)
    assert static.value == 1.0
