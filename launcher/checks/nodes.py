"""Are the nodes those of the cloud that the job is described for, and does it keep their rules?"""

from collections.abc import Iterator, Mapping
from typing import Any

from launcher.api import resources
from launcher.checks.result import Result, Subject, failed, ok
from launcher.describe import clouds
from launcher.describe.spec import JobSpec
from launcher.manifests import quantities, units

_AUTOPILOT = "gk3-"
"""How the names of Autopilot's nodes begin."""
_AUTOPILOT_GPUS = (1, 2, 4, 8, 16)
_AUTOPILOT_DISK = 10 * units.GIB
"""The most that a pod without GPUs may have there."""


def nodes(subject: Subject) -> Iterator[Result]:
    """Labels of another cloud select no node, and the job would wait without a word."""
    spec = subject.spec
    if spec is None or subject.job is None:
        return
    found = subject.cluster.list_all(resources.NODES)
    cloud = clouds.of_nodes(map(_provider_and_labels, found))
    if cloud is not None and cloud.name != spec.scheduling.cloud and _needs_cloud(spec):
        told = clouds.named(spec.scheduling.cloud)
        yield failed(
            f"the nodes are {cloud.phrase}'s, and the job would look for {told.phrase}'s labels",
            f"say so: --cloud {cloud.name}",
        )
        return
    problems = list(_autopilot(spec, subject.job.resources)) if _is_autopilot(found) else []
    yield from problems
    if not problems:
        yield ok(f"the nodes are {cloud.phrase}'s" if cloud else "the nodes are of no known cloud")


def _provider_and_labels(node: dict[str, Any]) -> tuple[str, Mapping[str, str]]:
    provider = (node.get("spec") or {}).get("providerID") or ""
    return provider, node["metadata"].get("labels") or {}


def _needs_cloud(spec: JobSpec) -> bool:
    by_model = bool(spec.resources.gpus and spec.scheduling.accelerator)
    return by_model or spec.scheduling.spot


def _is_autopilot(found: list[dict[str, Any]]) -> bool:
    return any(node["metadata"]["name"].startswith(_AUTOPILOT) for node in found)


def _autopilot(spec: JobSpec, asked: Mapping[str, float]) -> Iterator[Result]:
    """GKE Autopilot makes nodes to measure, of what it offers."""
    gpus = spec.resources.gpus
    if gpus and not spec.scheduling.accelerator:
        yield failed("Autopilot makes GPU nodes of a named model only", "name it: --accelerator")
    if gpus and gpus not in _AUTOPILOT_GPUS:
        yield failed(
            f"Autopilot gives a pod {', '.join(map(str, _AUTOPILOT_GPUS))} GPUs, not {gpus}",
            "divide them otherwise: --gpus-per-worker",
        )
    disk = asked.get("ephemeral-storage", 0.0)
    if not gpus and disk > _AUTOPILOT_DISK:
        yield failed(
            f"Autopilot gives a pod without GPUs {quantities.show('storage', _AUTOPILOT_DISK)} of "
            f"disk, not {quantities.show('storage', disk)}",
            "ask for less: --cache-size, --scratch-size; or give it a disk: --volume "
            "/cache=ephemeral:CLASS:SIZE",
        )
