"""Kueue with room for one job: the second waits, knows its place, and starts after the first."""

from collections.abc import Iterator

import pytest

from tests.cluster import training
from tests.cluster.api import Cluster
from tests.cluster.command import Launcher
from tests.cluster.controllers import QUEUES
from tests.cluster.waiting import await_condition

KUEUE = "kueue.x-k8s.io/v1beta2"
QUEUE = "team"


@pytest.fixture
def queue(cluster: Cluster, namespace: str) -> Iterator[str]:
    """A LocalQueue whose quota is two workers of 900m: one job."""
    flavor = {"apiVersion": KUEUE, "kind": "ResourceFlavor", "metadata": {"name": namespace}}
    quotas = [
        {"name": "cpu", "nominalQuota": "1800m"},
        {"name": "memory", "nominalQuota": "100Gi"},
        {"name": "ephemeral-storage", "nominalQuota": "1Ti"},
    ]
    cluster_queue = {
        "apiVersion": KUEUE,
        "kind": "ClusterQueue",
        "metadata": {"name": namespace},
        "spec": {
            "namespaceSelector": {},
            "resourceGroups": [
                {
                    "coveredResources": [each["name"] for each in quotas],
                    "flavors": [{"name": namespace, "resources": quotas}],
                }
            ],
        },
    }
    local_queue = {
        "apiVersion": KUEUE,
        "kind": "LocalQueue",
        "metadata": {"name": QUEUE, "namespace": namespace},
        "spec": {"clusterQueue": namespace},
    }
    cluster.apply(flavor, cluster_queue, local_queue)
    await_condition(
        "the queue is active",
        lambda: cluster.condition("localqueue", QUEUE, "-n", namespace, kind="Active") == "True",
        timeout_s=60,
    )
    yield QUEUE
    # Only a queue without workloads goes away.
    cluster.kubectl("delete", "jobsets,tfjobs", "--all", "-n", namespace, "--wait")
    cluster.kubectl("delete", "clusterqueue,resourceflavor", namespace, "--wait=false")


@pytest.mark.parametrize("backend", ["jobset", "tfjob"])
def test_the_second_job_waits_for_the_first(
    backend: str, launcher: Launcher, queue: str, digits: str, bucket: str
) -> None:
    """`status` gives its place in the queue; it starts when the first ends, and succeeds."""

    def submit(name: str) -> None:
        run = f"{bucket}/{name}"
        launcher(*training.submit(backend, name, digits, run, "--queue", queue, steps=20))

    submit("first")
    launcher("wait", "first", "--for", "running", "--timeout", "2m")
    submit("second")

    def waits() -> str:
        why = launcher("why", "second", "-o", "json").data
        return str(why["sentence"]) if why["situation"] == "queued" else ""

    sentence = await_condition("the second job is queued", waits, timeout_s=60, every_s=1)
    assert f"second waits in queue {queue!r}" in sentence
    assert "as the first in line" in sentence
    launcher("status", "second")
    listed = {job["name"]: job["status"] for job in launcher("list", "-o", "json").data}
    assert listed["second"] == "Queued"
    launcher("wait", "first", "--timeout", "4m", timeout_s=300)
    launcher("wait", "second", "--timeout", "4m", timeout_s=300)
    launcher("list", "-o", "wide")


def test_check_knows_which_kinds_kueue_handles(
    launcher: Launcher, cluster: Cluster, queue: str, digits: str, bucket: str
) -> None:
    """With TFJobs switched off in Kueue's configuration, `check` fails before anything is sent."""
    job = training.submit("tfjob", "ignored", digits, f"{bucket}/run", "--queue", queue)[1:]
    assert f"queue {queue!r} takes TFJobs" in launcher("check", *job).out
    name = ("configmap", "kueue-manager-config", "-n", QUEUES.namespace)
    configuration = cluster.get(*name)
    try:
        file, text = next(iter(configuration["data"].items()))
        off = text.replace('- "kubeflow.org/tfjob"', '# - "kubeflow.org/tfjob"')
        cluster.apply(_only(configuration, {file: off}))
        refused = launcher("check", *job, code=1)
        assert "Kueue does not handle TFJobs here (kubeflow.org/tfjob is switched off)" in (
            refused.out
        )
        launcher("submit", *job, code=1)
        launcher("status", "ignored", code=3)
    finally:
        cluster.apply(_only(configuration, {file: text}))


def _only(config_map: dict[str, object], data: dict[str, str]) -> dict[str, object]:
    metadata = config_map["metadata"]
    assert isinstance(metadata, dict)
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": metadata["name"], "namespace": metadata["namespace"]},
        "data": data,
    }
