"""The memory of the fake API server: objects by kind, their versions and what changed when."""

import copy
import datetime
import re
import threading
import uuid
from typing import Any

Object = dict[str, Any]
Key = tuple[str, str, str, str]
"""(group/version, plural, namespace, name)"""


def now() -> str:
    """The time as objects have it."""
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Store:
    """Objects and their history. All methods may be called from any thread."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.objects: dict[Key, Object] = {}
        self.history: list[tuple[int, str, Key, Object]] = []
        self.version = 1000
        self.oldest = 0
        """Watches from a version below this get 410 Gone."""

    def put(self, key: Key, content: Object) -> Object:
        """Create or replace an object, as a controller would; gives what is kept."""
        with self.changed:
            item = copy.deepcopy(content)
            metadata = item.setdefault("metadata", {})
            old = self.objects.get(key)
            metadata.setdefault("name", key[3])
            if key[2]:
                metadata.setdefault("namespace", key[2])
            metadata.setdefault("uid", old["metadata"]["uid"] if old else str(uuid.uuid4()))
            metadata.setdefault("creationTimestamp", now())
            self.version += 1
            metadata["resourceVersion"] = str(self.version)
            self.objects[key] = item
            self._record("MODIFIED" if old else "ADDED", key, item)
            return copy.deepcopy(item)

    def remove(self, key: Key) -> Object | None:
        """Delete an object and everything that names it as its owner."""
        with self.changed:
            item = self.objects.pop(key, None)
            if item is None:
                return None
            self.version += 1
            item["metadata"]["resourceVersion"] = str(self.version)
            self._record("DELETED", key, item)
            uid = item["metadata"]["uid"]
            owned = [
                other
                for other, content in self.objects.items()
                if any(o["uid"] == uid for o in content["metadata"].get("ownerReferences", []))
            ]
            for other in owned:
                self.remove(other)
            return item

    def select(
        self, prefix: tuple[str, str], namespace: str, query: dict[str, str]
    ) -> list[Object]:
        """Give copies of the objects of a kind, by namespace and selectors, in order of name."""
        with self.changed:
            return [
                copy.deepcopy(item)
                for key, item in sorted(self.objects.items())
                if key[:2] == prefix and namespace in ("", key[2]) and matches(item, query)
            ]

    def since(self, version: int, prefix: tuple[str, str], namespace: str) -> list[Any]:
        """Give (version, event type, object) of everything later than a version."""
        return [
            (number, kind, item)
            for number, kind, key, item in self.history
            if number > version and key[:2] == prefix and namespace in ("", key[2])
        ]

    def _record(self, kind: str, key: Key, item: Object) -> None:
        self.history.append((self.version, kind, key, copy.deepcopy(item)))
        self.changed.notify_all()


def matches(item: Object, query: dict[str, str]) -> bool:
    """Whether an object passes labelSelector and fieldSelector."""
    labels = item["metadata"].get("labels") or {}
    for part in filter(None, query.get("labelSelector", "").split(",")):
        key, operator, value = _requirement(part)
        if operator == "exists" and key not in labels:
            return False
        if operator == "=" and labels.get(key) != value:
            return False
        if operator == "!=" and labels.get(key) == value:
            return False
    for part in filter(None, query.get("fieldSelector", "").split(",")):
        path, operator, value = _requirement(part)
        found: Any = item
        for step in path.split("."):
            found = (found or {}).get(step)
        if (str(found or "") == value) != (operator == "="):
            return False
    return True


def _requirement(part: str) -> tuple[str, str, str]:
    match = re.fullmatch(r"([^=!]+?)(==|=|!=)(.*)", part)
    if not match:
        return part, "exists", ""
    return match[1], "!=" if match[2] == "!=" else "=", match[3]


def merge(target: Any, patch: Any) -> Any:
    """Apply a JSON merge patch (RFC 7386)."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge(result.get(key), value)
    return result
