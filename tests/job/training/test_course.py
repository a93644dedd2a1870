"""Progress counted in images: where a run goes on, and ends, when its batch size changes."""

import math

from hypothesis import given
from hypothesis import strategies as st

from job.contract.configs import TrainConfig
from job.training import schedule
from job.training.schedule import Course


def config(**settings: object) -> TrainConfig:
    return TrainConfig(data="data", run="run", **settings)


@given(
    st.integers(1, 5000),
    st.integers(1, 200),
    st.floats(0.1, 30.0),
    st.floats(0.0, 1.0),
)
def test_an_attempt_that_changes_nothing_goes_on_as_if_it_had_never_stopped(
    examples, batch, epochs, share
):
    chosen = config(global_batch_size=batch, epochs=epochs)
    whole = Course(chosen, examples)
    step = int(share * whole.total_steps)
    rest = Course(chosen, examples, first_step=step, first_example=whole.example(step))
    assert rest.total_steps == whole.total_steps == schedule.total_steps(chosen, examples)
    rate = schedule.learning_rate(chosen, whole.total_steps)
    for later in range(step, min(step + 5, whole.total_steps)):
        assert rest.example(later) == whole.example(later) == later * batch
        assert rest.learning_rate(later) == whole.learning_rate(later) == rate(later)
        assert rest.ends_epoch(later) == whole.ends_epoch(later)


@given(
    st.integers(1, 5000),
    st.integers(1, 200),
    st.integers(1, 200),
    st.floats(0.1, 30.0),
    st.floats(0.0, 1.0),
)
def test_another_batch_size_goes_on_at_the_next_image_and_ends_with_the_same_epoch(
    examples, before, after, epochs, share
):
    first = Course(config(global_batch_size=before, epochs=epochs), examples)
    step = int(share * first.total_steps)
    second = Course(
        config(global_batch_size=after, epochs=epochs),
        examples,
        first_step=step,
        first_example=first.example(step),
    )
    wanted = epochs * examples
    assert second.example(step) == step * before
    assert second.total_steps >= step
    if second.total_steps > step:
        # The last batch holds the last image, as it would have with one batch size all along.
        assert second.example(second.total_steps) >= math.floor(wanted)
        assert second.example(second.total_steps - 1) < math.ceil(wanted)


def test_learning_rates_are_those_of_the_same_images():
    half = Course(config(global_batch_size=32, epochs=10.0, warmup_steps=0), 640)
    step = 100
    other = Course(
        config(global_batch_size=64, epochs=10.0, warmup_steps=0),
        640,
        first_step=step,
        first_example=half.example(step),
    )
    assert other.total_steps == 100 + 50
    whole = Course(config(global_batch_size=64, epochs=10.0, warmup_steps=0), 640)
    assert other.learning_rate(100) == whole.learning_rate(50)
    assert other.learning_rate(149) == whole.learning_rate(99) == 1e-6


def test_steps_count_steps_whatever_the_batch_size():
    course = Course(config(steps=1000, global_batch_size=64), 640, first_step=500, first_example=9)
    assert course.total_steps == 1000
    assert course.example(501) == 9 + 64
