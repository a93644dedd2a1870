"""What a cluster does to a job. Its weights end up the same, or `why` and `resume` mend it."""

import time
from typing import Any

import pytest

from job import storage as job_storage
from tests.cluster import controllers, training
from tests.cluster.command import Launcher
from tests.cluster.own_cluster import OwnCluster
from tests.cluster.waiting import await_condition
from tests.storage_fixtures import make_bucket

OUTAGE_S = 60.0


@pytest.fixture(scope="module")
def buckets(storage: str) -> Any:
    """One bucket for all runs of this module, reached by this process as well."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STORAGE_EMULATOR_HOST", storage)
        job_storage.reconnect(job_storage.Patience())
        yield make_bucket(storage)
    job_storage.reconnect(job_storage.Patience())


@pytest.fixture(scope="module")
def undisturbed(
    own_cluster: OwnCluster, make_launcher: Any, job_image: str, digits: str, buckets: str
) -> dict[str, Any]:
    """The weights of a job that nothing happens to."""
    own_cluster.create_namespace("undisturbed")
    launcher = make_launcher("undisturbed", image=job_image)
    run = f"{buckets}/runs/undisturbed"
    launcher(*training.submit("jobset", "undisturbed", digits, run))
    launcher("wait", "undisturbed", "--timeout", "6m", timeout_s=400)
    own_cluster.kubectl("delete", "namespace", "undisturbed", "--wait=false")
    return training.weights(run)


def test_jobset_goes_on_after_a_killed_container_and_a_deleted_pod(
    launcher: Launcher, own_cluster: OwnCluster, digits: str, buckets: str, undisturbed: Any
) -> None:
    """A JobSet starts again as a whole, twice, and ends with the bits of an undisturbed job."""
    run = f"{buckets}/runs/jobset"
    launcher(*training.submit("jobset", "hardy", digits, run))
    reached = training.await_checkpoint(run)
    own_cluster.kill_container(launcher.namespace, pod(own_cluster, launcher, 1))
    reached = training.await_checkpoint(run, after=reached)
    own_cluster.kubectl(
        "delete", "pod", pod(own_cluster, launcher, 0), "-n", launcher.namespace, "--wait=false"
    )
    training.await_checkpoint(run, after=reached)
    launcher("status", "hardy")
    launcher("wait", "hardy", "--timeout", "8m", timeout_s=500)
    assert launcher("list", "-o", "json").data[0]["status"] == "Succeeded"
    training.assert_same_bits(training.weights(run), undisturbed)


def test_tfjob_outlives_a_killed_container_its_operator_and_the_api_server(
    launcher: Launcher, own_cluster: OwnCluster, digits: str, buckets: str, undisturbed: Any
) -> None:
    """A worker is killed while the operator is away; then the API server is gone for a minute."""
    run = f"{buckets}/runs/tfjob"
    launcher(*training.submit("tfjob", "tough", digits, run))
    training.await_checkpoint(run)
    operator = controllers.OPERATOR
    where = ("-n", operator.namespace)
    own_cluster.kubectl("scale", "deployment", operator.deployment, "--replicas=0", *where)
    lost = uid(own_cluster, launcher, pod(own_cluster, launcher, 1))
    own_cluster.kill_container(launcher.namespace, pod(own_cluster, launcher, 1))
    own_cluster.kubectl("scale", "deployment", operator.deployment, "--replicas=1", *where)
    await_condition(
        "the operator has replaced the worker",
        lambda: uid(own_cluster, launcher, pod(own_cluster, launcher, 1)) not in ("", lost),
        timeout_s=120,
    )
    waiting = launcher.start("wait", "tough", "--timeout", "8m")
    await_condition("`wait` sees the job", waiting.text, timeout_s=30)
    own_cluster.stop_apiserver()
    time.sleep(OUTAGE_S)  # this is what is tested: it takes no less to see the job outlive it
    own_cluster.start_apiserver()
    own_cluster.await_heartbeat()
    own_cluster.await_ready()
    controllers.await_ready(own_cluster)
    assert "connection lost" in waiting.wait(500).text
    assert launcher("list", "-o", "json").data[0]["status"] == "Succeeded"
    training.assert_same_bits(training.weights(run), undisturbed)


def test_tfjob_fails_when_a_pod_is_moved_and_resume_mends_it(
    launcher: Launcher, own_cluster: OwnCluster, digits: str, buckets: str, undisturbed: Any
) -> None:
    """The operator counts a gracefully deleted pod as a failure; `why` says so."""
    run = f"{buckets}/runs/moved"
    launcher(*training.submit("tfjob", "moved", digits, run))
    training.await_checkpoint(run)
    own_cluster.kubectl("delete", "pod", "moved-worker-1", "-n", launcher.namespace)
    launcher("wait", "moved", "--timeout", "3m", code=None)
    why = launcher("why", "moved", "-o", "json").data
    assert why["situation"] == "tfjob-evicted", why
    launcher("why", "moved")
    launcher("resume", "moved")
    launcher("wait", "moved-r1", "--timeout", "6m", timeout_s=400)
    training.assert_same_bits(training.weights(run), undisturbed)


def pod(cluster: OwnCluster, launcher: Launcher, index: int) -> str:
    """Find the running pod of a worker."""

    def look() -> str:
        items = cluster.list("pods", "-n", launcher.namespace)
        running = [
            item["metadata"]["name"]
            for item in items
            if item["status"]["phase"] == "Running" and "deletionTimestamp" not in item["metadata"]
        ]
        mine = [name for name in running if f"worker-{index}" in name or f"-0-{index}-" in name]
        return mine[0] if mine else ""

    return await_condition(f"worker {index} runs", look, timeout_s=60)


def uid(cluster: OwnCluster, launcher: Launcher, name: str) -> str:
    """Tell a pod from another one of the same name; nothing if it is gone."""
    where = ("pod", name, "-n", launcher.namespace, "-o", "jsonpath={.metadata.uid}")
    return cluster.kubectl("get", *where, check=False)
