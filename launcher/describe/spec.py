"""JobSpec: one job, completely described, before it becomes a manifest or local processes.

Everything in it has been checked: a JobSpec that exists can be rendered.
"""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from job.contract import environment
from job.contract.lease import SUBMISSION_VARIABLE
from launcher.describe import clouds
from launcher.describe.volumes import Volume
from launcher.errors import UsageError
from launcher.kinds import ClusterKind, Kind
from launcher.manifests import labels, names

MODULES = {
    "train": "job.train",
    "make-tfrecords": "job.make_tfrecords",
    "evaluate": "job.evaluate",
    "export": "job.export",
    "predict": "job.predict",
}
"""The kinds of jobs, and the module that each runs."""

RESERVED_ENV = (
    "TF_CONFIG", "JOB_COMPLETION_INDEX", "JOBSET_NAME", "REPLICATED_JOB_NAME",
    "JOBSET_RESTART_ATTEMPT", "NUM_WORKERS", "HOME", "USER", "PYTHONUNBUFFERED",
    "WORKER_INDEX", environment.GPUS_PER_WORKER, environment.MAX_RESTARTS,
    environment.MAX_DURATION_S, SUBMISSION_VARIABLE, environment.SUBMITTER,
)  # fmt: skip

PLACEMENTS = ("any", "prefer-zone", "zone")
KUEUE_PLACEMENT = "kueue:"
KUEUE_PREFERRED_PLACEMENT = "kueue-preferred:"

_TOLERATION_KEYS = ("key", "operator", "value", "effect", "tolerationSeconds")


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What one worker gets; requests equal limits."""

    gpus: int
    millicpus: int
    memory_bytes: int
    shm_bytes: int
    """Size of /dev/shm; a part of the memory."""
    cache_bytes: int
    scratch_bytes: int

    def __post_init__(self) -> None:
        if self.shm_bytes >= self.memory_bytes:
            raise UsageError(
                f"shm of {self.shm_bytes} bytes is a part of the memory limit of "
                f"{self.memory_bytes} bytes and must be smaller; raise --memory or lower --shm"
            )


@dataclass(frozen=True, kw_only=True)
class Scheduling:
    """Where the pods may run, and who goes first."""

    cloud: str = clouds.GKE.name
    accelerator: str = ""
    spot: bool = False
    flex_start: bool = False
    reservation: str = ""
    """NAME, or PROJECT/NAME of one that is shared."""
    queue: str = ""
    queue_priority: str = ""
    priority: str = ""
    placement: str = "any"
    node_selector: Mapping[str, str] = field(default_factory=dict)
    tolerations: tuple[Mapping[str, str], ...] = ()

    def __post_init__(self) -> None:
        if self.accelerator:
            names.check_label_value(labels.ACCELERATOR, self.accelerator, "accelerator")
        for what, name in (
            ("queue", self.queue),
            ("priority class", self.priority),
            ("queue priority", self.queue_priority),
        ):
            if name:
                names.check_object_name(name, what)
        if self.queue:
            names.check_label_value(labels.QUEUE, self.queue, "queue")
        _check_placement(self.placement, self.queue)
        if self.queue_priority and not self.queue:
            raise UsageError("--queue-priority orders jobs of a Kueue queue: give --queue")
        self._check_provisioning()
        for key, value in self.node_selector.items():
            names.check_key(key, "node selector")
            names.check_label_value(key, value, "node selector")
        for toleration in self.tolerations:
            _check_toleration(toleration)

    def _check_provisioning(self) -> None:
        """Check how nodes are paid for: in one way, and in one that the cloud has."""
        ways = {
            "--spot": self.spot,
            "--flex-start": self.flex_start,
            "--reservation": bool(self.reservation),
        }
        given = [flag for flag, wanted in ways.items() if wanted]
        if len(given) > 1:
            raise UsageError(f"{' and '.join(given)} exclude each other; give one")
        if given and given != ["--spot"] and clouds.named(self.cloud) is not clouds.GKE:
            raise UsageError(
                f"{given[0]} is GKE's; elsewhere select such nodes by --node-selector LABEL=VALUE"
            )
        for part in self.reservation.split("/") if self.reservation else ():
            names.check_label_value(clouds.RESERVATION, part, "reservation")
        if self.reservation.count("/") > 1:
            raise UsageError(f"reservation must be NAME or PROJECT/NAME, not {self.reservation!r}")


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Where a job comes from; not part of what makes two jobs the same."""

    launcher_version: str
    git_revision: str = ""
    submitted_by: str = ""
    """Who sends it, by the name on the own machine."""
    settings_json: str = ""
    submission: str = ""
    """Tells this submission from every other one; empty until the job is sent."""


@dataclass(frozen=True, kw_only=True)
class JobSpec:
    """One job. Its workers (or tasks, of a kind that has them) are all alike."""

    name: str
    namespace: str
    kind: str
    backend: Kind
    image: str
    args: tuple[str, ...]
    """Flags of the module, without those that tell the tasks apart."""
    output: str
    """The directory that the job writes: its run, its dataset, its model or its predictions."""
    workers: int
    resources: Resources
    scheduling: Scheduling
    service_account: str = ""
    image_pull_secret: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    secret_env: Mapping[str, str] = field(default_factory=dict)
    volumes: tuple[Volume, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    max_restarts: int
    max_duration_s: int
    ttl_s: int
    config_hash: str
    run_id: str
    provenance: Provenance

    def __post_init__(self) -> None:
        self.backend.check_runs(self.kind)
        if not 1 <= self.workers <= 10_000:
            raise UsageError(f"workers must be between 1 and 10000, not {self.workers}")
        names.check_job_name(self.name, self.backend, self.workers)
        if self.in_cluster:
            self._check_for_cluster()
        _check_env(self.env, self.secret_env)
        _check_labels(self.labels, self.annotations)

    def _check_for_cluster(self) -> None:
        names.check_namespace(self.namespace)
        names.check_image(self.image)
        for what, name in (
            ("service account", self.service_account),
            ("image pull secret", self.image_pull_secret),
        ):
            if name:
                names.check_object_name(name, what)

    @property
    def in_cluster(self) -> bool:
        """Whether pods run it; else this machine does."""
        return isinstance(self.backend, ClusterKind)

    @property
    def module(self) -> str:
        """The Python module that a worker runs."""
        return MODULES[self.kind]

    @property
    def gpus(self) -> int:
        """GPUs of all workers together."""
        return self.workers * self.resources.gpus

    @property
    def variables(self) -> dict[str, str]:
        """Environment variables of every worker: the job's own, over what its GPUs ask for.

        The trainer compares GPUS_PER_WORKER with the GPUs that it sees; NCCL says why it fails
        only if it is told to warn.
        """
        own = {SUBMISSION_VARIABLE: self.submission_id}
        if self.provenance.submitted_by:
            own[environment.SUBMITTER] = self.provenance.submitted_by
        if not self.resources.gpus:
            return {**self.env, **own}
        gpus = str(self.resources.gpus)
        return {"NCCL_DEBUG": "WARN", **self.env, environment.GPUS_PER_WORKER: gpus, **own}

    @property
    def submission_id(self) -> str:
        """What its processes know this submission by.

        A manifest that is only printed may be applied again and again, and stays the same one.
        """
        return self.provenance.submission or self.fingerprint

    @property
    def fingerprint(self) -> str:
        """Hash of everything but where the job comes from: the same hash is the same job."""
        values = dataclasses.asdict(self) | {"backend": self.backend.name}
        del values["provenance"]
        text = json.dumps(values, sort_keys=True)
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _check_placement(placement: str, queue: str) -> None:
    if placement.startswith((KUEUE_PLACEMENT, KUEUE_PREFERRED_PLACEMENT)):
        names.check_key(placement.partition(":")[2], "placement")
        if not queue:
            raise UsageError(f"placement {placement!r} needs a Kueue queue: give --queue")
    elif placement not in PLACEMENTS:
        raise UsageError(
            f"placement must be {', '.join(PLACEMENTS)}, kueue:LABEL or "
            f"kueue-preferred:LABEL, not {placement!r}"
        )


def _check_toleration(toleration: Mapping[str, str]) -> None:
    for key in toleration:
        if key not in _TOLERATION_KEYS:
            raise UsageError(
                f"toleration {dict(toleration)}: unknown key {key!r}; known: "
                f"{', '.join(_TOLERATION_KEYS)}"
            )
    operator = toleration.get("operator", "Equal")
    if operator not in ("Equal", "Exists"):
        raise UsageError(f"toleration operator must be Equal or Exists, not {operator!r}")
    if toleration.get("effect", "") not in ("", "NoSchedule", "PreferNoSchedule", "NoExecute"):
        raise UsageError(f"toleration effect {toleration['effect']!r} does not exist")
    if not toleration.get("tolerationSeconds", "0").isdecimal():
        raise UsageError("toleration tolerationSeconds must be a whole number")
    if toleration.get("key"):
        names.check_key(toleration["key"], "toleration")
    elif operator != "Exists":
        raise UsageError("a toleration without a key needs operator: Exists")


def _check_env(env: Mapping[str, str], secret_env: Mapping[str, str]) -> None:
    for name in (*env, *secret_env):
        names.check_env_name(name, RESERVED_ENV)
    for name, reference in secret_env.items():
        secret, slash, key = reference.partition("/")
        if not slash or not key:
            raise UsageError(f"secret env {name} must name SECRET/KEY, not {reference!r}")
        names.check_object_name(secret, "secret")
        names.check_key(key, f"key of secret {secret}")
        if name in env:
            raise UsageError(f"{name} is given by both --env and --secret-env")


def _check_labels(own: Mapping[str, str], annotations: Mapping[str, str]) -> None:
    for key, value in own.items():
        names.check_key(key, "label")
        names.check_label_value(key, value, "label")
        if key in labels.WRITTEN or key.startswith("training.kubeflow.org/"):
            raise UsageError(f"label {key} is set by the launcher or the cluster")
    for key, value in annotations.items():
        names.check_key(key, "annotation")
        if key.startswith(f"{labels.DOMAIN}/"):
            raise UsageError(f"annotation {key} is set by the launcher")
        if len(value) > 100_000:
            raise UsageError(f"annotation {key} is too long")
