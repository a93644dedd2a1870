"""What `--volume PATH=SOURCE` mounts into the containers: written as text, checked here. Pure.

pvc:NAME[:ro]              a claim that is there
ephemeral:CLASS[:SIZE]     a disk of a storage class, made and removed with each pod
csi:DRIVER[:KEY=VALUE,…]   a volume that a driver makes for the pod
token:AUDIENCE             a token of the service account, as PATH/token, renewed hourly
configmap:NAME, secret:NAME   their keys as files
local-ssd                  the node's own SSDs (GKE), for /cache or /tmp
"""

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from launcher.errors import UsageError
from launcher.manifests import names, quantities

CACHE, SCRATCH = "/cache", "/tmp"  # noqa: S108 (in the pod)
OWN = {CACHE: "cache", SCRATCH: "scratch"}
"""Paths at which every pod has a volume already, and its name: another one takes its place."""

_TAKEN = ("/dev", "/proc", "/sys", "/opt", "/usr", "/bin", "/lib", "/lib64", "/sbin")
_KINDS = ("pvc", "ephemeral", "csi", "token", "configmap", "secret", "local-ssd")
_LONGEST_AUDIENCE = 1000


@dataclass(frozen=True, kw_only=True)
class Volume:
    """One volume and where it is mounted.

    Attributes:
        path: Where the containers see it.
        kind: One of the words above.
        name: Of the claim, class, driver, config map or secret; or the token's audience.
        read_only: Whether it cannot be written.
        size_bytes: Of an ephemeral one; 0 takes the size of the volume whose place it takes.
        attributes: What a CSI driver is told.
    """

    path: str
    kind: str
    name: str = ""
    read_only: bool = False
    size_bytes: int = 0
    attributes: Mapping[str, str] = field(default_factory=dict)


def parse_all(given: Mapping[str, str]) -> tuple[Volume, ...]:
    """Read the volumes of a job, in the order of their paths.

    Raises:
        UsageError: One of them cannot be; the message says how it is written.
    """
    found = tuple(_parse(path, given[path]) for path in sorted(given))
    paths = [volume.path for volume in found]
    for path in paths:
        if paths.count(path) > 1:
            raise UsageError(f"--volume {path} is given twice")
    return found


def covers(volumes: Iterable[Volume], path: str) -> bool:
    """Whether a path lies on one of the volumes."""
    return any(path == each.path or path.startswith(f"{each.path}/") for each in volumes)


def _parse(path: str, text: str) -> Volume:
    path = path.rstrip("/")
    _check_path(path)
    kind, _, rest = text.partition(":")
    if kind not in _KINDS:
        raise UsageError(f"--volume {path}: {text!r} is none of {', '.join(_KINDS)}; as pvc:NAME")
    if kind == "local-ssd":
        if rest or path not in OWN:
            raise UsageError(f"--volume {path}: local-ssd is for {' and '.join(OWN)} alone")
        return Volume(path=path, kind=kind)
    if not rest:
        raise UsageError(f"--volume {path}: {kind} of what? Write {kind}:NAME")
    if kind == "token":
        if len(rest) > _LONGEST_AUDIENCE or not rest.isprintable():
            raise UsageError(f"--volume {path}: the audience of a token cannot be {rest[:50]!r}")
        return Volume(path=path, kind=kind, name=rest, read_only=True)
    return _named(path, kind, rest)


def _named(path: str, kind: str, rest: str) -> Volume:
    name, _, more = rest.partition(":")
    names.check_object_name(name, f"--volume {path}: {kind}")
    volume = Volume(path=path, kind=kind, name=name, read_only=kind in ("configmap", "secret"))
    if not more:
        if kind == "ephemeral" and path not in OWN:
            raise UsageError(f"--volume {path}: how large? Write ephemeral:{name}:SIZE")
        return volume
    if kind == "pvc" and more == "ro":
        return dataclasses.replace(volume, read_only=True)
    if kind == "ephemeral":
        size = quantities.parse_bytes(more, f"--volume {path}: the size")
        return dataclasses.replace(volume, size_bytes=size)
    if kind == "csi":
        pairs = [each.partition("=") for each in more.split(",")]
        if all(key and equals for key, equals, _ in pairs):
            attributes = {key: value for key, _, value in pairs}
            return dataclasses.replace(volume, attributes=attributes)
    raise UsageError(f"--volume {path}: {more!r} says nothing of a {kind}")


def _check_path(path: str) -> None:
    plain = path.startswith("/") and ":" not in path and path.isprintable() and len(path) < 500
    if not plain or ".." in path.split("/") or "//" in path:
        raise UsageError(f"--volume {path!r}: a path in the container is meant, such as /mnt/data")
    if any(path == taken or path.startswith(f"{taken}/") for taken in _TAKEN):
        raise UsageError(f"--volume {path}: the container has something there already")
