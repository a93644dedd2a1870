"""TF_CONFIG read strictly: what is not wholly understood is refused, never taken for one process.

N processes that each believe to be alone would train N times, each as the chief of one directory.
Pure: text in, addresses out.
"""

import difflib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from job.contract.errors import ConfigError
from job.distributed.rendezvous import host_and_port

CHIEFS = ("chief", "master")
"""What operators call the worker that writes; `master` is the older name."""
_WORKER = "worker"
_APART = "evaluator"
"""The operator lists it in the cluster; it takes no part in the exchange."""
_SERVERS = "ps"
_KINDS = (*CHIEFS, _WORKER, _APART, _SERVERS)
_KEYS = ("cluster", "task", "environment", "rpc_layer", "job", "model_dir", "service")
_OTHER_PROTOCOLS = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]*://")
_INDEX = re.compile(r"[0-9]{1,6}")
_SHOWN = 300
_ONE_PROCESS = "for one process, unset TF_CONFIG"


@dataclass(frozen=True)
class Membership:
    """The addresses of all workers, the chief's first, and which of them this process is."""

    worker: int
    addresses: tuple[str, ...]


def parse_tf_config(text: str) -> Membership:
    """Read who takes part and who this is.

    The forms that are taken: chief (or master) and worker, each a list of host:port, beside which
    an evaluator may be listed; the task's index as a number or its digits. What a lone member's
    task leaves out is clear without it.

    Raises:
        ConfigError: It is no such description, contradicts itself, leaves open who this process
            is, or asks for what this job cannot be; the message names the key.
    """
    content = _object(text)
    _check_keys(content)
    jobs = _jobs(content)
    members = {kind: _addresses(kind, jobs[kind]) for kind in (*CHIEFS, _WORKER) if kind in jobs}
    chiefs = [address for kind in CHIEFS for address in members.get(kind, ())]
    workers = members.get(_WORKER, ())
    if len(chiefs) > 1:
        _refuse("cluster", f"names {len(chiefs)} chiefs; a cluster has one")
    everyone = (*chiefs, *workers)
    if not everyone:
        _refuse("cluster", f"names no worker; {_ONE_PROCESS}")
    _check_distinct(everyone)
    kind, index = _task(content, members, everyone)
    return Membership(index if kind in CHIEFS else len(chiefs) + index, everyone)


def _refuse(key: str, what: str) -> NoReturn:
    raise ConfigError(f"TF_CONFIG: {key} {what}")


def _object(text: str) -> dict[str, Any]:
    try:
        content = json.loads(text, object_pairs_hook=_without_repetition)
    except (ValueError, RecursionError) as error:
        quotes = "; JSON wants double quotes" if "'" in text and '"' not in text else ""
        raise ConfigError(f"TF_CONFIG is not JSON: {error}{quotes}: {_shorten(text)}") from error
    if not isinstance(content, dict):
        raise ConfigError(
            f"TF_CONFIG must be a JSON object, not {_kind_of(content)}: {_shorten(text)}"
        )
    return content


def _without_repetition(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse a key that is there twice, of which JSON would silently take the last."""
    keys = [key for key, _ in pairs]
    twice = next((key for key in keys if keys.count(key) > 1), None)
    if twice is not None:
        _refuse(twice, "is there twice")
    return dict(pairs)


def _check_keys(content: Mapping[str, Any]) -> None:
    """Refuse what changes the meaning of the rest; operators add keys of their own beside it."""
    if "sparseCluster" in content:
        _refuse(
            "sparseCluster",
            "describes workers that come and go; this job needs a fixed number of them: set "
            "enableDynamicWorker: false",
        )
    for key in content:
        meant = _meant(key, ("cluster", "task"))
        if key not in _KEYS and meant:
            _refuse(key, f"is no key of it; {meant}?")
    layer = content.get("rpc_layer", "grpc")
    if layer not in ("grpc", "", None):
        _refuse("rpc_layer", f"is {_shorten(json.dumps(layer))}; this job speaks grpc only")


def _jobs(content: Mapping[str, Any]) -> dict[str, Any]:
    jobs = content.get("cluster")
    if jobs is None:
        _refuse("cluster", f"is missing; {_ONE_PROCESS}")
    if not isinstance(jobs, dict):
        _refuse("cluster", f"must be an object, not {_kind_of(jobs)}")
    if not jobs:
        _refuse("cluster", f"is empty; {_ONE_PROCESS}")
    for kind, members in jobs.items():
        if kind not in _KINDS:
            meant = _meant(kind, _KINDS)
            _refuse(
                f"cluster.{_shorten(kind)}",
                f"is no type of replica; {meant + '?' if meant else 'known are chief and worker'}",
            )
        if kind == _SERVERS and members:
            _refuse(
                "cluster.ps",
                "names parameter servers; this job reduces gradients between its workers: remove "
                "the replica type PS",
            )
    return jobs


def _addresses(kind: str, members: Any) -> tuple[str, ...]:
    key = f"cluster.{kind}"
    if not isinstance(members, list):
        _refuse(key, f"must be a list of host:port, not {_kind_of(members)}")
    for address in members:
        if not isinstance(address, str):
            _refuse(key, f"must be a list of host:port; it holds {_kind_of(address)}")
        if _OTHER_PROTOCOLS.match(address):
            _refuse(key, f"must be a list of host:port, without a protocol: {_shorten(address)}")
        try:
            host_and_port(address)
        except ConfigError as error:
            raise ConfigError(f"TF_CONFIG: {key}: {error}") from error
    return tuple(members)


def _check_distinct(addresses: Sequence[str]) -> None:
    seen: dict[tuple[str, int], str] = {}
    for address in addresses:
        host, port = host_and_port(address)
        before = seen.setdefault((host.lower().rstrip("."), port), address)
        if before is not address:
            _refuse("cluster", f"gives two workers the same address: {before}, {address}")


def _task(
    content: Mapping[str, Any], members: Mapping[str, Sequence[str]], everyone: Sequence[str]
) -> tuple[str, int]:
    """Say which member this process is, by its kind and its index among those of its kind."""
    task = content.get("task")
    if task is None:
        task = {}
    if not isinstance(task, dict):
        _refuse("task", f"must be an object, not {_kind_of(task)}")
    if not task and len(everyone) > 1:
        _refuse("task", f"is missing, so each of the {len(everyone)} would be the first")
    for key in task:
        if key not in ("type", "index") and (meant := _meant(key, ("type", "index"))):
            _refuse(f"task.{key}", f"is no key of a task; {meant}?")
    kind = _task_kind(task.get("type"), members)
    index = _task_index(task.get("index"), kind, len(members.get(kind, ())))
    return kind, index


def _task_kind(kind: Any, members: Mapping[str, Sequence[str]]) -> str:
    kinds = [name for name, addresses in members.items() if addresses]
    if kind is None and len(kinds) == 1:
        return kinds[0]
    if kind is None:
        _refuse("task.type", f"is missing; it must be one of {', '.join(kinds)}")
    if not isinstance(kind, str):
        _refuse("task.type", f"must be text, not {_kind_of(kind)}")
    if kind in (_APART, _SERVERS):
        _refuse(
            "task.type",
            f"is {kind!r}; this job has a chief and workers only, and evaluates while it trains: "
            "remove that replica type",
        )
    if kind not in (*CHIEFS, _WORKER):
        meant = _meant(kind, (*CHIEFS, _WORKER))
        what = meant + "?" if meant else "known are chief and worker"
        _refuse("task.type", f"is {_shorten(kind)!r}; {what}")
    return kind


def _task_index(index: Any, kind: str, count: int) -> int:
    if index is None and count == 1:
        return 0
    if index is None:
        _refuse("task.index", f"is missing, and the cluster has {count} of type {kind}")
    if isinstance(index, str) and _INDEX.fullmatch(index):
        index = int(index)
    if not isinstance(index, int) or isinstance(index, bool):
        _refuse("task.index", f"must be a whole number, not {_shorten(json.dumps(index))}")
    if not 0 <= index < count:
        _refuse(
            "task.index",
            f"says this is {kind} {_shorten(str(index))}, but the cluster has {count} of them",
        )
    return index


def _meant(key: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(key.lower(), known, n=1, cutoff=0.8)
    return f"did you mean {close[0]}" if close else ""


def _kind_of(value: Any) -> str:
    """Name a JSON value's kind, for somebody who wrote JSON."""
    match value:
        case None:
            return "null"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "text"
        case list():
            return "a list"
        case _:
            return "an object"


def _shorten(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
