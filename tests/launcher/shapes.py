"""API objects in the shapes in which real servers, kubelets and controllers write them.

Field names and texts follow the API conventions, kube-scheduler, kubelet, Cluster Autoscaler,
training-operator v1.9, JobSet v0.12 and Kueue v0.19.
"""

import datetime
from typing import Any

from launcher.manifests import labels

Object = dict[str, Any]

NOW = datetime.datetime(2026, 11, 20, 12, 0, 0, tzinfo=datetime.UTC)
NAME = "mnist"
RUN = "gs://bucket/runs/mnist"
IMAGE = "registry.example/food101:0.1.0"


def ago(seconds: float) -> str:
    """A time before NOW as objects have it."""
    return (NOW - datetime.timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def condition(kind: str, *, status: str = "True", reason: str = "", message: str = "") -> Object:
    return {
        "type": kind, "status": status, "reason": reason, "message": message,
        "lastTransitionTime": ago(60), "lastUpdateTime": ago(60),
    }  # fmt: skip


def pod_spec(gpus: int = 8, **more: Any) -> Object:
    amounts = {"cpu": "12", "memory": "64Gi", "ephemeral-storage": "40Gi"}
    if gpus:
        amounts[labels.GPU] = str(gpus)
    return {
        "containers": [
            {"name": "tensorflow", "image": IMAGE, "args": [f"--run={RUN}"],
             "resources": {"limits": amounts, "requests": amounts}}
        ],
        "serviceAccountName": "trainer", **more,
    }  # fmt: skip


def tfjob(
    *conditions: Object, workers: int = 2, age: float = 600, queue: str = "", suspend: bool = False,
    spec: Object | None = None, **annotations: str,
) -> Object:  # fmt: skip
    own_labels = {labels.JOB: NAME, labels.COMPONENT: "train"}
    own_labels |= {labels.QUEUE: queue} if queue else {}
    return {
        "apiVersion": "kubeflow.org/v1", "kind": "TFJob",
        "metadata": {
            "name": NAME, "namespace": "team", "uid": "job-uid", "creationTimestamp": ago(age),
            "labels": own_labels, "annotations": {labels.RUN: RUN, **annotations},
        },
        "spec": {
            "runPolicy": {"backoffLimit": 20, "activeDeadlineSeconds": 604800, "suspend": suspend},
            "tfReplicaSpecs": {
                "Worker": {"replicas": workers, "template": {"spec": spec or pod_spec()}}
            },
        },
        "status": {"conditions": list(conditions), "startTime": ago(age - 1)},
    }  # fmt: skip


CREATED = condition("Created", reason="TFJobCreated", message="TFJob mnist is created.")
RUNNING = condition("Running", reason="TFJobRunning", message="TFJob team/mnist is running.")


def failed_tfjob(message: str = "", **more: Any) -> Object:
    text = message or "TFJob team/mnist has failed because 1 Worker replica(s) failed."
    failed = condition("Failed", reason="TFJobFailed", message=text)
    return tfjob(CREATED, condition("Running", status="False"), failed, **more)


def jobset(
    *conditions: Object, workers: int = 2, restarts: int = 0, max_restarts: int = 3,
    queue: str = "", suspend: bool = False, age: float = 600,
) -> Object:  # fmt: skip
    own_labels = {labels.JOB: NAME, labels.COMPONENT: "train"}
    own_labels |= {labels.QUEUE: queue} if queue else {}
    child = {
        "parallelism": workers, "completions": workers, "activeDeadlineSeconds": 604800,
        "template": {"spec": pod_spec()},
    }  # fmt: skip
    return {
        "apiVersion": "jobset.x-k8s.io/v1alpha2", "kind": "JobSet",
        "metadata": {
            "name": NAME, "namespace": "team", "uid": "job-uid", "creationTimestamp": ago(age),
            "labels": own_labels, "annotations": {labels.RUN: RUN},
        },
        "spec": {
            "suspend": suspend, "failurePolicy": {"maxRestarts": max_restarts},
            "replicatedJobs": [{"name": "worker", "replicas": 1, "template": {"spec": child}}],
        },
        "status": {"conditions": list(conditions), "restarts": restarts},
    }  # fmt: skip


def indexed_job(
    *conditions: Object, tasks: int = 4, failed: int = 0, failed_indexes: str = "",
    age: float = 600,
) -> Object:  # fmt: skip
    status: Object = {"conditions": list(conditions), "failed": failed, "startTime": ago(age - 1)}
    return {
        "apiVersion": "batch/v1", "kind": "Job",
        "metadata": {
            "name": NAME, "namespace": "team", "uid": "job-uid", "creationTimestamp": ago(age),
            "labels": {labels.JOB: NAME, labels.COMPONENT: "predict"},
            "annotations": {labels.RUN: RUN},
        },
        "spec": {
            "completionMode": "Indexed", "completions": tasks, "parallelism": tasks,
            "backoffLimitPerIndex": 6, "template": {"spec": pod_spec(0)},
        },
        "status": status | ({"failedIndexes": failed_indexes} if failed_indexes else {}),
    }  # fmt: skip


def task(index: int, letters: str = "abcde", **more: Any) -> Object:
    """A pod of an Indexed Job; a retry of the same index is another pod beside it."""
    made = pod(index, gpus=0, **more)
    made["metadata"] |= {
        "name": f"{NAME}-{index}-{letters}", "uid": f"pod-{index}-{letters}",
        "labels": {
            labels.JOB: NAME, "batch.kubernetes.io/job-name": NAME,
            "batch.kubernetes.io/job-completion-index": str(index),
        },
    }  # fmt: skip
    return made


def pod(
    index: int = 0, *, phase: str = "Running", node: str = "node-a", state: Object | None = None,
    conditions: tuple[Object, ...] = (), gpus: int = 8, age: float = 500,
    attempt: int | None = None, deleting: bool = False, restarts: int = 0,
    last: Object | None = None, reason: str = "",
    message: str = "", job: str = NAME,
) -> Object:  # fmt: skip
    own_labels = {
        labels.JOB: job, "training.kubeflow.org/job-name": job,
        "training.kubeflow.org/replica-type": "worker",
        "training.kubeflow.org/replica-index": str(index),
    }  # fmt: skip
    if attempt is not None:
        own_labels |= {
            "jobset.sigs.k8s.io/jobset-name": job, labels.RESTART_ATTEMPT: str(attempt),
        }  # fmt: skip
    metadata: Object = {
        "name": f"{job}-worker-{index}", "namespace": "team", "uid": f"pod-{job}-{index}",
        "creationTimestamp": ago(age), "labels": own_labels,
    }  # fmt: skip
    if deleting:
        metadata |= {"deletionTimestamp": ago(5), "deletionGracePeriodSeconds": 120}
    status: Object = {"phase": phase, "conditions": list(conditions)}
    status |= {"reason": reason} if reason else {}
    status |= {"message": message} if message else {}
    if state:
        status["containerStatuses"] = [
            {"name": "tensorflow", "image": IMAGE, "imageID": "", "ready": "running" in state,
             "restartCount": restarts, "state": state, "lastState": last or {}}
        ]  # fmt: skip
    spec = pod_spec(gpus) | ({"nodeName": node} if node else {})
    return {
        "apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec, "status": status,
    }  # fmt: skip


def running(age: float = 480) -> Object:
    return {"running": {"startedAt": ago(age)}}


def waiting(reason: str, message: str = "") -> Object:
    return {"waiting": {"reason": reason, "message": message}}


def ended(code: int, *, reason: str = "Error", message: str = "", at: float = 30) -> Object:
    return {
        "terminated": {
            "exitCode": code, "reason": "Completed" if code == 0 else reason, "message": message,
            "startedAt": ago(400), "finishedAt": ago(at), "containerID": "containerd://1",
        }
    }  # fmt: skip


def pending(index: int = 0, message: str = "", *, age: float = 300) -> Object:
    """A pod that the scheduler has found no node for."""
    told = condition("PodScheduled", status="False", reason="Unschedulable", message=message)
    return pod(index, phase="Pending", node="", conditions=(told,) if message else (), age=age)


def stuck(index: int, reason: str, message: str = "") -> Object:
    """A pod with a node whose container does not start."""
    return pod(index, phase="Pending", state=waiting(reason, message))


def disrupted(index: int, reason: str, message: str, **more: Any) -> Object:
    told = condition("DisruptionTarget", reason=reason, message=message)
    return pod(index, phase="Failed", conditions=(told,), **more)


def event(
    about: str, reason: str, message: str, *, kind: str = "Pod", warning: bool = True,
    count: int = 1, at: float = 60,
) -> Object:  # fmt: skip
    return {
        "apiVersion": "v1", "kind": "Event",
        "metadata": {
            "name": f"{about}.{abs(hash((reason, message, at))):x}", "namespace": "team",
            "creationTimestamp": ago(at),
        },
        "involvedObject": {"kind": kind, "name": about, "namespace": "team"},
        "type": "Warning" if warning else "Normal", "reason": reason, "message": message,
        "count": count, "firstTimestamp": ago(at + 60), "lastTimestamp": ago(at),
    }  # fmt: skip


def node(
    name: str, *, gpus: int = 8, ready: bool = True, taints: tuple[str, ...] = (),
    cordoned: bool = False, own_labels: dict[str, str] | None = None,
) -> Object:  # fmt: skip
    return {
        "apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": own_labels or {}},
        "spec": {
            "unschedulable": cordoned,
            "taints": [{"key": key, "value": "present", "effect": "NoSchedule"} for key in taints],
        },
        "status": {
            "conditions": [condition("Ready", status="True" if ready else "False")],
            "allocatable": {
                "cpu": "96", "memory": "700Gi", "pods": "110", "ephemeral-storage": "900Gi",
                labels.GPU: str(gpus),
            },
        },
    }  # fmt: skip


def workload(*conditions: Object, active: bool = True) -> Object:
    return {
        "apiVersion": "kueue.x-k8s.io/v1beta2", "kind": "Workload",
        "metadata": {
            "name": "jobset-mnist-5fcd2", "namespace": "team",
            "labels": {labels.WORKLOAD_OF: "job-uid"},
            "ownerReferences": [{"kind": "JobSet", "name": NAME, "uid": "job-uid"}],
        },
        "spec": {"queueName": "research", "active": active},
        "status": {"conditions": [*conditions]},
    }  # fmt: skip


def local_queue(*conditions: Object) -> Object:
    return {
        "apiVersion": "kueue.x-k8s.io/v1beta2", "kind": "LocalQueue",
        "metadata": {"name": "research", "namespace": "team"},
        "spec": {"clusterQueue": "gpus"}, "status": {"conditions": [*conditions]},
    }  # fmt: skip


def progress(*, state: str = "training", step: int = 1200, at: float = 5, **more: Any) -> Object:
    moment = (NOW - datetime.timedelta(seconds=at)).timestamp()
    return {
        "state": state, "step": step, "total_steps": 23671, "time": moment,
        "examples_per_s": 812.5, "input_wait": 0.02, "loss": 1.234, "step_s": 0.0788,
        **more,
    }  # fmt: skip


def pod_group(phase: str, message: str) -> Object:
    """A PodGroup as Volcano keeps it for a job of the training operator."""
    said = [condition("Unschedulable", reason="NotEnoughResources", message=message)]
    return {
        "apiVersion": "scheduling.volcano.sh/v1beta1", "kind": "PodGroup",
        "metadata": {"name": NAME, "namespace": "team"}, "spec": {"minMember": 2},
        "status": {"phase": phase, "conditions": said if message else []},
    }  # fmt: skip
