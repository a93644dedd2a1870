"""What is known of a job at one moment: plain data, made by `launcher/observe/reading.py`.

Everything that `launcher/diagnosis/rules.py` reasons about is here, so that reasoning is a pure
function and can be tested on recorded objects. Times are aware datetimes in UTC, sizes are in
bytes, CPUs in cores.
"""

import datetime
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from job.contract.worker_report import WorkerReport
from launcher.manifests import labels

if TYPE_CHECKING:
    from job.contract.follow_up_file import FollowUpStep

Time = datetime.datetime

MAIN_CONTAINER = "tensorflow"


@dataclass(frozen=True, kw_only=True)
class Condition:
    """One condition of an object's status."""

    type: str
    true: bool
    reason: str = ""
    message: str = ""
    since: Time | None = None


@dataclass(frozen=True, kw_only=True)
class Container:
    """A container and the last thing that happened to it."""

    name: str
    state: str = ""
    """waiting, running, terminated, or empty: the kubelet has not said anything yet."""
    reason: str = ""
    message: str = ""
    exit_code: int | None = None
    finished: Time | None = None
    started: Time | None = None
    restarts: int = 0
    last_exit_code: int | None = None
    last_reason: str = ""
    is_init: bool = False
    image: str = ""


@dataclass(frozen=True, kw_only=True)
class Pod:
    """One pod of the job. A pod that was replaced is another Pod with another uid."""

    name: str
    uid: str = ""
    replica: str
    """Its role and number, as in the name of its log: worker-0."""
    attempt: int = 0
    phase: str
    """Pending, Running, Succeeded, Failed or Unknown."""
    reason: str = ""
    message: str = ""
    node: str = ""
    created: Time | None = None
    deleting: bool = False
    conditions: tuple[Condition, ...] = ()
    containers: tuple[Container, ...] = ()
    resources: Mapping[str, float] = field(default_factory=dict)
    """What it asks for, by resource name, summed over its containers."""

    @property
    def main(self) -> Container | None:
        """The container that trains, or the only one."""
        own = [container for container in self.containers if not container.is_init]
        named = [container for container in own if container.name == MAIN_CONTAINER]
        found = named or own
        return found[0] if found else None

    @property
    def exit_code(self) -> int | None:
        """How the main container ended, if it has."""
        return self.main.exit_code if self.main and self.main.state == "terminated" else None

    @property
    def running(self) -> bool:
        """Whether the main container runs and is not asked to leave."""
        return (
            self.phase == "Running"
            and not self.deleting
            and self.main is not None
            and self.main.state == "running"
        )

    @property
    def done(self) -> bool:
        """Whether its work is done; the node tells of the container before it tells of the pod."""
        return self.phase == "Succeeded" or (self.phase == "Running" and self.exit_code == 0)

    def condition(self, kind: str) -> Condition | None:
        """Find a condition by its type."""
        return next((found for found in self.conditions if found.type == kind), None)


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something that a controller, the scheduler or a kubelet reported."""

    kind: str
    name: str
    """What it is about: for example Pod, mnist-worker-0."""
    warning: bool
    reason: str
    message: str
    count: int = 1
    last_seen: Time | None = None
    uid: str = ""
    """Of the very object that it is about."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """The object that runs the pods: a TFJob, a JobSet or a Job."""

    kind: str
    name: str
    namespace: str
    uid: str = ""
    component: str = "train"
    created: Time | None = None
    started: Time | None = None
    finished: Time | None = None
    deleting: bool = False
    suspended: bool = False
    workers: int = 1
    resources: Mapping[str, float] = field(default_factory=dict)
    """What one worker asks for."""
    limits: Mapping[str, str] = field(default_factory=dict)
    """Limits of the main container, as they are written."""
    image: str = ""
    selector: Mapping[str, str] = field(default_factory=dict)
    """Labels that a node must have."""
    node_terms: tuple[tuple[tuple[str, tuple[str, ...]], ...], ...] = ()
    """Sets of labels, each with the values it may have, of which a node must fulfil one; any node
    will do if there are none."""
    tolerates: tuple[str, ...] = ()
    """Keys of the taints that its pods tolerate; "*" is every one."""
    queue: str = ""
    service_account: str = ""
    run: str = ""
    conditions: tuple[Condition, ...] = ()
    restarts: int = 0
    counted_restarts: int | None = None
    """Those of them that the limit is about; None where it is about each task."""
    max_restarts: int | None = None
    submission: str = ""
    """What its processes know it by, and count their own restarts under."""
    failed_indexes: str = ""
    """Tasks of an Indexed Job that have failed for good, as 0,3-5."""
    deadline_s: int | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)

    def condition(self, kind: str) -> Condition | None:
        """Find a condition that is true, by its type."""
        return next((found for found in self.conditions if found.type == kind and found.true), None)

    @property
    def cancelled(self) -> bool:
        """Whether `launcher cancel` has stopped it."""
        return labels.CANCELLED in self.annotations

    @property
    def over(self) -> bool:
        """Whether nothing will happen any more."""
        return self.succeeded or self.failed is not None

    @property
    def succeeded(self) -> bool:
        """Whether it is over and well."""
        return any(self.condition(kind) for kind in ("Succeeded", "Completed", "Complete"))

    @property
    def failed(self) -> Condition | None:
        """The condition that says it is over and has failed."""
        return self.condition("Failed")


@dataclass(frozen=True, kw_only=True)
class Workload:
    """What Kueue knows of the job."""

    name: str
    conditions: tuple[Condition, ...] = ()
    active: bool = True
    position: int | None = None
    """Place in the queue, the first being 1; None if it cannot be known."""
    pending: int | None = None

    def condition(self, kind: str, *, true: bool = True) -> Condition | None:
        """Find a condition by type and status."""
        return next((c for c in self.conditions if c.type == kind and c.true == true), None)


@dataclass(frozen=True, kw_only=True)
class Queue:
    """The LocalQueue that the job names, and the ClusterQueue behind it."""

    name: str
    exists: bool = True
    cluster_queue: str = ""
    active: bool = True
    message: str = ""


@dataclass(frozen=True, kw_only=True)
class Node:
    """A node and what of it is taken."""

    name: str
    ready: bool = True
    cordoned: bool = False
    allocatable: Mapping[str, float] = field(default_factory=dict)
    used: Mapping[str, float] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    taints: tuple[str, ...] = ()

    @property
    def usable(self) -> bool:
        """Whether new pods can come at all."""
        return self.ready and not self.cordoned

    def free(self, resource: str) -> float:
        """How much of a resource is not taken."""
        return max(0.0, self.allocatable.get(resource, 0.0) - self.used.get(resource, 0.0))


@dataclass(frozen=True, kw_only=True)
class Holder:
    """Somebody's job or pod that holds a resource."""

    namespace: str
    name: str
    amount: float
    pods: int
    since: Time | None = None
    """When the first of its pods was made."""


@dataclass(frozen=True, kw_only=True)
class Capacity:
    """The nodes of the cluster and who holds their GPUs."""

    nodes: tuple[Node, ...] = ()
    gpu_holders: tuple[Holder, ...] = ()
    autoscaled: bool = False
    others_hidden: bool = False
    """Whether pods of other namespaces could not be seen: what they hold counts as free."""


@dataclass(frozen=True, kw_only=True)
class Gang:
    """The PodGroup of a scheduler that places all workers or none."""

    phase: str
    message: str = ""


@dataclass(frozen=True, kw_only=True)
class Progress:
    """The run's progress file."""

    state: str
    step: int
    total_steps: int
    time: Time
    examples_per_s: float = 0.0
    input_wait: float = 0.0
    loss: float | None = None
    step_s: float = 0.0
    """Usual seconds of a step; 0 if it is not known yet."""
    workers: tuple[WorkerReport, ...] = ()
    """By the workers' index; empty if they do not tell."""


@dataclass(frozen=True, kw_only=True)
class PredictionProgress:
    """How far all tasks of a prediction are together."""

    images: int
    """In finished parts."""
    total_images: int
    parts: int
    total_parts: int
    complete: bool = False
    """Whether the summary has been written."""


@dataclass(frozen=True, kw_only=True)
class State:
    """A job, everything around it, and the moment at which it was looked at."""

    job: Job
    now: Time
    pods: tuple[Pod, ...] = ()
    """The newest of every replica."""
    replaced: tuple[Pod, ...] = ()
    """Pods that are still there although a newer one does their work, the latest last."""
    events: tuple[Event, ...] = ()
    """Events about the job, its pods and what is between them, the latest last."""
    workload: Workload | None = None
    queue: Queue | None = None
    kueue_handles: bool | None = None
    """Whether Kueue has taken note of the job; None without a queue, or if nobody knows yet."""
    capacity: Capacity | None = None
    gang: Gang | None = None
    progress: Progress | None = None
    prediction: PredictionProgress | None = None
    logs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The last lines of pods' logs, by pod name."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """Final numbers of a run that is over."""
    checkpoint_step: int | None = None
    follow_ups: "tuple[FollowUpStep, ...]" = ()
    """What the first worker does after training."""
    unknown: tuple[str, ...] = ()
    """What could not be looked at, and why."""

    def events_of(self, *reasons: str) -> list[Event]:
        """Give the events of some reasons, the latest first."""
        return [event for event in reversed(self.events) if event.reason in reasons]

    def age_s(self, moment: Time | None) -> float:
        """Seconds since a moment; 0 if it is not known."""
        return max(0.0, (self.now - moment).total_seconds()) if moment else 0.0
