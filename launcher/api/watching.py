"""Lists and watches: many objects of a kind, now and as they change.

The protocol is Kubernetes' own (API concepts, "Efficient detection of changes"): a list has a
version, a watch starts from a version, and 410 Gone says that the version is too old.
"""

import json
import time
from collections.abc import Iterator
from typing import Any

from launcher.api.backoff import Deadline
from launcher.api.errors import GoneError, Request, error_for
from launcher.api.requests import Wire
from launcher.api.resources import Resource

Object = dict[str, Any]

_WATCH_S = 50
_WATCH_GRACE_S = 15.0
_WATCH_PAUSE_S = 0.2
_PAGE = 500


def selection(labels: str, fields: str) -> dict[str, str]:
    """Make the query that selects by labels and by fields."""
    chosen = {"labelSelector": labels, "fieldSelector": fields}
    return {key: value for key, value in chosen.items() if value}


def list_objects(
    wire: Wire, request: Request, resource: Resource, selected: dict[str, str]
) -> tuple[list[Object], str]:
    """Read all objects, page by page, and the version of the list.

    Starts over if a page has expired meanwhile.
    """
    path = resource.path(request.namespace)
    kind = {"apiVersion": resource.api_version, "kind": resource.kind}
    items: list[Object] = []
    more: dict[str, str] = {}
    while True:
        query = selected | {"limit": str(_PAGE)} | more
        try:
            page = wire.json("GET", path, request, query=query)
        except GoneError:
            items, more = [], {}
            continue
        items += [kind | item for item in page.get("items") or []]
        token = page.get("metadata", {}).get("continue")
        if not token:
            return items, str(page.get("metadata", {}).get("resourceVersion", ""))
        more = {"continue": token}


def watch_objects(
    wire: Wire,
    request: Request,
    resource: Resource,
    selected: dict[str, str],
    deadline: Deadline | None,
) -> Iterator[tuple[str, Object]]:
    """Yield ("ADDED" | "MODIFIED" | "DELETED", object), first for all that is there already.

    Goes on through broken connections and expired versions (then everything is listed anew, and
    what went meanwhile is told as DELETED), until `deadline`, where it ends silently.
    """
    known: dict[str, Object] = {}
    version = ""
    while deadline is None or not deadline.passed:
        if not version:
            items, version = list_objects(wire, request, resource, selected)
            listed = {item["metadata"]["uid"]: item for item in items}
            yield from (("DELETED", item) for uid, item in known.items() if uid not in listed)
            for uid, item in listed.items():
                yield ("MODIFIED" if uid in known else "ADDED"), item
            known = listed
        try:
            for kind, item in _events(wire, request, resource, selected, version, deadline):
                version = item["metadata"]["resourceVersion"]
                if kind == "DELETED":
                    known.pop(item["metadata"]["uid"], None)
                elif kind != "BOOKMARK":
                    known[item["metadata"]["uid"]] = item
                if kind != "BOOKMARK":
                    yield kind, item
        except GoneError:
            version = ""
        time.sleep(_WATCH_PAUSE_S)  # a server that ends every watch at once is not hammered


def _events(
    wire: Wire,
    request: Request,
    resource: Resource,
    selected: dict[str, str],
    version: str,
    deadline: Deadline | None,
) -> Iterator[tuple[str, Object]]:
    """Yield the events of one watch; ends when the server or the connection ends it."""
    seconds = _WATCH_S if deadline is None else max(1, min(_WATCH_S, round(deadline.left_s)))
    query = selected | {
        "watch": "true",
        "resourceVersion": version,
        "allowWatchBookmarks": "true",
        "timeoutSeconds": str(seconds),
    }
    path = resource.path(request.namespace)
    for line in wire.lines(path, request, query=query, read_timeout_s=seconds + _WATCH_GRACE_S):
        event = _event(line)
        if event is None:
            return
        if event["type"] == "ERROR":
            status = event["object"]
            raise error_for(int(status.get("code") or 500), status, request)
        yield event["type"], event["object"]


def _event(line: bytes) -> dict[str, Any] | None:
    """Read a line of a watch; None for what is none (a proxy's page of an error)."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    is_event = isinstance(found, dict) and isinstance(found.get("object"), dict)
    return found if is_event and "type" in found else None
