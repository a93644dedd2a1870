"""Looking at a job: everything that `launcher/observe/state.py` can hold, asked for at once.

A part that cannot be read (no permission, no metrics, a bucket that does not answer) is noted in
`State.unknown` and never keeps the rest from being shown.
"""

import dataclasses
import datetime
import difflib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, TypeVar

from job.contract.errors import JobError, StorageUnreachableError
from launcher import kinds
from launcher.api import resources
from launcher.api.daemon import start
from launcher.errors import DeniedError, LauncherError, NotFoundError
from launcher.kinds import ClusterKind
from launcher.observe import capacity, events, kueue, prediction_progress, reading, run_directory
from launcher.observe.run_facts import Restarts, RunFacts
from launcher.observe.state import MAIN_CONTAINER, Event, Gang, Job, Pod, State

if TYPE_CHECKING:
    from launcher.api.connection import Cluster

Object = dict[str, Any]
T = TypeVar("T")
D = TypeVar("D")

_LOG_TAIL = 200
_MOST_LOGS = 16
_STORAGE_S = 8.0


def find(cluster: "Cluster", name: str) -> tuple[ClusterKind, Object]:
    """Find a job of any kind by its name; gives what it is and the object.

    Raises:
        NotFoundError: There is none; the message names a similar one.
        DeniedError: None was found, and not every kind may be looked at.
    """
    tries = [start(cluster.find, kind.resource, name) for kind in kinds.IN_CLUSTER]
    for each in tries:
        each.exception()
    answers = zip(kinds.IN_CLUSTER, _results(tries), strict=True)
    found = [(kind, item) for kind, item in answers if item]
    if found:
        return found[0]
    denied = [error for each in tries if isinstance(error := each.exception(), DeniedError)]
    if denied:
        raise denied[0]
    unlike = [error for each in tries if (error := each.exception()) is not None]
    if unlike:
        raise unlike[0]
    raise NotFoundError(_not_found(cluster, name))


def _results(tries: list["Future[Object | None]"]) -> Iterator[Object | None]:
    for each in tries:
        yield None if each.exception() else each.result()


def _not_found(cluster: "Cluster", name: str) -> str:
    names = [job.name for job in list_jobs(cluster)]
    close = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean {close[0]!r}?" if close else "launcher list shows the jobs"
    return f"no job {name!r} in namespace {cluster.namespace!r}; {hint}"


def list_jobs(cluster: "Cluster", *, everywhere: bool = False, selector: str = "") -> list[Job]:
    """List the jobs of all kinds, the newest first; kinds that cannot be listed are left out.

    Raises:
        DeniedError: No kind may be listed.
    """
    found: list[Job] = []
    denied: list[LauncherError] = []
    for kind in kinds.IN_CLUSTER:
        try:
            items = cluster.list_all(kind.resource, everywhere=everywhere, labels=selector)
        except NotFoundError:
            continue
        except DeniedError as error:
            denied.append(error)
            continue
        found += [kind.read(item) for item in items if not item["metadata"].get("ownerReferences")]
    if len(denied) == len(kinds.IN_CLUSTER):
        raise denied[0]
    oldest = datetime.datetime.min.replace(tzinfo=datetime.UTC)
    return sorted(found, key=lambda job: job.created or oldest, reverse=True)


def with_pods(
    cluster: "Cluster", jobs: Sequence[Job], *, everywhere: bool = False
) -> list[tuple[Job, tuple[Pod, ...]]]:
    """Give each job with the newest pod of each of its replicas.

    Pods are told by the label of the controller that made them: jobs of others have no more than
    that, and what else runs for a job, as its TensorBoard, is no worker.

    Raises:
        LauncherError: Pods cannot be listed.
    """
    present = [kind for kind in kinds.IN_CLUSTER if any(kind is _kind(job) for job in jobs)]
    reads = [
        start(cluster.list_all, resources.PODS, labels=kind.pod_label, everywhere=everywhere)
        for kind in present
    ]
    pods: defaultdict[tuple[ClusterKind, str, str], list[Pod]] = defaultdict(list)
    for kind, read in zip(present, reads, strict=True):
        for item in read.result():
            metadata = item["metadata"]
            owner = kind, metadata["namespace"], metadata["labels"][kind.pod_label]
            pods[owner].append(reading.pod(item))
    return [
        (job, reading.newest(pods[_kind(job), job.namespace, job.name], job.workers)[0])
        for job in jobs
    ]


def _kind(job: Job) -> ClusterKind:
    return kinds.of_object(job.kind)


def observe(cluster: "Cluster", name: str, *, deep: bool) -> State:
    """Look at a job.

    Args:
        cluster: Where it runs.
        name: The job's name.
        deep: Whether to read logs and nodes as well, as `why` needs it.

    Raises:
        NotFoundError: There is no such job.
    """
    kind, item = find(cluster, name)
    return observe_object(cluster, kind, item, deep=deep)


def observe_object(cluster: "Cluster", kind: ClusterKind, item: Object, *, deep: bool) -> State:
    """Look at everything around a job that has been read already."""
    job = kind.read(item)
    parts = _Parts()
    pods_read = start(cluster.list_all, resources.PODS, labels=kind.pods_of(job))
    events_read = start(cluster.list_all, resources.EVENTS)
    run_read = start(_run_facts, job, kind)
    kueue_read = start(kueue.look, cluster, job)
    every = [reading.pod(pod) for pod in parts.take("pods", pods_read, [])]
    pods, replaced = reading.newest(every, job.workers)
    logs_read = {pod.name: start(_tail, cluster, pod) for pod in _telling(every, deep)}
    unplaced = deep and _lacks_node(job, pods)
    nodes_read = start(capacity.look, cluster) if unplaced else None
    gang_read = start(_gang, cluster, job) if unplaced else None
    raw_events = parts.take("events", events_read, [])
    queued = parts.take("the queue", kueue_read, kueue.Look())
    logs = {name: parts.take(f"the log of {name}", log, ()) for name, log in logs_read.items()}
    nodes = parts.take("the nodes", nodes_read, None) if nodes_read else None
    gang = parts.take("the pod group", gang_read, None) if gang_read else None
    facts = parts.take("the run directory", run_read, RunFacts(), within_s=_STORAGE_S)
    found = events.about(raw_events, kind, job, every, queued.workload)
    return State(
        job=_with_restarts(job, kind, facts.restarts, found),
        now=datetime.datetime.now(datetime.UTC),
        pods=pods,
        replaced=replaced,
        events=found,
        workload=queued.workload,
        queue=queued.queue,
        kueue_handles=queued.handles,
        capacity=nodes,
        gang=gang,
        progress=facts.progress,
        prediction=facts.prediction,
        logs=logs,
        metrics=facts.metrics,
        checkpoint_step=facts.checkpoint_step,
        follow_ups=facts.follow_ups,
        unknown=tuple(parts.unknown),
    )


def _with_restarts(
    job: Job, kind: ClusterKind, told: Restarts | None, found: tuple[Event, ...]
) -> Job:
    """Count the restarts of a job whose controller keeps no number: the job does, in its run.

    If that cannot be read, the controller's events are counted, as long as they are kept.
    """
    if not kind.restart_reason:
        return job
    if told is not None:
        total = told.counted + told.uncounted
        return dataclasses.replace(job, restarts=total, counted_restarts=told.counted)
    seen = sum(event.count for event in found if event.reason == kind.restart_reason)
    return dataclasses.replace(job, restarts=seen, counted_restarts=seen)


class _Parts:
    """Collects results, and notes what could not be had."""

    def __init__(self) -> None:
        self.unknown: list[str] = []

    def take(
        self, what: str, result: "Future[T]", otherwise: D, *, within_s: float | None = None
    ) -> T | D:
        try:
            return result.result(within_s)
        except StorageUnreachableError:
            self.unknown.append(f"{what}: storage does not answer from here")
        except (LauncherError, JobError) as error:
            self.unknown.append(f"{what}: {error}")
        except TimeoutError:
            self.unknown.append(f"{what}: no answer within {within_s:.0f} s")
        return otherwise


def _run_facts(job: Job, kind: ClusterKind) -> RunFacts:
    if job.run and job.component == "train":
        facts = run_directory.read(job.run)
        if kind.restart_reason and job.submission:
            counted = run_directory.restarts(job.run, job.submission)
            facts = dataclasses.replace(facts, restarts=counted)
        return facts
    if job.run and job.component == "predict":
        return RunFacts(prediction=prediction_progress.read(job.run))
    return RunFacts()


def _gang(cluster: "Cluster", job: Job) -> Gang | None:
    """Find the job's PodGroup, which the operator makes where it runs with a gang scheduler."""
    for resource in (resources.POD_GROUPS, resources.PLUGIN_POD_GROUPS):
        found = cluster.find(resource, job.name)
        if found is not None:
            return reading.gang(found)
    return None


def _lacks_node(job: Job, pods: Sequence[Pod]) -> bool:
    return not job.over and any(pod.phase == "Pending" and not pod.node for pod in pods)


def _telling(pods: Sequence[Pod], deep: bool) -> list[Pod]:
    """Choose the pods whose logs may tell something: those that ended badly first."""
    if not deep:
        return []
    talked = [
        pod
        for pod in pods
        if pod.main and (pod.main.state in ("running", "terminated") or pod.main.restarts)
    ]
    return sorted(talked, key=lambda pod: pod.exit_code in (None, 0))[:_MOST_LOGS]


def _tail(cluster: "Cluster", pod: Pod) -> tuple[str, ...]:
    """Read the last lines of a pod's log; of the container before, if this one has just begun."""
    container = pod.main.name if pod.main else MAIN_CONTAINER
    restarted = pod.main is not None and pod.main.restarts > 0 and pod.main.state != "terminated"
    lines = cluster.logs(pod.name, container, tail=_LOG_TAIL, previous=restarted)
    return tuple(line.partition(" ")[2] for line in lines)
