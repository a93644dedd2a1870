"""Skeletons of k8s/, and typed assignment into them.

There is no text templating: a skeleton is parsed once, then leaves are set. A leaf that the
skeleton does not have, or that changes its type, is a defect of the program, not of its input.
"""

from typing import Any

import k8s
from launcher.manifests import yaml_text

Manifest = dict[str, Any]
Path = tuple[str | int, ...]


def load(path: str) -> Manifest:
    """Parse a skeleton, for example `jobs/tfjob.yaml`."""
    manifest = yaml_text.load(k8s.read(path), f"k8s/{path}")
    if not isinstance(manifest, dict):
        raise TypeError(f"k8s/{path} holds no object")
    return manifest


def at(tree: Any, path: Path) -> Any:
    """Give what stands at a path."""
    for part in path:
        tree = tree[part]
    return tree


def assign(tree: Any, path: Path, value: Any) -> None:
    """Replace what stands at a path by a value of the same type.

    Raises:
        TypeError: The skeleton has nothing there, or something of another type.
    """
    *way, last = path
    parent = at(tree, tuple(way))
    try:
        old = parent[last]
    except (KeyError, IndexError) as error:
        raise TypeError(f"the skeleton has no {'.'.join(map(str, path))}") from error
    if type(old) is not type(value):
        raise TypeError(f"{'.'.join(map(str, path))} is {old!r} in the skeleton, not {value!r}")
    parent[last] = value


def by_name(items: list[Manifest], name: str) -> Manifest:
    """Give the item of a list of named things (containers, volumes, env)."""
    return next(item for item in items if item["name"] == name)
