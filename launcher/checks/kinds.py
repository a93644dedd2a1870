"""Is there what runs the job: its operator, and the queue that it names?"""

import datetime
import re
import time
from collections.abc import Iterator
from typing import Any

from launcher import kinds
from launcher.api import resources
from launcher.checks.result import Result, Subject, failed, ok, unknown, warning
from launcher.errors import DeniedError, LauncherError
from launcher.kinds import ClusterKind
from launcher.manifests import yaml_text
from launcher.observe import reading

Object = dict[str, Any]

READY_WITHIN_S = 15.0
"""How long a controller may take to be ready again, as when its only pod is replaced."""

_DOWN_S = 180.0
_POLL_S = 1.0
_KUEUE_NAMESPACE = "kueue-system"


def operator(subject: Subject) -> Iterator[Result]:
    """The job's kind is served, and its controller runs."""
    kind = subject.kind
    if not kind.controller.deployment:
        yield ok(f"{kind.plural} are part of Kubernetes")
        return
    if not subject.cluster.serves(kind.resource):
        yield _missing(subject, kind)
        return
    yield from _controller(subject, kind)


def _missing(subject: Subject, kind: ClusterKind) -> Result:
    other = kinds.alternative(kind)
    way = "install"
    if other is not None and subject.cluster.serves(other.resource):
        way = f"use --backend {other.name}, which is there, or install"
    return failed(
        f"{kind.controller.name} is not installed: the cluster does not know {kind.plural}",
        f"{way} it: k8s/README.md tells how",
    )


def _controller(subject: Subject, kind: ClusterKind) -> Iterator[Result]:
    deployment, name = kind.controller.deployment, kind.controller.name
    try:
        found = _once_ready(subject, deployment)
    except DeniedError:
        yield ok(f"{kind.plural} are served")  # its controller is not for everybody to see
        return
    if found is None:
        yield unknown(f"{kind.plural} are served; no deployment {deployment!r} can be seen")
        return
    where = f"kubectl describe deployment {deployment} -n {found['metadata'].get('namespace')}"
    named = f"{name} {_version(found)}".rstrip()
    if _is_ready(found):
        yield ok(f"{named} runs")
    elif _is_down_for_long(found):
        yield failed(f"{named} does not run: none of its pods is ready", where)
    else:
        yield warning(f"{named} is not ready at this moment", f"the job starts once it is: {where}")


def _once_ready(subject: Subject, deployment: str) -> Object | None:
    """Read a controller's Deployment; one that is not ready for a moment is waited for."""
    end = time.monotonic() + READY_WITHIN_S
    while True:
        found = subject.cluster.list_all(
            resources.DEPLOYMENTS, everywhere=True, fields=f"metadata.name={deployment}"
        )
        if not found:
            return None
        settled = _is_ready(found[0]) or _is_down_for_long(found[0])
        if settled or time.monotonic() > end:
            return found[0]
        time.sleep(_POLL_S)


def _is_ready(deployment: Object) -> bool:
    return bool((deployment.get("status") or {}).get("readyReplicas"))


def _is_down_for_long(deployment: Object) -> bool:
    """Whether it was switched off, or has not been available for minutes: no restart of a pod."""
    if (deployment.get("spec") or {}).get("replicas") == 0:
        return True
    conditions = reading.conditions(deployment.get("status") or {})
    since = next((c.since for c in conditions if c.type == "Available" and not c.true), None)
    now = datetime.datetime.now(datetime.UTC)
    return since is not None and (now - since).total_seconds() > _DOWN_S


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
    yield from _handled(subject, subject.kind, name)


def _no_kueue(subject: Subject) -> Result:
    try:
        subject.cluster.read(f"/apis/{resources.LOCAL_QUEUES.group}")
    except LauncherError:
        return failed("Kueue is not installed", "leave --queue out, or have Kueue installed")
    wanted = resources.LOCAL_QUEUES.api_version
    return failed(f"this Kueue is too old: it does not serve {wanted}", "have it upgraded")


def _handled(subject: Subject, kind: ClusterKind, queue_name: str) -> Iterator[Result]:
    """Since 0.19 Kueue's default configuration leaves TFJobs out, and says nothing."""
    enabled = _frameworks(subject)
    if enabled is None:
        if kind.queued_by_default or _seen(subject, kind):
            yield ok(f"queue {queue_name!r} is there")
        else:
            yield warning(
                f"it cannot be seen whether Kueue handles {kind.plural}: by default it does not, "
                "and the job would stay suspended for ever",
                _other_queued(kind),
            )
    elif kind.queue_framework in enabled:
        yield ok(f"queue {queue_name!r} takes {kind.plural}")
    else:
        yield failed(
            f"Kueue does not handle {kind.plural} here ({kind.queue_framework} is switched off): "
            "the job would stay suspended for ever",
            _other_queued(kind),
        )


def _other_queued(kind: ClusterKind) -> str:
    """Say what to do where Kueue leaves a kind alone."""
    other = kinds.alternative(kind)
    if other is None or kind.queued_by_default:
        return "have the kind switched on in Kueue"
    return f"use --backend {other.name} with queues"


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


def _seen(subject: Subject, kind: ClusterKind) -> bool:
    """Whether Kueue has taken note of another job of this kind."""
    try:
        workloads = subject.cluster.list_all(resources.WORKLOADS)
    except LauncherError:
        return False
    owners = [owner for item in workloads for owner in item["metadata"].get("ownerReferences", [])]
    return any(owner.get("kind") == kind.resource.kind for owner in owners)
