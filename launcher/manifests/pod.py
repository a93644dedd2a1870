"""The pod of every job: image, arguments, resources, volumes, placement. Pure."""

from typing import Any

from launcher.describe.spec import KUEUE_PLACEMENT, JobSpec, Resources
from launcher.manifests import labels, units
from launcher.manifests.skeleton import Manifest, assign, by_name

_LOG_BYTES = units.GIB


def literal(text: str) -> str:
    """Protect a text from Kubernetes' own expansion of $(VARIABLE) in args and env values."""
    return text.replace("$", "$$")


def object_labels(spec: JobSpec) -> dict[str, str]:
    """Give the labels of a job and of all its pods."""
    return {
        **spec.labels,
        labels.NAME: "food101-vgg19",
        labels.COMPONENT: spec.kind,
        labels.MANAGED_BY: labels.LAUNCHER,
        labels.VERSION: spec.provenance.launcher_version,
        labels.JOB: spec.name,
        labels.RUN_ID: spec.run_id,
        labels.CONFIG_HASH: spec.config_hash,
    }


def fill_pod(template: Manifest, spec: JobSpec, own_args: tuple[str, ...] = ()) -> None:
    """Fill a pod template; `own_args` go behind the job's and may hold $(VARIABLE)."""
    metadata, pod = template["metadata"], template["spec"]
    # A proxy beside it is for who asks for one: --label sidecar.istio.io/inject=true.
    own_labels = {labels.NO_SIDECAR: "false"} | object_labels(spec)
    assign(metadata, ("labels",), own_labels)
    _fill_container(by_name(pod["containers"], "tensorflow"), spec, own_args)
    _fill_volumes(pod["volumes"], spec.resources)
    assign(pod, ("serviceAccountName",), spec.service_account or "default")
    if spec.image_pull_secret:
        pod["imagePullSecrets"] = [{"name": spec.image_pull_secret}]
    if spec.scheduling.priority:
        pod["priorityClassName"] = spec.scheduling.priority
    _place(metadata, pod, spec)


def _fill_container(container: Manifest, spec: JobSpec, own_args: tuple[str, ...]) -> None:
    assign(container, ("image",), spec.image)
    assign(container, ("command", -1), spec.module)  # Behind the supervisor, where there is one.
    assign(container, ("args",), [*map(literal, spec.args), *own_args])
    container["env"] += [
        {"name": name, "value": literal(value)} for name, value in sorted(spec.variables.items())
    ]
    container["env"] += [
        {"name": name, "valueFrom": {"secretKeyRef": _secret_key(reference)}}
        for name, reference in sorted(spec.secret_env.items())
    ]
    amounts = _amounts(spec.resources)
    assign(container, ("resources",), {"requests": amounts, "limits": dict(amounts)})


def _secret_key(reference: str) -> dict[str, str]:
    secret, _, key = reference.partition("/")
    return {"name": secret, "key": key}


def _amounts(resources: Resources) -> dict[str, str]:
    disk = resources.cache_bytes + resources.scratch_bytes + _LOG_BYTES
    amounts = {
        "cpu": units.format_millicpus(resources.millicpus),
        "memory": units.format_bytes(resources.memory_bytes),
        "ephemeral-storage": units.format_bytes(disk),
    }
    if resources.gpus:
        amounts[labels.GPU] = str(resources.gpus)
    return amounts


def _fill_volumes(volumes: list[Manifest], resources: Resources) -> None:
    for name, size in (
        ("scratch", resources.scratch_bytes),
        ("cache", resources.cache_bytes),
        ("shm", resources.shm_bytes),
    ):
        assign(by_name(volumes, name), ("emptyDir", "sizeLimit"), units.format_bytes(size))


def _place(metadata: Manifest, pod: Manifest, spec: JobSpec) -> None:
    scheduling = spec.scheduling
    selector = dict(scheduling.node_selector)
    tolerations: list[dict[str, Any]] = [_toleration(given) for given in scheduling.tolerations]
    if spec.resources.gpus:
        tolerations.append({"key": labels.GPU, "operator": "Exists", "effect": "NoSchedule"})
        if scheduling.accelerator:
            selector[labels.ACCELERATOR] = scheduling.accelerator
    if scheduling.spot:
        selector[labels.SPOT] = "true"
        tolerations.append(
            {"key": labels.SPOT, "operator": "Equal", "value": "true", "effect": "NoSchedule"}
        )
    if selector:
        pod["nodeSelector"] = selector
    if tolerations:
        pod["tolerations"] = tolerations
    if spec.kind == "train" and spec.workers > 1:
        _place_together(metadata, pod, spec)


def _toleration(given: Any) -> dict[str, Any]:
    toleration: dict[str, Any] = dict(given)
    if "tolerationSeconds" in toleration:
        toleration["tolerationSeconds"] = int(toleration["tolerationSeconds"])
    return toleration


def _place_together(metadata: Manifest, pod: Manifest, spec: JobSpec) -> None:
    """Keep workers that exchange gradients near each other."""
    placement = spec.scheduling.placement
    term = {
        "labelSelector": {"matchLabels": {labels.JOB: spec.name}},
        "topologyKey": labels.ZONE,
    }
    if placement == "zone":
        pod["affinity"] = {
            "podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}
        }
    elif placement == "prefer-zone":
        weighted = {"weight": 100, "podAffinityTerm": term}
        pod["affinity"] = {
            "podAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [weighted]}
        }
    elif placement.startswith(KUEUE_PLACEMENT):
        topology = placement.removeprefix(KUEUE_PLACEMENT)
        metadata["annotations"]["kueue.x-k8s.io/podset-required-topology"] = topology
