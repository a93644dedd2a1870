"""What the launcher reads from a kubeconfig without the kubernetes client: a namespace."""

import functools
import os
from collections.abc import Iterator, Mapping
from typing import Any

from launcher.errors import UsageError
from launcher.settings import yaml_file

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


def check(path: str) -> None:
    """Look at a file before the client does, which reads it without bounds.

    Raises:
        UsageError: It cannot be read, or is no kubeconfig.
    """
    _read(path)


def current_namespace(explicit: str, context: str, environ: Mapping[str, str]) -> str:
    """Give the namespace of the chosen context, or of the pod this runs in, or nothing."""
    files = [_read(path) for path in paths(explicit, environ)]
    if not files and os.path.isfile(IN_CLUSTER_NAMESPACE):
        with open(IN_CLUSTER_NAMESPACE, encoding="utf-8") as file:
            return file.read().strip()
    chosen = context or _current(files)
    found = next((entry for entry in _entries(files, "contexts") if entry["name"] == chosen), {})
    inner = found.get("context")
    return str(inner.get("namespace") or "") if isinstance(inner, dict) else ""


def current_context(explicit: str, context: str, environ: Mapping[str, str]) -> str:
    """Give the name of the chosen context; nothing in a pod, or if none is chosen."""
    files = [_read(path) for path in paths(explicit, environ)]
    return context or _current(files)


def _current(files: list[dict[str, Any]]) -> str:
    return str(next((name for name in _each(files, "current-context") if name), ""))


def _entries(files: list[dict[str, Any]], key: str) -> Iterator[dict[str, Any]]:
    """Give the named entries of a list; what is no such entry is left to the client to refuse."""
    for entries in _each(files, key):
        for entry in entries if isinstance(entries, list) else []:
            if isinstance(entry, dict) and "name" in entry:
                yield entry


def _each(files: list[dict[str, Any]], key: str) -> Iterator[Any]:
    return (content[key] for content in files if key in content)


def _read(path: str) -> dict[str, Any]:
    try:
        written = os.stat(path).st_mtime_ns
    except OSError:
        written = 0
    return _content(path, written)


@functools.lru_cache(maxsize=8)
def _content(path: str, _written: int) -> dict[str, Any]:
    """Read a file once in the life of this process, unless it is written anew."""
    content = yaml_file.load(path, "kubeconfig")
    if not isinstance(content, dict):
        raise UsageError(f"{path} is not a kubeconfig")
    return content
