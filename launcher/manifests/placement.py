"""Where a job's pods may run: labels that nodes must have, taints, nearness. Pure."""

import itertools
from typing import Any

from launcher.describe import clouds
from launcher.describe.clouds import Expression
from launcher.describe.spec import KUEUE_PLACEMENT, KUEUE_PREFERRED_PLACEMENT, JobSpec
from launcher.manifests import labels
from launcher.manifests.skeleton import Manifest


def place(metadata: Manifest, pod: Manifest, spec: JobSpec) -> None:
    """Fill what decides where the pods run."""
    wanted = _wanted(spec)
    selector = dict(spec.scheduling.node_selector)
    selector |= {each[0][0]: each[0][1][0] for each in wanted if _plain(each)}
    terms = [alternatives for alternatives in wanted if not _plain(alternatives)]
    tolerations = [*map(_toleration, spec.scheduling.tolerations), *_own_tolerations(spec)]
    affinity: Manifest = {}
    if terms:
        affinity["nodeAffinity"] = {
            "requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [_term(each) for each in itertools.product(*terms)]
            }
        }
    if spec.kind == "train" and spec.workers > 1:
        affinity |= _together(metadata, spec)
    if selector:
        pod["nodeSelector"] = selector
    if tolerations:
        pod["tolerations"] = tolerations
    if affinity:
        pod["affinity"] = affinity


def _wanted(spec: JobSpec) -> list[tuple[Expression, ...]]:
    """List what nodes must be; of each, alternatives of which one is enough."""
    scheduling, cloud = spec.scheduling, clouds.named(spec.scheduling.cloud)
    wanted: list[tuple[Expression, ...]] = []
    if spec.resources.gpus and scheduling.accelerator:
        wanted.append((cloud.accelerator(scheduling.accelerator),))
    if scheduling.spot:
        wanted.append(tuple((key, (value,)) for key, value in cloud.spot))
    if scheduling.flex_start:
        wanted.append(((clouds.FLEX_START, ("true",)),))
    if any(volume.kind == "local-ssd" for volume in spec.volumes):
        wanted.append(((clouds.LOCAL_SSD, ("true",)),))
    if scheduling.reservation:
        project, _, name = scheduling.reservation.rpartition("/")
        wanted.append(((clouds.RESERVATION, (name,)),))
        wanted.append(((clouds.RESERVATION_AFFINITY, ("specific",)),))
        if project:
            wanted.append(((clouds.RESERVATION_PROJECT, (project,)),))
    return wanted


def _plain(alternatives: tuple[Expression, ...]) -> bool:
    return len(alternatives) == 1 and len(alternatives[0][1]) == 1


def _term(expressions: tuple[Expression, ...]) -> Manifest:
    return {
        "matchExpressions": [
            {"key": key, "operator": "In", "values": list(values)} for key, values in expressions
        ]
    }


def _own_tolerations(spec: JobSpec) -> list[dict[str, Any]]:
    tolerated: list[dict[str, Any]] = []
    if spec.resources.gpus:
        tolerated.append({"key": labels.GPU, "operator": "Exists", "effect": "NoSchedule"})
    taint = clouds.named(spec.scheduling.cloud).spot_taint
    if spec.scheduling.spot and taint:
        key, value = taint
        tolerated.append({"key": key, "operator": "Equal", "value": value, "effect": "NoSchedule"})
    if spec.scheduling.flex_start:
        tolerated += [
            {"key": key, "operator": "Exists", "effect": "NoSchedule"}
            for key in (clouds.FLEX_START, clouds.QUEUED)
        ]
    return tolerated


def _toleration(given: Any) -> dict[str, Any]:
    toleration: dict[str, Any] = dict(given)
    if "tolerationSeconds" in toleration:
        toleration["tolerationSeconds"] = int(toleration["tolerationSeconds"])
    return toleration


def _together(metadata: Manifest, spec: JobSpec) -> Manifest:
    """Keep workers that exchange gradients near each other."""
    placement = spec.scheduling.placement
    term = {
        "labelSelector": {"matchLabels": {labels.JOB: spec.name}},
        "topologyKey": labels.ZONE,
    }
    if placement == "zone":
        return {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    if placement == "prefer-zone":
        weighted = {"weight": 100, "podAffinityTerm": term}
        return {"podAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [weighted]}}
    for prefix, annotation in (
        (KUEUE_PREFERRED_PLACEMENT, labels.PREFERRED_TOPOLOGY),
        (KUEUE_PLACEMENT, labels.REQUIRED_TOPOLOGY),
    ):
        if placement.startswith(prefix):
            metadata["annotations"][annotation] = placement.removeprefix(prefix)
            break
    return {}
