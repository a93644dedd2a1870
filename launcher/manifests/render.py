"""(skeleton, JobSpec) -> manifests. Pure: the same spec gives the same manifests.

`submit` sends exactly what `render` prints, and gives each submission a name of its own.
"""

from collections.abc import Callable

from job.contract import environment
from launcher import kinds
from launcher.describe.spec import JobSpec
from launcher.kinds import Kind
from launcher.manifests import labels, skeleton
from launcher.manifests.companions import companions
from launcher.manifests.pod import fill_pod, object_labels
from launcher.manifests.skeleton import Manifest, assign, by_name

_SKELETONS = {
    "make-tfrecords": "jobs/make_tfrecords.yaml",
    "predict": "jobs/predict.yaml",
    "evaluate": "jobs/evaluate.yaml",
    "export": "jobs/evaluate.yaml",
}
_TASK_ARGS = "--task_index=$(JOB_COMPLETION_INDEX)"


def render(spec: JobSpec) -> list[Manifest]:
    """Make the manifests of a job: the job itself first, then what belongs to it.

    The local backend has no manifests: it runs the JobSpec.
    """
    manifest = _renderers()[spec.backend](spec)
    _describe(manifest, spec)
    return [manifest, *companions(spec)]


def _renderers() -> dict[Kind, Callable[[JobSpec], Manifest]]:
    return {kinds.TFJOB: _tfjob, kinds.JOBSET: _jobset, kinds.JOB: _job}


def _tfjob(spec: JobSpec) -> Manifest:
    manifest = skeleton.load("jobs/tfjob.yaml")
    policy = manifest["spec"]["runPolicy"]
    assign(policy, ("backoffLimit",), spec.max_restarts)
    assign(policy, ("activeDeadlineSeconds",), spec.max_duration_s)
    assign(policy, ("ttlSecondsAfterFinished",), spec.ttl_s)
    assign(policy, ("suspend",), bool(spec.scheduling.queue))
    assign(policy, ("schedulingPolicy", "minAvailable"), spec.workers)
    if spec.scheduling.priority:
        policy["schedulingPolicy"]["priorityClass"] = spec.scheduling.priority
    worker = manifest["spec"]["tfReplicaSpecs"]["Worker"]
    assign(worker, ("replicas",), spec.workers)
    _set_variable(worker["template"], environment.MAX_RESTARTS, str(spec.max_restarts))
    fill_pod(worker["template"], spec)
    return manifest


def _jobset(spec: JobSpec) -> Manifest:
    manifest = skeleton.load("jobs/jobset.yaml")
    assign(manifest, ("spec", "suspend"), bool(spec.scheduling.queue))
    assign(manifest, ("spec", "ttlSecondsAfterFinished"), spec.ttl_s)
    assign(manifest, ("spec", "failurePolicy", "maxRestarts"), spec.max_restarts)
    child = by_name(manifest["spec"]["replicatedJobs"], "worker")["template"]
    assign(child, ("metadata", "labels"), object_labels(spec))
    assign(child, ("spec", "parallelism"), spec.workers)
    assign(child, ("spec", "completions"), spec.workers)
    assign(child, ("spec", "activeDeadlineSeconds"), spec.max_duration_s)
    template = child["spec"]["template"]
    _set_variable(template, "NUM_WORKERS", str(spec.workers))
    _set_variable(template, environment.MAX_DURATION_S, str(spec.max_duration_s))
    fill_pod(template, spec)
    return manifest


def _set_variable(template: Manifest, name: str, value: str) -> None:
    container = by_name(template["spec"]["containers"], "tensorflow")
    assign(by_name(container["env"], name), ("value",), value)


def _job(spec: JobSpec) -> Manifest:
    manifest = skeleton.load(_SKELETONS[spec.kind])
    body = manifest["spec"]
    assign(body, ("suspend",), bool(spec.scheduling.queue))
    assign(body, ("completions",), spec.workers)
    assign(body, ("parallelism",), spec.workers)
    assign(body, ("activeDeadlineSeconds",), spec.max_duration_s)
    assign(body, ("ttlSecondsAfterFinished",), spec.ttl_s)
    own_args: tuple[str, ...] = ()
    if "backoffLimitPerIndex" in body:
        assign(body, ("backoffLimitPerIndex",), spec.max_restarts)
        assign(body, ("maxFailedIndexes",), spec.workers)
        own_args = (_TASK_ARGS, f"--num_tasks={spec.workers}")
        spread = body["template"]["spec"]["topologySpreadConstraints"][0]
        assign(spread, ("labelSelector", "matchLabels"), {labels.JOB: spec.name})
    else:
        assign(body, ("backoffLimit",), spec.max_restarts)
    fill_pod(body["template"], spec, own_args)
    return manifest


def _describe(manifest: Manifest, spec: JobSpec) -> None:
    """Write name, namespace, labels and annotations of the object itself."""
    metadata = manifest["metadata"]
    assign(metadata, ("name",), spec.name)
    metadata["namespace"] = spec.namespace
    own_labels = object_labels(spec)
    if spec.scheduling.queue:
        own_labels[labels.QUEUE] = spec.scheduling.queue
    if spec.scheduling.queue_priority:
        own_labels[labels.QUEUE_PRIORITY] = spec.scheduling.queue_priority
    assign(metadata, ("labels",), own_labels)
    annotations = {**spec.annotations, labels.RUN: spec.output}
    annotations[labels.SPEC_HASH] = spec.fingerprint
    if spec.provenance.git_revision:
        annotations[labels.GIT_REVISION] = spec.provenance.git_revision
    if spec.provenance.settings_json:
        annotations[labels.SETTINGS] = spec.provenance.settings_json
    metadata["annotations"] = annotations
