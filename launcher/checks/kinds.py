"""Is there what runs the job: its operator, and the queue that it names?"""

import re
from collections.abc import Iterator

from launcher.api import resources
from launcher.api.resources import Resource
from launcher.checks.result import Result, Subject, failed, ok, unknown, warning
from launcher.errors import DeniedError, LauncherError
from launcher.manifests import yaml_text

_CONTROLLERS = {
    "tfjob": (resources.TFJOBS, "training-operator", "the training operator"),
    "jobset": (resources.JOBSETS, "jobset-controller-manager", "JobSet"),
}
_ALTERNATIVES = {"tfjob": "jobset", "jobset": "tfjob"}
_KUEUE_NAMESPACE = "kueue-system"
_FRAMEWORKS = {
    "tfjob": "kubeflow.org/tfjob",
    "jobset": "jobset.x-k8s.io/jobset",
    "job": "batch/job",
}
_ON_BY_DEFAULT = ("jobset", "job")


def operator(subject: Subject) -> Iterator[Result]:
    """The job's kind is served, and its controller runs."""
    backend = subject.spec.backend if subject.spec else "tfjob"
    if backend not in _CONTROLLERS:
        yield ok("Jobs are part of Kubernetes")
        return
    resource, deployment, name = _CONTROLLERS[backend]
    if not subject.cluster.serves(resource):
        other = _ALTERNATIVES[backend]
        there = subject.cluster.serves(_CONTROLLERS[other][0])
        way = f"use --backend {other}, which is there, or install" if there else "install"
        yield failed(
            f"{name} is not installed: the cluster does not know {resource.kind}s",
            f"{way} it: k8s/README.md tells how",
        )
        return
    yield from _controller(subject, resource, deployment, name)


def _controller(
    subject: Subject, resource: Resource, deployment: str, name: str
) -> Iterator[Result]:
    try:
        found = subject.cluster.list_all(
            resources.DEPLOYMENTS, everywhere=True, fields=f"metadata.name={deployment}"
        )
    except DeniedError:
        yield ok(f"{resource.kind}s are served")  # its controller is not for everybody to see
        return
    if not found:
        yield unknown(f"{resource.kind}s are served; no deployment {deployment!r} can be seen")
        return
    ready = (found[0].get("status") or {}).get("readyReplicas") or 0
    version = _version(found[0])
    if not ready:
        yield failed(
            f"{name} {version} does not run: none of its pods is ready",
            f"kubectl describe deployment {deployment} -n {found[0]['metadata'].get('namespace')}",
        )
    else:
        yield ok(f"{name} {version} runs".replace("  ", " "))


def _version(deployment: dict[str, object]) -> str:
    found = re.search(r"'image': '[^']*:(v?\d[\w.+-]*)'", str(deployment))
    return found[1] if found else ""


def queue(subject: Subject) -> Iterator[Result]:
    """Kueue is there, has the queue, and takes jobs of this kind."""
    spec = subject.spec
    if spec is None or not spec.scheduling.queue:
        yield ok("no queue is asked for")
        return
    name = spec.scheduling.queue
    if not subject.cluster.serves(resources.LOCAL_QUEUES):
        yield _no_kueue(subject)
        return
    there = subject.cluster.find(resources.LOCAL_QUEUES, name)
    if there is None:
        names = [
            each["metadata"]["name"] for each in subject.cluster.list_all(resources.LOCAL_QUEUES)
        ]
        known = (
            f"there {'is' if len(names) == 1 else 'are'} {', '.join(names)}" if names else "none"
        )
        yield failed(
            f"queue {name!r} does not exist in namespace {spec.namespace!r} ({known})",
            "correct --queue, or have a LocalQueue made",
        )
        return
    conditions = (there.get("status") or {}).get("conditions") or []
    stopped = [c for c in conditions if c.get("type") == "Active" and c.get("status") == "False"]
    if stopped:
        yield warning(f"queue {name!r} is stopped: {stopped[0].get('message')}", "ask its owner")
    yield from _handled(subject, spec.backend, name)


def _no_kueue(subject: Subject) -> Result:
    try:
        subject.cluster.read(f"/apis/{resources.LOCAL_QUEUES.group}")
    except LauncherError:
        return failed("Kueue is not installed", "leave --queue out, or have Kueue installed")
    wanted = resources.LOCAL_QUEUES.api_version
    return failed(f"this Kueue is too old: it does not serve {wanted}", "have it upgraded")


def _handled(subject: Subject, backend: str, queue_name: str) -> Iterator[Result]:
    """Since 0.19 Kueue's default configuration leaves TFJobs out, and says nothing."""
    framework = _FRAMEWORKS[backend]
    kind = {"tfjob": "TFJobs", "jobset": "JobSets", "job": "Jobs"}[backend]
    enabled = _frameworks(subject)
    if enabled is None:
        if backend in _ON_BY_DEFAULT or _seen(subject, framework):
            yield ok(f"queue {queue_name!r} is there")
        else:
            yield warning(
                f"it cannot be seen whether Kueue handles {kind}: by default it does not, and the "
                "job would stay suspended for ever",
                "use --backend jobset with queues",
            )
    elif framework in enabled:
        yield ok(f"queue {queue_name!r} takes {kind}")
    else:
        yield failed(
            f"Kueue does not handle {kind} here ({framework} is switched off): the job would stay "
            "suspended for ever",
            "use --backend jobset" if backend == "tfjob" else "have the kind switched on in Kueue",
        )


def _frameworks(subject: Subject) -> list[str] | None:
    """Read which kinds Kueue handles from its own configuration; None if it cannot be read."""
    try:
        found = subject.cluster.get(
            resources.CONFIG_MAPS, "kueue-manager-config", namespace=_KUEUE_NAMESPACE
        )
        text = found["data"]["controller_manager_config.yaml"]
        content = yaml_text.load(text, "kueue-manager-config")
        return [str(name) for name in content["integrations"]["frameworks"]]
    except (LauncherError, KeyError, TypeError):
        return None


def _seen(subject: Subject, framework: str) -> bool:
    """Whether Kueue has taken note of another job of this kind."""
    kind = {"kubeflow.org/tfjob": "TFJob"}.get(framework, "")
    try:
        workloads = subject.cluster.list_all(resources.WORKLOADS)
    except LauncherError:
        return False
    owners = [owner for item in workloads for owner in item["metadata"].get("ownerReferences", [])]
    return any(owner.get("kind") == kind for owner in owners)
