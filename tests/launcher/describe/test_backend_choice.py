"""`--backend auto`: what it means, and why, in one line."""

from typing import Any

import pytest

from launcher import kinds
from launcher.describe import backend_choice
from launcher.errors import UsageError
from launcher.kinds import ClusterKind
from launcher.settings.fields import Settings


def choose(
    given: dict[str, Any], *, has_cluster: bool = True, missing: tuple[ClusterKind, ...] = ()
) -> str:
    choice = backend_choice.for_training(
        Settings(**given), has_cluster=has_cluster, serves=lambda kind: kind not in missing
    )
    return str(choice)


@pytest.mark.parametrize(
    ("given", "missing", "told"),
    [
        ({}, (), "tfjob, since the training operator is installed"),
        ({}, (kinds.TFJOB,), "jobset, since the cluster has no TFJobs"),
        ({"spot": True}, (), "jobset, since a TFJob fails for good when a spot node"),
        ({"queue": "q"}, (), "jobset, since Kueue handles JobSets by default"),
        ({"spot": True}, (kinds.JOBSET,), "tfjob, since the cluster has no JobSets (a TFJob fails"),
        ({}, (kinds.TFJOB, kinds.JOBSET), "tfjob, since"),
    ],
)  # fmt: skip
def test_a_cluster_gets_the_kind_that_fits_and_is_there(
    given: dict[str, Any], missing: tuple[ClusterKind, ...], told: str
) -> None:
    """The TFJob where its operator is installed, unless pods come and go."""
    assert choose(given, missing=missing).startswith(f"--backend auto: {told}")


def test_without_a_cluster_it_runs_here() -> None:
    told = choose({"spot": True}, has_cluster=False)
    assert told == "--backend auto: local, since no cluster is configured"


def test_what_the_user_chose_needs_no_reason_and_no_question() -> None:
    choice = backend_choice.for_training(
        Settings(backend="jobset"), has_cluster=False, serves=lambda _: pytest.fail("asked")
    )
    assert (choice.kind, choice.why) == (kinds.JOBSET, "")
    with pytest.raises(UsageError, match="choose --backend tfjob or jobset"):
        backend_choice.in_cluster(backend_choice.Choice(kinds.LOCAL))


@pytest.mark.parametrize(
    ("asked", "profile", "has_cluster", "kind"),
    [
        ("auto", "auto", True, kinds.JOB),
        ("auto", "auto", False, kinds.LOCAL),
        ("auto", "local", True, kinds.LOCAL),
        ("job", "local", False, kinds.JOB),
    ],
)
def test_tasks_run_here_where_training_does(
    asked: str, profile: str, has_cluster: bool, kind: kinds.Kind
) -> None:
    settings = Settings(backend=profile)
    assert backend_choice.for_tasks(asked, settings, has_cluster=has_cluster).kind is kind
