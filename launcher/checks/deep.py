"""Checking from inside: one small pod with the job's image, service account and flags.

It runs `python -m job.preflight`, which reads the dataset and the initial weights and tries to
write the run directory. If the job's workers have GPUs, the pod has those of one worker, on a node
where a worker would run, and tries them too. What it finds is read from its log, and it is deleted
again.
"""

import copy
import json
import time
import uuid
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from launcher import kinds
from launcher.api.backoff import Deadline
from launcher.checks.objects import worker_pod
from launcher.checks.preflight import Checked
from launcher.checks.result import Result, failed, ok, unknown, warning
from launcher.describe.spec import JobSpec, Resources
from launcher.diagnosis.rules import diagnose
from launcher.manifests import labels, quantities, units
from launcher.observe import gather
from launcher.observe.state import MAIN_CONTAINER, State

if TYPE_CHECKING:
    from launcher.api.connection import Cluster

Manifest = dict[str, Any]

WITHIN_S = 300.0
_EVERY_S = 1.0
_AMOUNTS = {"cpu": "500m", "memory": "1Gi", "ephemeral-storage": "1Gi"}
# Which node it is decides nothing of storage, and one that is full must not keep the check waiting.
_PLACEMENT = ("nodeSelector", "affinity", "tolerations", "topologySpreadConstraints",
              "priorityClassName", "schedulingGates")  # fmt: skip
# What keeps workers together means nothing to one pod.
_TOGETHER = ("affinity", "topologySpreadConstraints", "schedulingGates")
_GPU_MEMORY_BYTES = 8 * units.GIB
"""For TensorFlow and CUDA beside the shared memory, or as much as a worker has."""
_GPU_MILLICPUS = 2000
_REMEDIES = {
    "data": "let the job's service account read it (k8s/README.md, Workload Identity)",
    "run": "let the job's service account write it (k8s/README.md, Workload Identity)",
    "init_checkpoint": "correct --init_checkpoint, or let the job's service account read it",
    "port": "the image or a side container uses the port; free it",
    "shm": "give it more: --shm",
    "driver": "install the device plugin of the nodes' GPUs (k8s/README.md), or drain the node",
    "libraries": "use the image for GPUs: launcher image build --tensorflow gpu",
    "compiled": "use an image with all of CUDA's libraries: launcher image build --tensorflow gpu",
    "exchange": "look at the pod's log with --env NCCL_DEBUG=INFO, or choose another machine type",
}


def run(
    cluster: "Cluster",
    spec: JobSpec,
    manifest: Manifest,
    note: Callable[[str], None],
    *,
    within_s: float = WITHIN_S,
) -> Checked:
    """Start the pod, wait for what it says, and remove it.

    Raises:
        LauncherError: The Job cannot be created or followed.
    """
    made = cluster.create(check_job(spec, manifest))
    name = made["metadata"]["name"]
    note(f"deep check: job {name} runs as service account {spec.service_account or 'default'}")
    try:
        results = tuple(_follow(cluster, name, spec, Deadline(within_s)))
    finally:
        cluster.delete(kinds.JOB.resource, name, uid=made["metadata"]["uid"])
    return Checked(name="deep", results=results)


def check_job(spec: JobSpec, manifest: Manifest) -> Manifest:
    """Make the Job: the worker's pod, small, and with another program. Without GPUs it may run
    anywhere; with them it has a worker's. Pure but for its name, which is random.
    """
    pod = copy.deepcopy(worker_pod(manifest))
    left_out = _TOGETHER if spec.resources.gpus else _PLACEMENT
    pod_spec = {key: value for key, value in pod["spec"].items() if key not in left_out}
    amounts = _amounts(spec.resources)
    for container in pod_spec["containers"]:
        container["resources"] = {"requests": amounts, "limits": dict(amounts)}
        if container["name"] == MAIN_CONTAINER:
            container["command"] = ["python", "-m", "job.preflight"]
    name = f"{spec.name[:40].rstrip('-')}-check-{uuid.uuid4().hex[:5]}"
    own_labels = {**pod["metadata"]["labels"], labels.JOB: name, labels.COMPONENT: "check"}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": spec.namespace, "labels": own_labels},
        "spec": {
            "backoffLimit": 0,
            "activeDeadlineSeconds": round(WITHIN_S),
            "ttlSecondsAfterFinished": round(WITHIN_S),
            "template": {
                "metadata": {"labels": own_labels},
                "spec": {**pod_spec, "restartPolicy": "Never"},
            },
        },
    }


def _amounts(resources: Resources) -> dict[str, str]:
    if not resources.gpus:
        return dict(_AMOUNTS)
    memory = min(resources.memory_bytes, resources.shm_bytes + _GPU_MEMORY_BYTES)
    millicpus = min(resources.millicpus, _GPU_MILLICPUS)
    return _AMOUNTS | {
        "cpu": quantities.format_millicpus(millicpus),
        "memory": quantities.format_bytes(memory),
        labels.GPU: str(resources.gpus),
    }


def _follow(cluster: "Cluster", name: str, spec: JobSpec, deadline: Deadline) -> Iterator[Result]:
    while True:
        state = gather.observe(cluster, name, deep=False)
        ended = [pod for pod in state.pods if pod.exit_code is not None]
        if ended:
            lines = [line.partition(" ")[2] for line in cluster.logs(ended[0].name, MAIN_CONTAINER)]
            yield from _read(lines, spec, state)
            return
        finding = diagnose(state)
        if finding.level == "failed" or deadline.passed:
            how = failed if finding.level == "failed" else unknown
            yield how(finding.sentence, finding.mend[0] if finding.mend else "")
            return
        time.sleep(_EVERY_S)


def _read(lines: list[str], spec: JobSpec, state: State) -> Iterator[Result]:
    """Turn what the pod has printed into results; a crash without a word is one too."""
    found = [item for item in map(_parse, lines) if item]
    for item in found:
        text = f"in the cluster: {item['text']}"
        yield ok(text) if item["ok"] else failed(text, _REMEDIES.get(item["about"], ""))
        shards = _shards(item)
        if shards is not None and shards < spec.workers:
            yield warning(
                f"{shards} shards are fewer than {spec.workers} workers: some share a shard",
                "make the dataset with smaller shards: make-tfrecords -- --shard_size_mb=16",
            )
    if not found:
        last = next((line for line in reversed(lines) if line.strip()), "")
        yield failed(last or diagnose(state).sentence, "use an image of this version")


def _parse(line: str) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) and {"about", "ok", "text"} <= found.keys() else {}


def _shards(item: dict[str, Any]) -> int | None:
    """Read the number of shards from what `job.preflight` says of the data."""
    words = str(item["text"]).split()
    if item["about"] != "data" or not item["ok"] or words[-1:] != ["shards"]:
        return None
    return int(words[-2])
