"""The deep check: a small pod as the job would run it, read and removed again."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from launcher import kinds
from launcher.api import resources
from launcher.api.connection import Cluster
from launcher.checks import deep as deep_check
from launcher.describe.spec import JobSpec
from launcher.manifests import labels
from launcher.manifests.render import render
from tests.launcher import shapes
from tests.launcher.fake_apiserver import FakeApiServer
from tests.launcher.spec_examples import train

Object = dict[str, Any]


@contextmanager
def kubelet(server: FakeApiServer, state: Object, *log: str) -> Iterator[list[Object]]:
    """Make the pod of whatever Job comes, in a given state; gives the Jobs."""
    jobs: list[Object] = []

    def admit(item: Object) -> None:
        if item["kind"] != "Job":
            return
        jobs.append(item)
        name = item["metadata"]["name"]
        over = "terminated" in state
        pod = shapes.pod(0, phase="Succeeded" if over else "Pending", state=state, job=name)
        pod["metadata"]["namespace"] = "vision"
        pod["metadata"]["labels"] = {"batch.kubernetes.io/job-name": name}
        threading.Timer(0.1, server.put, [pod]).start()
        server.log(pod["metadata"]["name"], *log)

    server.admission = admit
    yield jobs


def deep(cluster: Cluster, spec: JobSpec, **more: Any) -> list[tuple[str, str]]:
    cluster.namespace = spec.namespace
    checked = deep_check.run(cluster, spec, render(spec)[0], lambda _: None, **more)
    return [(result.level, result.what) for result in checked.results]


def said(about: str, ok: bool, text: str) -> str:
    return json.dumps({"about": about, "ok": ok, "text": text})


def test_the_pod_is_the_workers_but_small_and_anywhere() -> None:
    spec = train(kinds.TFJOB, gpus=0, workers=2, spot=True, service_account="trainer")
    worker = render(spec)[0]["spec"]["tfReplicaSpecs"]["Worker"]["template"]["spec"]
    job = deep_check.check_job(spec, render(spec)[0])
    pod = job["spec"]["template"]["spec"]
    assert pod["serviceAccountName"] == "trainer"
    assert pod["securityContext"] == worker["securityContext"]
    assert "nodeSelector" not in pod
    (container,) = pod["containers"]
    assert container["args"] == worker["containers"][0]["args"]
    assert container["command"] == ["python", "-m", "job.preflight"]
    assert labels.GPU not in container["resources"]["limits"]


def test_with_gpus_the_pod_has_those_of_a_worker() -> None:
    """It runs where a worker would, with its shared memory, but alone and with little else."""
    spec = train(kinds.TFJOB, gpus=16, accelerator="nvidia-l4", placement="zone")
    pod = deep_check.check_job(spec, render(spec)[0])["spec"]["template"]["spec"]
    assert pod["nodeSelector"] == {labels.ACCELERATOR: "nvidia-l4"}
    assert [each["key"] for each in pod["tolerations"]] == [labels.GPU]
    assert "affinity" not in pod
    (container,) = pod["containers"]
    limits = container["resources"]["limits"]
    assert limits == container["resources"]["requests"]
    assert (limits[labels.GPU], limits["cpu"], limits["memory"]) == ("8", "2", "16Gi")
    assert {"name": "GPUS_PER_WORKER", "value": "8"} in container["env"]


def test_what_the_pod_found_is_told_and_the_pod_removed(
    cluster: Cluster, server: FakeApiServer
) -> None:
    lines = [
        "Downloading something",
        said("data", True, "12 training images of 2 classes in 1 shards"),
        said("run", False, "gs://b/r: storage.objects.create is denied to trainer@x"),
    ]
    server.put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "vision"}})
    with kubelet(server, shapes.ended(77), *lines) as jobs:
        found = deep(cluster, train(kinds.TFJOB, gpus=16))
    assert found == [
        ("ok", "in the cluster: 12 training images of 2 classes in 1 shards"),
        ("warning", "1 shards are fewer than 2 workers: some share a shard"),
        ("failed", "in the cluster: gs://b/r: storage.objects.create is denied to trainer@x"),
    ]
    assert server.object(resources.JOBS, jobs[0]["metadata"]["name"], "vision") is None


def test_a_pod_that_cannot_start_says_why(cluster: Cluster, server: FakeApiServer) -> None:
    server.put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "vision"}})
    state = shapes.waiting("ErrImagePull", "manifest unknown")
    with kubelet(server, state) as jobs:
        ((level, text),) = deep(cluster, train(kinds.TFJOB))
    assert level == "failed"
    assert "no such image or tag" in text
    assert server.object(resources.JOBS, jobs[0]["metadata"]["name"], "vision") is None
