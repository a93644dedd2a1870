"""The Deployment that shows a run's curves from inside the cluster. Pure."""

from typing import Any

from launcher.manifests import labels, names, skeleton
from launcher.manifests.pod import literal
from launcher.manifests.skeleton import Manifest, assign, by_name

PORT = 6006
_SUFFIX = "-tensorboard"


def deployment_name(job: str) -> str:
    """Name the TensorBoard of a job, short enough for its pods."""
    return names.suggest(job, names.DNS_LABEL_LENGTH - len(_SUFFIX) - 17) + _SUFFIX


def render_tensorboard(
    job: str,
    *,
    namespace: str,
    logdir: str,
    image: str,
    service_account: str = "",
    image_pull_secret: str = "",
    env: dict[str, str] | None = None,
    owner: dict[str, Any] | None = None,
) -> Manifest:
    """Make the Deployment; with an owner (a job as the server has it) it goes when that goes."""
    names.check_image(image)
    names.check_namespace(namespace)
    manifest = skeleton.load("jobs/tensorboard.yaml")
    own_labels = {
        labels.NAME: "food101-vgg19",
        labels.COMPONENT: "tensorboard",
        labels.MANAGED_BY: labels.LAUNCHER,
        labels.JOB: job,
    }
    metadata = manifest["metadata"]
    assign(metadata, ("name",), deployment_name(job))
    assign(metadata, ("labels",), own_labels)
    metadata["namespace"] = namespace
    metadata["annotations"] = {labels.RUN: logdir}
    if owner is not None:
        metadata["ownerReferences"] = [_reference(owner)]
    selector = {name: own_labels[name] for name in (labels.COMPONENT, labels.JOB)}
    assign(manifest, ("spec", "selector", "matchLabels"), selector)
    template = manifest["spec"]["template"]
    assign(template, ("metadata", "labels"), {**own_labels, labels.NO_SIDECAR: "false"})
    _fill_pod(template["spec"], logdir, image, service_account, image_pull_secret, env or {})
    return manifest


def _fill_pod(
    pod: Manifest,
    logdir: str,
    image: str,
    service_account: str,
    image_pull_secret: str,
    env: dict[str, str],
) -> None:
    assign(pod, ("serviceAccountName",), service_account or "default")
    if image_pull_secret:
        pod["imagePullSecrets"] = [{"name": image_pull_secret}]
    container = by_name(pod["containers"], "tensorboard")
    assign(container, ("image",), image)
    assign(container, ("args", 0), f"--logdir={literal(logdir)}")
    container["env"] += [{"name": name, "value": literal(env[name])} for name in sorted(env)]


def _reference(owner: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
    }
