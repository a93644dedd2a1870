"""Submitting: once, whole or not at all."""

import copy
from typing import Any

import pytest

from launcher.api import resources
from launcher.api.connection import Cluster
from launcher.api.errors import RefusedError
from launcher.errors import ConflictError
from launcher.manifests import labels
from launcher.sending import submission
from tests.launcher.fake_apiserver import FakeApiServer

Object = dict[str, Any]


def tfjob(name: str = "mnist", *, workers: int = 2, spec_hash: str = "one") -> Object:
    return {
        "apiVersion": "kubeflow.org/v1",
        "kind": "TFJob",
        "metadata": {
            "name": name, "namespace": "team", "labels": {labels.JOB: name},
            "annotations": {labels.SPEC_HASH: spec_hash},
        },
        "spec": {
            "tfReplicaSpecs": {
                "Worker": {
                    "replicas": workers,
                    "template": {
                        "spec": {"containers": [{"name": "tensorflow", "args": ["--run=gs://b/r"]}]}
                    },
                }
            }
        },
    }  # fmt: skip


def companion() -> Object:
    return {
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
        "metadata": {"name": "mnist", "namespace": "team"}, "spec": {"minAvailable": 2},
    }  # fmt: skip


def submit(
    cluster: Cluster,
    manifests: list[Object],
    *,
    dry_run: bool = False,
    said: list[str] | None = None,
) -> list[Object]:
    warn = (said if said is not None else []).append
    return submission.submit(cluster, manifests, dry_run=dry_run, warn=warn)


def test_a_job_owns_its_companions(cluster: Cluster, server: FakeApiServer) -> None:
    """What belongs to a job goes when the job goes."""
    job, extra = submit(cluster, [tfjob(), companion()])
    assert extra["metadata"]["ownerReferences"][0]["uid"] == job["metadata"]["uid"]
    cluster.delete(resources.TFJOBS, "mnist")
    assert server.object(resources.DISRUPTION_BUDGETS, "mnist") is None


def test_submitting_twice_sends_nothing(cluster: Cluster, server: FakeApiServer) -> None:
    (first,) = submit(cluster, [tfjob()])
    (second,) = submit(cluster, [tfjob()])
    assert second["metadata"]["uid"] == first["metadata"]["uid"]
    assert sum(request.startswith("POST") for request in server.requests) == 1


def test_another_job_of_that_name_is_refused_with_the_difference(cluster: Cluster) -> None:
    submit(cluster, [tfjob()])
    with pytest.raises(ConflictError) as caught:
        submit(cluster, [tfjob(workers=4, spec_hash="two")])
    assert "tfReplicaSpecs.Worker.replicas: 2 -> 4" in str(caught.value)
    assert "launcher delete mnist" in str(caught.value)


def test_a_create_that_arrived_although_its_answer_was_lost_is_the_same_job(
    cluster: Cluster, server: FakeApiServer
) -> None:
    """The retry of a lost answer meets the object that the first try made."""
    server.put(tfjob())
    server.fail("GET", "/tfjobs/mnist", 404, "tfjobs not found", details={"name": "mnist"})
    (found,) = submit(cluster, [tfjob()])
    assert found["metadata"]["uid"]


def test_a_half_made_submission_is_taken_back(cluster: Cluster, server: FakeApiServer) -> None:
    server.fail(
        "PATCH", "/poddisruptionbudgets", 422, "data: Invalid value", reason="Invalid", times=9
    )
    with pytest.raises(RefusedError):
        submit(cluster, [tfjob(), companion()])
    assert server.object(resources.TFJOBS, "mnist") is None


def test_a_companion_that_its_user_may_not_make_is_done_without(
    cluster: Cluster, server: FakeApiServer
) -> None:
    """A Role of an earlier version does not know of companions: the job runs as it did."""
    server.deny("patch", "poddisruptionbudgets")
    said: list[str] = []
    (job,) = submit(cluster, [tfjob(), companion()], said=said)
    assert job["kind"] == "TFJob"
    (text,) = said
    assert "may not patch poddisruptionbudgets" in text
    assert "a drain of a node will not wait for the job; launcher setup --only roles" in text


def test_the_companion_of_an_earlier_job_of_the_name_is_taken_over(
    cluster: Cluster, server: FakeApiServer
) -> None:
    """It may still be there: the cluster removes what a deleted job owned in its own time."""
    leftover = companion()
    leftover["metadata"]["ownerReferences"] = [{"uid": "gone", "name": "mnist"}]
    server.put(leftover)
    job, budget = submit(cluster, [tfjob(), companion()])
    assert job["metadata"]["uid"] in [o["uid"] for o in budget["metadata"]["ownerReferences"]]


def test_a_dry_run_sends_everything_and_keeps_nothing(
    cluster: Cluster, server: FakeApiServer
) -> None:
    answered = submit(cluster, [tfjob(), companion()], dry_run=True)
    assert len(answered) == 2
    assert server.object(resources.TFJOBS, "mnist") is None
    assert server.object(resources.DISRUPTION_BUDGETS, "mnist") is None


def test_a_job_made_by_hand_is_not_taken_for_ours(cluster: Cluster, server: FakeApiServer) -> None:
    by_hand = copy.deepcopy(tfjob())
    by_hand["metadata"]["annotations"] = {}
    server.put(by_hand)
    with pytest.raises(ConflictError, match="not made by the launcher"):
        submit(cluster, [tfjob()])
