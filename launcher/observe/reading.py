"""API objects -> `launcher/observe/state.py`: the only place that knows where a field stands.

All functions are pure. Fields that are missing are normal: a new pod has no status at all.
"""

import datetime
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from job.contract.worker_report import WorkerReport
from launcher.manifests import labels, quantities
from launcher.observe.state import (
    MAIN_CONTAINER,
    Condition,
    Container,
    Event,
    Gang,
    Job,
    Pod,
    Progress,
    Queue,
    Time,
    Workload,
)

Object = dict[str, Any]

_LONG_AGO = datetime.datetime.min.replace(tzinfo=datetime.UTC)

_INDEX_LABELS = (
    "training.kubeflow.org/replica-index",
    "batch.kubernetes.io/job-completion-index",
)
_ROLE_LABELS = ("training.kubeflow.org/replica-type", "jobset.sigs.k8s.io/replicatedjob-name")


def time(text: str | None) -> Time | None:
    """Read RFC 3339 as the API writes it."""
    return datetime.datetime.fromisoformat(text) if text else None


def conditions(status: Object) -> tuple[Condition, ...]:
    """Read the conditions of any status."""
    return tuple(
        Condition(
            type=str(item.get("type", "")),
            true=item.get("status") == "True",
            reason=item.get("reason") or "",
            message=item.get("message") or "",
            since=time(item.get("lastTransitionTime")),
        )
        for item in status.get("conditions") or []
    )


def pod(item: Object) -> Pod:
    """Read a pod."""
    metadata, spec, status = item["metadata"], item.get("spec") or {}, item.get("status") or {}
    own_labels = metadata.get("labels") or {}
    index = next((own_labels[key] for key in _INDEX_LABELS if key in own_labels), "0")
    role = next((own_labels[key] for key in _ROLE_LABELS if key in own_labels), "worker")
    attempt = own_labels.get(labels.RESTART_ATTEMPT, "0")
    inits = {container["name"] for container in spec.get("initContainers") or []}
    statuses = (status.get("initContainerStatuses") or []) + (status.get("containerStatuses") or [])
    return Pod(
        name=metadata["name"],
        uid=metadata.get("uid", ""),
        replica=f"{role.lower()}-{index}",
        attempt=int(attempt) if attempt.isdigit() else 0,
        phase=status.get("phase", "Pending"),
        reason=status.get("reason") or "",
        message=status.get("message") or "",
        node=spec.get("nodeName") or "",
        created=time(metadata.get("creationTimestamp")),
        deleting="deletionTimestamp" in metadata,
        conditions=conditions(status),
        containers=tuple(_container(each, each.get("name") in inits) for each in statuses),
        resources=requests(spec),
    )


def newest(pods: Iterable[Pod], workers: int) -> tuple[tuple[Pod, ...], tuple[Pod, ...]]:
    """Tell the newest pod of every replica from those that it has replaced.

    A Job leaves the pods that failed where they are, beside those that do their work again.

    Args:
        pods: Pods of one job.
        workers: How many it has at a time.
    """
    ordered = sorted(pods, key=lambda pod: (pod.attempt, pod.created or _LONG_AGO))
    latest = {pod.replica: pod for pod in ordered}
    if len(latest) == 1 < workers:  # Of a Job without indexes: none takes another's place.
        return tuple(ordered), ()
    current = sorted(latest.values(), key=lambda pod: (len(pod.replica), pod.replica))
    return tuple(current), tuple(pod for pod in ordered if latest[pod.replica] is not pod)


def _container(item: Object, is_init: bool) -> Container:
    state: Object = item.get("state") or {}
    kind = next(iter(state), "")
    detail = state.get(kind) or {}
    last = (item.get("lastState") or {}).get("terminated") or {}
    return Container(
        name=item.get("name", ""),
        state=kind,
        reason=detail.get("reason") or "",
        message=detail.get("message") or "",
        exit_code=detail.get("exitCode"),
        started=time(detail.get("startedAt")),
        finished=time(detail.get("finishedAt")),
        restarts=item.get("restartCount", 0),
        last_exit_code=last.get("exitCode"),
        last_reason=last.get("reason") or "",
        is_init=is_init,
        image=item.get("image", ""),
    )


def requests(pod_spec: Object) -> dict[str, float]:
    """Sum what the containers of a pod ask for (limits count where requests are missing)."""
    total: defaultdict[str, float] = defaultdict(float)
    for container in pod_spec.get("containers") or []:
        given = container.get("resources") or {}
        asked = {**(given.get("limits") or {}), **(given.get("requests") or {})}
        for name, amount in asked.items():
            total[name] += quantities.parse(amount)
    return dict(total)


def event(item: Object) -> Event:
    """Read an event."""
    about = item.get("involvedObject") or {}
    series = item.get("series") or {}
    moments = (
        series.get("lastObservedTime"), item.get("lastTimestamp"), item.get("eventTime"),
        item["metadata"].get("creationTimestamp"),
    )  # fmt: skip
    return Event(
        kind=about.get("kind", ""),
        name=about.get("name", ""),
        warning=item.get("type") == "Warning",
        reason=item.get("reason") or "",
        message=" ".join((item.get("message") or "").split()),
        count=series.get("count") or item.get("count") or 1,
        last_seen=time(next(filter(None, moments), None)),
        uid=about.get("uid") or "",
    )


def job(item: Object, *, pod_spec: Object, **more: Any) -> Job:
    """Read what TFJobs, JobSets and Jobs have in common; `more` is what differs.

    Args:
        item: The object.
        pod_spec: The spec of its workers' pods.
        more: Further fields of `Job`.
    """
    from job.contract.lease import SUBMISSION_VARIABLE  # with what it costs to read files

    metadata, status = item["metadata"], item.get("status") or {}
    own_labels = metadata.get("labels") or {}
    annotations = metadata.get("annotations") or {}
    containers = pod_spec.get("containers") or [{}]
    main = next((each for each in containers if each.get("name") == MAIN_CONTAINER), containers[0])
    return Job(
        kind=item["kind"],
        name=metadata["name"],
        namespace=metadata.get("namespace", ""),
        uid=metadata.get("uid", ""),
        component=own_labels.get(labels.COMPONENT, "train"),
        created=time(metadata.get("creationTimestamp")),
        started=time(status.get("startTime")),
        deleting="deletionTimestamp" in metadata,
        resources=requests(pod_spec),
        limits={k: str(v) for k, v in ((main.get("resources") or {}).get("limits") or {}).items()},
        image=main.get("image", ""),
        selector=pod_spec.get("nodeSelector") or {},
        node_terms=_node_terms(pod_spec),
        tolerates=tuple(t.get("key") or "*" for t in pod_spec.get("tolerations") or []),
        queue=own_labels.get(labels.QUEUE, ""),
        service_account=pod_spec.get("serviceAccountName", ""),
        run=annotations.get(labels.RUN) or _flag(main.get("args") or [], "run"),
        submission=_variable(main, SUBMISSION_VARIABLE),
        conditions=conditions(status),
        labels=own_labels,
        annotations=annotations,
        **more,
    )


def variable(pod_spec: Object, name: str) -> str:
    """Give the value of an environment variable of the main container; empty if it has none."""
    containers = pod_spec.get("containers") or []
    named = (each for each in containers if each.get("name") == MAIN_CONTAINER)
    main: Object = next(named, {})
    values = (each.get("value") for each in main.get("env") or [] if each.get("name") == name)
    return next(filter(None, values), "")


def _flag(args: list[str], name: str) -> str:
    given = (arg.partition("=")[2] for arg in args if arg.startswith(f"--{name}="))
    return next(given, "")


def _node_terms(pod_spec: Object) -> tuple[tuple[tuple[str, tuple[str, ...]], ...], ...]:
    """Read which labels nodes must have by affinity, as the launcher writes it: by values alone."""
    affinity = (pod_spec.get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or {}
    return tuple(
        tuple(
            (each["key"], tuple(each.get("values") or ()))
            for each in term.get("matchExpressions") or []
            if each.get("operator") == "In"
        )
        for term in required.get("nodeSelectorTerms") or []
    )


def _variable(container: Object, name: str) -> str:
    """Give the value of a variable that is written there; empty if it comes from elsewhere."""
    values = (each.get("value") for each in container.get("env") or [] if each["name"] == name)
    return next(values, None) or ""


def workload(item: Object) -> Workload:
    """Read Kueue's view of a job."""
    return Workload(
        name=item["metadata"]["name"],
        conditions=conditions(item.get("status") or {}),
        active=(item.get("spec") or {}).get("active", True),
    )


def queue(item: Object) -> Queue:
    """Read a LocalQueue."""
    active = next((c for c in conditions(item.get("status") or {}) if c.type == "Active"), None)
    return Queue(
        name=item["metadata"]["name"],
        cluster_queue=(item.get("spec") or {}).get("clusterQueue", ""),
        active=active is None or active.true,
        message=active.message if active else "",
    )


def gang(item: Object) -> Gang:
    """Read a PodGroup of Volcano or of scheduler-plugins."""
    status = item.get("status") or {}
    said = [each.message for each in conditions(status) if each.true and each.message]
    return Gang(phase=status.get("phase") or "Pending", message=said[-1] if said else "")


def progress(content: bytes) -> Progress | None:
    """Read a run's progress file; None if it is not one (half written, or another version)."""
    from job.contract import progress_file, schema
    from job.contract.errors import DataError

    try:
        found = schema.read(
            content, progress_file.RunProgress, what="progress", max_bytes=progress_file.MAX_BYTES
        )
    except DataError:
        return None
    return Progress(
        state=found.state,
        step=found.step,
        total_steps=found.total_steps,
        time=datetime.datetime.fromtimestamp(found.time, datetime.UTC),
        examples_per_s=found.examples_per_s or 0.0,
        input_wait=found.input_wait or 0.0,
        loss=found.loss,
        step_s=found.step_s or 0.0,
        workers=tuple(WorkerReport(**vars(worker)) for worker in found.workers),
    )
