"""The pod of every job: image, arguments, resources, volumes, placement. Pure."""

from launcher.describe.spec import JobSpec
from launcher.manifests import labels, quantities, units
from launcher.manifests.placement import place
from launcher.manifests.skeleton import Manifest, assign, by_name
from launcher.manifests.volumes import fill_volumes, node_disk_bytes

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
    container = by_name(pod["containers"], "tensorflow")
    _fill_container(container, spec, own_args)
    fill_volumes(pod, container, spec)
    assign(pod, ("serviceAccountName",), spec.service_account or "default")
    if spec.image_pull_secret:
        pod["imagePullSecrets"] = [{"name": spec.image_pull_secret}]
    if spec.scheduling.priority:
        pod["priorityClassName"] = spec.scheduling.priority
    place(metadata, pod, spec)


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
    amounts = _amounts(spec)
    assign(container, ("resources",), {"requests": amounts, "limits": dict(amounts)})


def _secret_key(reference: str) -> dict[str, str]:
    secret, _, key = reference.partition("/")
    return {"name": secret, "key": key}


def _amounts(spec: JobSpec) -> dict[str, str]:
    resources = spec.resources
    disk = node_disk_bytes(spec) + _LOG_BYTES
    amounts = {
        "cpu": quantities.format_millicpus(resources.millicpus),
        "memory": quantities.format_bytes(resources.memory_bytes),
        "ephemeral-storage": quantities.format_bytes(disk),
    }
    if resources.gpus:
        amounts[labels.GPU] = str(resources.gpus)
    return amounts
