"""A sweep's trials: every combination, or some drawn; the same command plans the same sweep."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from job.contract import schema
from launcher.errors import UsageError
from launcher.sweeps import plan
from launcher.sweeps.plan import Sweep
from launcher.sweeps.stopping import reason_to_stop


def make(*flags: str, samples: int | None = None, seed: int = 0) -> Sweep:
    return plan.make(flags, name="s", samples=samples, seed=seed)


def test_every_combination_is_a_trial() -> None:
    sweep = make(
        "--learning_rate=0.001,0.01", "--epochs=4", "--flip=true,false", "--then=evaluate,export"
    )
    assert sweep.flags == ("--epochs=4", "--then=evaluate,export")
    assert [str(trial) for trial in sweep.trials] == [
        "learning_rate=0.001 flip=true", "learning_rate=0.001 flip=false",
        "learning_rate=0.01 flip=true", "learning_rate=0.01 flip=false",
    ]  # fmt: skip
    assert [trial.name for trial in sweep.trials] == ["001", "002", "003", "004"]
    assert sweep.trials[2].flags() == ["--learning_rate=0.01", "--flip=true"]


def test_the_same_command_is_the_same_sweep() -> None:
    flags = ["--learning_rate=1,2", "--epochs=1"]
    names = {plan.make(each, name="", samples=None, seed=0).name for each in (flags, flags[::-1])}
    assert len(names) == 1
    assert plan.make(["--epochs=1,2"], name="", samples=None, seed=0).name not in names


@given(samples=st.integers(1, 30), seed=st.integers(0, 9))
def test_drawn_trials_are_within_their_ranges(samples: int, seed: int) -> None:
    flags = ("--learning_rate=log:1e-4..1e-1", "--global_batch_size=8..64", "--flip=true,false")
    sweep = make(*flags, samples=samples, seed=seed)
    assert sweep == make(*flags, samples=samples, seed=seed)
    assert len(sweep.trials) == samples
    for trial in sweep.trials:
        assert 1e-4 <= float(trial.settings["learning_rate"]) <= 1e-1
        assert 8 <= int(trial.settings["global_batch_size"]) <= 64
        assert trial.settings["flip"] in ("true", "false")


def test_a_sweep_is_read_as_it_was_written() -> None:
    sweep = make("--learning_rate=0.001,0.01")
    assert schema.read(schema.write(sweep), Sweep, what="sweep.json", formats=(1,)) == sweep


@pytest.mark.parametrize(
    ("flags", "samples", "message"),
    [
        (["--epochs=3"], None, "nothing varies"),
        (["--epochs=1..3"], None, "is a range, from which --samples N"),
        (["--epochs=3..1"], 2, "must be below"),
        (["--epochs=a..b"], 2, "LOW..HIGH"),
        (["--epochs=log:0..1"], 2, "above 0"),
        (["--epochs=nan..1"], 2, "must be below"),
        ([f"--seed={','.join(map(str, range(2000)))}"], None, "more than 1,000"),
    ],
)
def test_what_is_no_sweep(flags: list[str], samples: int | None, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make(*flags, samples=samples)


def test_the_median_rule_ends_what_is_worse_than_half_of_the_others() -> None:
    good = [(10, 0.4), (20, 0.6), (30, 0.7)]
    curves = {"a": good, "b": good, "c": good, "bad": [(10, 0.1), (20, 0.3)], "late": [(10, 0.1)]}
    assert "top-1 30.00% up to step 20, below the median 50.00% of 3 others" in reason_to_stop(
        "bad", curves
    )
    assert reason_to_stop("a", curves) == ""
    assert reason_to_stop("late", curves) == ""  # One evaluation says little.
    assert reason_to_stop("bad", {name: curves[name] for name in ("a", "b", "bad")}) == ""
    fine = curves | {"bad": [(10, 0.1), (20, 0.5)]}
    assert reason_to_stop("bad", fine) == ""
