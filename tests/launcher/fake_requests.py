"""What the fake API server does with a request for objects: the verbs of Kubernetes' API."""

import json
import re
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from launcher.api import resources
from launcher.api.resources import Resource
from tests.launcher.fake_store import Key, Object, matches, merge

PATH = re.compile(
    r"/(?:api|apis/(?P<group>[^/]+))/(?P<version>v[^/]+)"
    r"(?:/namespaces/(?P<namespace>[^/]+)(?=/))?/(?P<plural>[^/]+)"
    r"(?:/(?P<name>[^/]+))?(?:/(?P<sub>[^/]+))?"
)


@dataclass
class LogFile:
    """The log of one container: lines that begin with their time."""

    lines: list[str] = field(default_factory=list)
    finished: bool = False
    break_after: int = 0
    """Break the connection, once, after this many lines."""


def key_of(item: Object) -> Key:
    resource = resources.of(item)
    namespace = item["metadata"].setdefault("namespace", "team") if resource.namespaced else ""
    return resource.api_version, resource.plural, namespace, item["metadata"]["name"]


def status_object(
    code: int, reason: str = "", message: str = "", details: Object | None = None
) -> Object:
    """Make a Status as an API server answers it."""
    return {
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": reason, "details": details or {}, "code": code,
    }  # fmt: skip


class StatusError(Exception):
    def __init__(self, code: int, reason: str, message: str, details: Object | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.body = status_object(code, reason, message, details)


def resource_of(match: "re.Match[str]") -> Resource | None:
    version = f"{match['group']}/{match['version']}" if match["group"] else match["version"]
    for resource in resources.BY_KIND.values():
        if resource.api_version == version and resource.plural == match["plural"]:
            return resource
    return None


@dataclass
class ObjectRequest:
    """One request for objects of a kind."""

    fake: Any
    handler: Any
    resource: Resource
    match: "re.Match[str]"
    query: dict[str, str]
    body: Object

    def answer(self, method: str) -> None:
        name = unquote(self.match["name"] or "")
        verb = {"POST": "create", "PATCH": "patch", "DELETE": "delete"}.get(method, "get")
        if verb == "get" and not name:
            verb = "watch" if self.query.get("watch") else "list"
        self._authorize(verb)
        if self.resource is resources.ACCESS_REVIEWS:
            return self.handler.send(201, self._review())
        if self.match["sub"] == "log":
            return self.handler.stream(self._log(name))
        if verb == "watch":
            return self.handler.stream(self._watch())
        answer = {
            "get": self._get, "list": self._list, "create": self._create, "patch": self._patch,
            "delete": self._delete,
        }[verb]  # fmt: skip
        return self.handler.send(201 if verb == "create" else 200, answer(name))

    @property
    def _namespace(self) -> str:
        return unquote(self.match["namespace"] or "")

    @property
    def _prefix(self) -> tuple[str, str]:
        return self.resource.api_version, self.resource.plural

    def _key(self, name: str) -> Key:
        return (*self._prefix, self._namespace, name)

    def _authorize(self, verb: str) -> None:
        plural = "/".join(filter(None, (self.resource.plural, self.match["sub"])))
        elsewhere = not self._namespace and (verb, f"{plural} everywhere") in self.fake.denied
        if (verb, plural) in self.fake.denied or elsewhere:
            where = f' in the namespace "{self._namespace}"' if self._namespace else ""
            raise StatusError(
                403, "Forbidden",
                f'{plural} is forbidden: User "jane" cannot {verb} resource "{plural}" in API '
                f'group "{self.resource.group}"{where}',
            )  # fmt: skip

    def _review(self) -> Object:
        asked = self.body["spec"]["resourceAttributes"]
        plural = "/".join(filter(None, (asked["resource"], asked.get("subresource"))))
        allowed = (asked["verb"], plural) not in self.fake.denied
        return {**self.body, "status": {"allowed": allowed}}

    def _missing(self, name: str) -> StatusError:
        plural = self.resource.plural
        kind = f"{plural}.{self.resource.group}" if self.resource.group else plural
        return StatusError(
            404, "NotFound", f'{kind} "{name}" not found',
            {"name": name, "group": self.resource.group, "kind": plural},
        )  # fmt: skip

    def _get(self, name: str) -> Object:
        found = self.fake.store.objects.get(self._key(name))
        if found is None:
            raise self._missing(name)
        return found

    def _list(self, _: str) -> Object:
        store = self.fake.store
        with store.changed:
            items = store.select(self._prefix, self._namespace, self.query)
            version = str(store.version)
        start = int(self.query.get("continue") or 0)
        limit = int(self.query.get("limit") or 0) or len(items)
        page = items[start : start + limit]
        for item in page:  # items of a list carry neither
            item.pop("kind", None)
            item.pop("apiVersion", None)
        metadata = {"resourceVersion": version}
        if start + limit < len(items):
            metadata["continue"] = str(start + limit)
        kind = f"{self.resource.kind}List"
        return {
            "kind": kind, "apiVersion": self.resource.api_version, "metadata": metadata,
            "items": page,
        }  # fmt: skip

    def _create(self, _: str) -> Object:
        namespaces = {key[3] for key in self.fake.store.objects if key[1] == "namespaces"}
        if self._namespace and namespaces and self._namespace not in namespaces:
            raise StatusError(
                404, "NotFound", f'namespaces "{self._namespace}" not found',
                {"name": self._namespace, "kind": "namespaces"},
            )  # fmt: skip
        metadata = self.body["metadata"]
        if "name" not in metadata:
            metadata["name"] = metadata["generateName"] + uuid.uuid4().hex[:5]
        name = metadata["name"]
        if self._key(name) in self.fake.store.objects:
            raise StatusError(
                409, "AlreadyExists",
                f'{self.resource.plural}.{self.resource.group} "{name}" already exists',
            )  # fmt: skip
        refused = self.fake.admission(self.body)
        if refused:
            raise StatusError(refused["code"], refused["reason"], refused["message"])
        if self.query.get("dryRun"):
            return self.body
        return self.fake.store.put(self._key(name), self.body)

    def _patch(self, name: str) -> Object:
        current = self.fake.store.objects.get(self._key(name))
        applying = "apply-patch" in self.handler.headers["Content-Type"]
        if current is None and not applying:
            raise self._missing(name)
        merged = merge(current or {}, self.body)
        return merged if self.query.get("dryRun") else self.fake.store.put(self._key(name), merged)

    def _delete(self, name: str) -> Object:
        current = self._get(name)
        wanted = (self.body.get("preconditions") or {}).get("uid")
        if wanted and current["metadata"]["uid"] != wanted:
            raise StatusError(
                409, "Conflict",
                f"Precondition failed: UID in precondition: {wanted}, UID in object meta: "
                f"{current['metadata']['uid']}",
            )  # fmt: skip
        self.fake.store.remove(self._key(name))
        return {"kind": "Status", "apiVersion": "v1", "status": "Success"}

    def _watch(self) -> Iterator[bytes]:
        store = self.fake.store
        version = int(self.query.get("resourceVersion") or 0)
        end = time.monotonic() + float(self.query.get("timeoutSeconds") or 60)
        if version < store.oldest:
            gone = status_object(410, "Expired", f"too old resource version: {version}")
            yield _line({"type": "ERROR", "object": gone})
            return
        while time.monotonic() < end and not self.fake.closing:
            with store.changed:
                events = store.since(version, self._prefix, self._namespace)
                if not events and not self.fake.break_watch:
                    store.changed.wait(0.05)
            for number, kind, item in events:
                version = number
                if matches(item, self.query):
                    yield _line({"type": kind, "object": item})
            if self.fake.break_watch:
                self.fake.break_watch = False
                yield b'{"type":"MODIF'
                raise ConnectionResetError

    def _log(self, name: str) -> Iterator[bytes]:
        self._get(name)
        file = self.fake.logs.get((name, self.query.get("previous") == "true"))
        if file is None:
            if self.query.get("previous"):
                return
            file = LogFile(finished=True)
        since = self.query.get("sinceTime", "")
        position = 0
        if "tailLines" in self.query:
            position = max(0, len(file.lines) - int(self.query["tailLines"]))
        while not self.fake.closing:
            with self.fake.store.changed:
                fresh = file.lines[position:]
                if not fresh and not file.finished and self.query.get("follow"):
                    self.fake.store.changed.wait(0.05)
            for line in fresh:
                position += 1
                if line[:19] >= since[:19]:
                    yield line.encode() + b"\n"
                if file.break_after and position == file.break_after:
                    file.break_after = 0
                    raise ConnectionResetError
            if not fresh and (file.finished or not self.query.get("follow")):
                return


def _line(event: Object) -> bytes:
    return json.dumps(event).encode() + b"\n"
