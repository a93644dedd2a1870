"""Restarts that use up a job's budget."""

import pytest

from tests.cluster import training
from tests.cluster.command import Launcher


@pytest.mark.parametrize("backend", ["tfjob", "jobset"])
def test_an_oom_loop_ends_when_the_restarts_are_used_up(
    backend: str, launcher: Launcher, digits: str, bucket: str
) -> None:
    """The same for both: the operator counts nothing itself, so the job does."""
    run = f"{bucket}/runs/oom"
    options = ("--memory", "400Mi", "--shm", "16Mi", "--max-restarts", "1")
    launcher(*training.submit(backend, "greedy", digits, run, *options, "--skip-checks", "all"))
    launcher("wait", "greedy", "--timeout", "8m", code=None, timeout_s=500)
    why = launcher("why", "greedy", "-o", "json").data
    launcher("why", "greedy")
    assert why["level"] == "failed"
    assert why["situation"] in ("restarts-spent", "oom-killed"), why
    status = launcher("status", "greedy", "-o", "json").data
    assert (status["restarts_counted"], status["max_restarts"]) == (1, 1)
