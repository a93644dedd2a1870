"""What differs between a manifest and an object in the cluster, in the manifest's own words."""

from collections.abc import Iterator
from typing import Any

from job.contract import environment
from job.contract.lease import SUBMISSION_VARIABLE

_IGNORED = ("food101/git-revision", "food101/settings", "app.kubernetes.io/version")
_OF_ONE_SUBMISSION = (SUBMISSION_VARIABLE, environment.SUBMITTER)
_LONGEST_VALUE = 120


def differences(old: Any, new: Any) -> list[str]:
    """List `path: old -> new` for every field of `new` that `old` has otherwise.

    Fields that only `old` has are the server's defaults and no difference, except in argument
    lists and environments, where an entry that is gone matters. Values of environment variables
    may be secrets: it is told that they differ, not what they are.
    """
    return list(_compare(old, new, ""))


def _compare(old: Any, new: Any, path: str) -> Iterator[str]:
    if isinstance(new, dict) and isinstance(old, dict):
        for key, value in new.items():
            if key not in _IGNORED:
                yield from _compare(old.get(key), value, f"{path}.{key}" if path else str(key))
    elif isinstance(new, list) and isinstance(old, list):
        yield from _compare_lists(old, new, path)
    elif str(old) != str(new):
        yield f"{path}: {_shown(old)} -> {_shown(new)}"


def _compare_lists(old: list[Any], new: list[Any], path: str) -> Iterator[str]:
    both = [*old, *new]
    if all(isinstance(item, dict) and "name" in item for item in both):
        yield from _compare_named(old, new, path)
    elif all(isinstance(item, str) for item in both):
        yield from (f"{path}: without {_shown(item)}" for item in old if item not in new)
        yield from (f"{path}: with {_shown(item)}" for item in new if item not in old)
    elif len(old) != len(new):
        yield f"{path}: {_shown(old)} -> {_shown(new)}"
    else:
        for number, (theirs, ours) in enumerate(zip(old, new, strict=True)):
            yield from _compare(theirs, ours, f"{path}[{number}]")


def _compare_named(old: list[Any], new: list[Any], path: str) -> Iterator[str]:
    """Compare containers, variables or volumes: lists whose items have names."""
    theirs = {item["name"]: item for item in old}
    ours = {item["name"]: item for item in new}
    if path.rpartition(".")[2] == "env":
        yield from _compare_env(theirs, ours, path)
        return
    for name, item in theirs.items():
        if name not in ours:
            yield f"{path}[{name}]: {_shown(item)} -> nothing"
    for name, item in ours.items():
        yield from _compare(theirs.get(name), item, f"{path}[{name}]")


def _compare_env(theirs: dict[str, Any], ours: dict[str, Any], path: str) -> Iterator[str]:
    for name in [*theirs, *(name for name in ours if name not in theirs)]:
        if name in _OF_ONE_SUBMISSION:
            continue
        if name not in ours or name not in theirs:
            yield f"{path}[{name}]: {'set' if name in theirs else 'nothing'} -> " + (
                "set" if name in ours else "nothing"
            )
        elif list(_compare(theirs[name], ours[name], "")):
            yield f"{path}[{name}]: another value"


def _shown(value: Any) -> str:
    if value is None:
        return "nothing"
    text = " ".join(str(value).split())
    return text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 1] + "…"
