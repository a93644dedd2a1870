"""What the launcher reads from a kubeconfig without the kubernetes client: a namespace."""

import os
from collections.abc import Iterator, Mapping
from typing import Any

from launcher.errors import UsageError
from launcher.manifests import yaml_text

IN_CLUSTER_NAMESPACE = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"


def paths(explicit: str, environ: Mapping[str, str]) -> list[str]:
    """Name the kubeconfig files that exist, in kubectl's order of precedence.

    Raises:
        UsageError: KUBECONFIG names files, and none of them is there.
    """
    if explicit:
        return [os.path.expanduser(explicit)]
    listed = environ.get("KUBECONFIG", "")
    candidates = listed.split(os.pathsep) if listed else [os.path.expanduser("~/.kube/config")]
    found = [path for path in candidates if path and os.path.isfile(path)]
    if listed and not found:
        raise UsageError(f"KUBECONFIG names {listed}, which is no file; correct it, or unset it")
    return found


def is_configured(explicit: str, environ: Mapping[str, str]) -> bool:
    """Whether there is a cluster to talk to: a kubeconfig, or a pod's own credentials."""
    return bool(paths(explicit, environ)) or os.path.isfile(IN_CLUSTER_NAMESPACE)


def current_namespace(explicit: str, context: str, environ: Mapping[str, str]) -> str:
    """Give the namespace of the chosen context, or of the pod this runs in, or nothing."""
    files = [_read(path) for path in paths(explicit, environ)]
    if not files and os.path.isfile(IN_CLUSTER_NAMESPACE):
        with open(IN_CLUSTER_NAMESPACE, encoding="utf-8") as file:
            return file.read().strip()
    chosen = context or next((name for name in _each(files, "current-context") if name), "")
    for entries in _each(files, "contexts"):
        for entry in entries or []:
            if entry.get("name") == chosen:
                return str((entry.get("context") or {}).get("namespace") or "")
    return ""


def _each(files: list[dict[str, Any]], key: str) -> Iterator[Any]:
    return (content[key] for content in files if key in content)


def _read(path: str) -> dict[str, Any]:
    try:
        with open(path, encoding="utf-8") as file:
            content = yaml_text.load(file.read(), path)
    except OSError as error:
        raise UsageError(f"kubeconfig {path} cannot be read: {error.strerror}") from error
    if not isinstance(content, dict):
        raise UsageError(f"{path} is not a kubeconfig")
    return content
