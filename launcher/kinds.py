"""What a job can run as, and everything in which these kinds differ.

A training job is a TFJob, a JobSet or processes of this machine; a job of independent tasks is a
plain Job or such processes. Whoever needs to know a difference asks a `Kind` for it: no other
module compares a kind's name. To add a kind, add it here, read its objects in
`launcher/observe/reading_jobs.py` and fill its skeleton in `launcher/manifests/render.py`.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from launcher.api import resources
from launcher.api.resources import Resource
from launcher.errors import UsageError

if TYPE_CHECKING:
    from launcher.observe.state import Job

Object = dict[str, Any]

_TASKS = ("make-tfrecords", "evaluate", "export", "predict")
_RANDOM_SUFFIX = "-12345"
"""A pod of a Job is called <job>-<index>-<5 random letters>."""


@dataclass(frozen=True, kw_only=True)
class Kind:
    """What runs a job."""

    name: str
    """As --backend names it."""
    phrase: str
    """What a job becomes, in a sentence: "as a TFJob"."""
    components: tuple[str, ...]
    """What it can run, as `launcher.describe.spec.MODULES` names it."""

    pod_name: str = ""
    """How pods are named behind the job's name, with {index}; random letters as 12345."""

    def pod_suffix(self, index: int) -> str:
        """Give what the name of the worker `index` adds to the job's name."""
        return self.pod_name.format(index=index)

    def check_runs(self, component: str) -> None:
        """Check that this kind can run a component.

        Raises:
            UsageError: It cannot.
        """
        if component not in self.components:
            raise UsageError(f"{component} cannot run on the {self.name} backend")


@dataclass(frozen=True, kw_only=True)
class Controller:
    """The program in the cluster that makes pods of a kind's objects."""

    name: str
    """In a sentence: "the training operator"."""
    deployment: str = ""
    """The Deployment that it runs as; empty where it is a part of Kubernetes."""


@dataclass(frozen=True, kw_only=True)
class ClusterKind(Kind):
    """A kind of object in a cluster.

    Attributes:
        resource: Where its objects live.
        pod_label: The label by which the controller marks pods with the name of their job.
        read: Reads an object.
        pod_spec: Finds the spec of the workers' pods in an object.
        suspend_path: Where in an object it stands whether the job may run.
        controller: What makes its pods.
        queue_framework: How Kueue's configuration calls it.
        queued_by_default: Whether Kueue takes its objects without being told to.
        made: What it makes for a job, as (kind, pattern of what stands behind the job's name);
            none where such a name could be another job's as well.
        restart_reason: The reason of the event by which the controller tells of a restart, where
            it counts none itself and deletes the pod that ended; empty where the status counts.
        fails_on_eviction: Whether the whole job fails if one pod is moved off its node
            (kubeflow/trainer issues 1560, 2124).
    """

    resource: Resource
    pod_label: str
    read: "Callable[[Object], Job]"
    pod_spec: Callable[[Object], Object]
    suspend_path: tuple[str, ...]
    controller: Controller
    queue_framework: str
    queued_by_default: bool
    made: tuple[tuple[str, str], ...] = ()
    restart_reason: str = ""
    fails_on_eviction: bool = False

    @property
    def plural(self) -> str:
        """Its objects in a sentence: TFJobs."""
        return f"{self.resource.kind}s"

    def makes(self, job: str, what: str, name: str) -> bool:
        """Whether the controller gives that name to an object that it makes for a job.

        Another job may well begin with the same letters: `first-r1` is not of `first`.
        """
        suffix = dict(self.made).get(what)
        return suffix is not None and re.fullmatch(re.escape(job) + suffix, name) is not None

    def pods_of(self, job: "Job") -> str:
        """Give the selector of a job's pods."""
        return f"{self.pod_label}={job.name}"

    def suspension(self, suspended: bool) -> Object:
        """Make the patch that suspends a job or lets it run."""
        patch: Any = suspended
        for key in reversed(self.suspend_path):
            patch = {key: patch}
        return dict(patch)


# Most commands name kinds, few read objects: the readers are imported by those alone.


def _tfjob(item: Object) -> "Job":
    from launcher.observe import reading_jobs

    return reading_jobs.tfjob(item)


def _tfjob_pod_spec(item: Object) -> Object:
    from launcher.observe import reading_jobs

    return reading_jobs.tfjob_pod_spec(item)


def _jobset(item: Object) -> "Job":
    from launcher.observe import reading_jobs

    return reading_jobs.jobset(item)


def _jobset_pod_spec(item: Object) -> Object:
    from launcher.observe import reading_jobs

    return reading_jobs.jobset_pod_spec(item)


def _job(item: Object) -> "Job":
    from launcher.observe import reading_jobs

    return reading_jobs.job(item)


def _job_pod_spec(item: Object) -> Object:
    from launcher.observe import reading_jobs

    return reading_jobs.job_pod_spec(item)


TFJOB = ClusterKind(
    name="tfjob",
    phrase="a TFJob",
    components=("train",),
    resource=resources.TFJOBS,
    pod_label="training.kubeflow.org/job-name",
    pod_name="-worker-{index}",
    read=_tfjob,
    pod_spec=_tfjob_pod_spec,
    suspend_path=("spec", "runPolicy", "suspend"),
    controller=Controller(name="the training operator", deployment="training-operator"),
    queue_framework="kubeflow.org/tfjob",
    queued_by_default=False,  # Since Kueue 0.19.
    made=(("Pod", r"-worker-\d+"), ("Service", r"-worker-\d+")),
    restart_reason="TFJobRestarting",
    fails_on_eviction=True,
)
"""Training as a TFJob of Kubeflow's training-operator (v1.9)."""

JOBSET = ClusterKind(
    name="jobset",
    phrase="a JobSet",
    components=("train",),
    resource=resources.JOBSETS,
    pod_label="jobset.sigs.k8s.io/jobset-name",
    pod_name="-worker-0-{index}" + _RANDOM_SUFFIX,
    read=_jobset,
    pod_spec=_jobset_pod_spec,
    suspend_path=("spec", "suspend"),
    controller=Controller(name="the JobSet controller", deployment="jobset-controller-manager"),
    queue_framework="jobset.x-k8s.io/jobset",
    queued_by_default=True,
    made=(("Job", "-worker-0"), ("Pod", r"-worker-0-\d+-[a-z0-9]{5}")),
)
"""Training as a JobSet: all workers start, fail and restart together."""

JOB = ClusterKind(
    name="job",
    phrase="a Job",
    components=_TASKS,
    resource=resources.JOBS,
    pod_label="batch.kubernetes.io/job-name",
    pod_name="-{index}" + _RANDOM_SUFFIX,
    read=_job,
    pod_spec=_job_pod_spec,
    suspend_path=("spec", "suspend"),
    controller=Controller(name="the Job controller"),
    queue_framework="batch/job",
    queued_by_default=True,
)
"""Independent tasks as a plain Kubernetes Job: records, evaluation, export, prediction."""

LOCAL = Kind(name="local", phrase="local processes", components=("train", *_TASKS))
"""Processes of this machine."""

IN_CLUSTER = (TFJOB, JOBSET, JOB)
"""The kinds of objects, in the order in which a name is looked up."""

TRAINING = (TFJOB, JOBSET)
"""The kinds of objects that train, the product's default first."""

_ALL: tuple[Kind, ...] = (*IN_CLUSTER, LOCAL)


def named(name: str) -> Kind:
    """Find a kind by its name as a backend.

    Raises:
        UsageError: There is none of that name.
    """
    for kind in _ALL:
        if kind.name == name:
            return kind
    raise UsageError(f"there is no backend {name!r}; known: {', '.join(k.name for k in _ALL)}")


def of_object(kind: str) -> ClusterKind:
    """Find a kind by the `kind:` of its objects.

    Raises:
        KeyError: The launcher runs nothing as such objects.
    """
    return {each.resource.kind: each for each in IN_CLUSTER}[kind]


def alternative(kind: Kind) -> ClusterKind | None:
    """Give the other kind of object that can run the same."""
    others = (other for other in IN_CLUSTER if other is not kind)
    return next((other for other in others if other.components == kind.components), None)
