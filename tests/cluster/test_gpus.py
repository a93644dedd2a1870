"""GPUs that are not there, and GPUs that only the node's status tells of."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cluster import node, training
from tests.cluster.api import Cluster
from tests.cluster.command import Launcher
from tests.cluster.own_cluster import OwnCluster
from tests.cluster.waiting import await_condition

GPU = "nvidia.com/gpu"


def submit(name: str, data: str, *options: str) -> list[str]:
    """Type a job of two workers with four GPUs each."""
    return [
        *("submit", "--backend", "jobset", "--gpus", "8", "--workers", "2", "--name", name),
        *("--data", data, "--run", "gs://food101-nowhere/run", *options, "--", *training.FLAGS),
    ]


def test_gpus_that_no_node_has(idle_launcher: Launcher, digits: str) -> None:
    """Nothing is sent; sent all the same, the job waits and `why` gives the cause."""
    refused = idle_launcher(*submit("wish", digits), code=1)
    assert "room: it can never fit: no node has a GPU" in refused.err
    assert "use CPUs with --gpus 0" in refused.err
    idle_launcher("status", "wish", code=3)
    idle_launcher(*submit("wish", digits, "--skip-checks", "room,run"))

    def unschedulable() -> Any:
        why = idle_launcher("why", "wish", "-o", "json").data
        return why if why["situation"] == "unschedulable" else None

    why = await_condition("the scheduler has looked", unschedulable, timeout_s=60, every_s=1)
    assert f"no node that the job may use has any {GPU}" in why["sentence"]
    assert idle_launcher("list", "-o", "json").data[0]["status"] == "Pending"
    idle_launcher("why", "wish")
    idle_launcher("delete", "wish", "--wait")


@pytest.fixture
def eight_gpus(own_cluster: OwnCluster) -> Iterator[None]:
    """Eight GPUs that the node says it has."""
    _say_gpus(own_cluster, "8")
    yield
    _say_gpus(own_cluster, None)


def _say_gpus(cluster: Cluster, count: str | None) -> None:
    amounts = {"capacity": {GPU: count}, "allocatable": {GPU: count}}
    patch = json.dumps({"status": amounts})
    cluster.kubectl("patch", "node", node.NAME, "--subresource=status", "--type=merge", "-p", patch)


def test_gpu_workers_are_scheduled(
    idle_launcher: Launcher, own_cluster: OwnCluster, eight_gpus: None, digits: str
) -> None:
    """Each worker holds its GPUs, may run on tainted GPU nodes and has shared memory for NCCL."""
    idle_launcher(*submit("lucky", digits, "--shm", "256Mi", "--skip-checks", "run"))

    def scheduled() -> list[dict[str, Any]]:
        pods = own_cluster.list("pods", "-n", idle_launcher.namespace)
        return pods if len(pods) == 2 and all("nodeName" in p["spec"] for p in pods) else []

    pods = await_condition("both workers have a node", scheduled, timeout_s=60)
    for pod in pods:
        spec = pod["spec"]
        (container,) = spec["containers"]
        assert container["resources"]["limits"][GPU] == "4"
        assert container["resources"]["requests"] == container["resources"]["limits"]
        tolerated = [t for t in spec["tolerations"] if t.get("key") == GPU]
        assert tolerated
        assert tolerated[0].get("effect") in (None, "NoSchedule")
        (shm,) = [mount for mount in container["volumeMounts"] if mount["mountPath"] == "/dev/shm"]
        (volume,) = [volume for volume in spec["volumes"] if volume["name"] == shm["name"]]
        assert volume["emptyDir"] == {"medium": "Memory", "sizeLimit": "256Mi"}
    idle_launcher("delete", "lucky", "--wait")
