"""The verbs of Kubernetes' API, as typed methods over plain objects.

Objects go in and out as the API's own JSON: the launcher sends manifests and reads a handful of
fields, and models of one client version would lose the rest.

Every method raises only the errors of `launcher/api/errors.py`, and none prints anything.
"""

import email.utils
from collections.abc import Iterator
from typing import Any

from launcher.api import requests as wire
from launcher.api import resources, watching
from launcher.api.backoff import Deadline
from launcher.api.errors import KindMissingError, Request
from launcher.api.requests import Wire
from launcher.api.resources import Resource
from launcher.errors import NotFoundError

Object = dict[str, Any]


class Api:
    """One API server and the namespace that is worked in."""

    def __init__(self, wire: Wire, *, namespace: str) -> None:
        self.namespace = namespace
        self._wire = wire

    @property
    def server(self) -> str:
        """The address of the API server."""
        return self._wire.server

    # Objects

    def get(self, resource: Resource, name: str, *, namespace: str | None = None) -> Object:
        """Read one object; NotFoundError if there is none."""
        request = self._request("get", resource, namespace, name)
        return self._wire.json("GET", resource.path(request.namespace, name), request)

    def find(self, resource: Resource, name: str, *, namespace: str | None = None) -> Object | None:
        """Read one object, or None if there is none, or no such kind."""
        try:
            return self.get(resource, name, namespace=namespace)
        except NotFoundError:
            return None

    def exists(self, resource: Resource, name: str) -> bool:
        """Whether there is an object, without its content: a secret's values do not travel."""
        request = self._request("get", resource, None, name)
        path = resource.path(request.namespace, name)
        try:
            self._wire.json("GET", path, request, accept=wire.METADATA_ONLY)
        except NotFoundError:
            return False
        return True

    def list_all(
        self,
        resource: Resource,
        *,
        labels: str = "",
        fields: str = "",
        namespace: str | None = None,
        everywhere: bool = False,
    ) -> list[Object]:
        """Read all objects of a kind, page by page; `everywhere` means all namespaces."""
        request = self._request("list", resource, namespace)
        if everywhere:
            request = Request("list", resource)
        selected = watching.selection(labels, fields)
        return watching.list_objects(self._wire, request, resource, selected)[0]

    def create(
        self, manifest: Object, *, dry_run: bool = False, namespace: str | None = None
    ) -> Object:
        """Create an object and give it back as the server keeps it.

        With `dry_run` the server checks everything, admission included, and keeps nothing.
        """
        resource = resources.of(manifest)
        metadata = manifest.get("metadata", {})
        where = namespace or metadata.get("namespace")
        request = self._request("create", resource, where, metadata.get("name", ""))
        return self._wire.json(
            "POST",
            resource.path(request.namespace),
            request,
            query=_writing(dry_run),
            body=manifest,
        )

    def apply(self, manifest: Object, *, dry_run: bool = False) -> Object:
        """Create or update an object by server-side apply, taking over fields of others."""
        resource = resources.of(manifest)
        metadata = manifest["metadata"]
        request = self._request("patch", resource, metadata.get("namespace"), metadata["name"])
        return self._wire.json(
            "PATCH",
            resource.path(request.namespace, metadata["name"]),
            request,
            query=_writing(dry_run) | {"force": "true"},
            body=manifest,
            content_type=wire.APPLY_PATCH,
        )

    def patch(self, resource: Resource, name: str, changes: Object) -> Object:
        """Change fields of an object (JSON merge patch: null removes a field)."""
        request = self._request("patch", resource, None, name)
        path = resource.path(request.namespace, name)
        return self._wire.json("PATCH", path, request, body=changes, content_type=wire.MERGE_PATCH)

    def delete(self, resource: Resource, name: str, *, uid: str = "") -> bool:
        """Delete an object and, in the background, what it owns; False if there was none.

        With `uid` only that very object is deleted, not a newer one of the same name.
        """
        request = self._request("delete", resource, None, name)
        options: Object = {
            "apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background",
        }  # fmt: skip
        if uid:
            options["preconditions"] = {"uid": uid}
        try:
            path = resource.path(request.namespace, name)
            self._wire.json("DELETE", path, request, body=options)
        except KindMissingError:
            raise
        except NotFoundError:
            return False
        return True

    # Streams

    def watch(
        self,
        resource: Resource,
        *,
        labels: str = "",
        fields: str = "",
        deadline: Deadline | None = None,
    ) -> Iterator[tuple[str, Object]]:
        """Yield ("ADDED" | "MODIFIED" | "DELETED", object), first for all that is there already.

        Goes on through broken connections and expired versions (then everything is listed anew,
        and what went meanwhile is told as DELETED), until `deadline`, where it ends silently.
        """
        request = self._request("watch", resource, None)
        selected = watching.selection(labels, fields)
        return watching.watch_objects(self._wire, request, resource, selected, deadline)

    def logs(
        self,
        pod: str,
        container: str,
        *,
        follow: bool = False,
        previous: bool = False,
        since_time: str = "",
        tail: int | None = None,
    ) -> Iterator[str]:
        """Yield the lines of a container, each with its RFC 3339 time in front.

        Ends early without an error if the connection breaks or stays silent for a while, as it
        does for good once this machine has slept: `launcher/api/log_lines.py` looks what became of
        the container, and goes on.
        """
        query = {"container": container, "timestamps": "true"}
        query |= {"follow": "true"} if follow else {}
        query |= {"previous": "true"} if previous else {}
        query |= {"sinceTime": since_time} if since_time else {}
        query |= {"tailLines": str(tail)} if tail is not None else {}
        request = self._request("get", resources.PODS, None, pod, "log")
        path = resources.PODS.path(request.namespace, pod, "log")
        for line in self._wire.lines(
            path, request, query=query, read_timeout_s=self._wire.silence_s
        ):
            yield line.decode("utf-8", errors="replace")

    # Questions

    def version(self) -> str:
        """The API server's version, for example v1.36.3."""
        answer = self._wire.json("GET", "/version", Request("get", None))
        return str(answer.get("gitVersion", "unknown"))

    def clock(self) -> float:
        """The server's time in seconds since 1970, exact to a second; 0 if it does not say."""
        response = self._wire.send("GET", "/version", Request("get", None))
        response.drain_conn()
        response.release_conn()
        try:
            told = email.utils.parsedate_to_datetime(response.headers.get("Date") or "")
        except ValueError:  # A proxy may leave it out, or write something else.
            return 0.0
        return told.timestamp()

    def serves(self, resource: Resource) -> bool:
        """Whether the cluster knows a kind in the version the launcher speaks."""
        group = f"/apis/{resource.group}" if resource.group else "/api"
        try:
            found = self.read(f"{group}/{resource.version}")
        except NotFoundError:
            return False
        return any(item["name"] == resource.plural for item in found.get("resources", []))

    def may(
        self, verb: str, resource: Resource, *, subresource: str = "", namespace: str | None = None
    ) -> bool:
        """Whether you may do this in the namespace, by SelfSubjectAccessReview."""
        asked = {
            "verb": verb, "group": resource.group, "resource": resource.plural,
            "subresource": subresource,
            "namespace": (namespace or self.namespace) if resource.namespaced else "",
        }  # fmt: skip
        review = resources.ACCESS_REVIEWS
        answer = self.create(
            {"apiVersion": review.api_version, "kind": review.kind,
             "spec": {"resourceAttributes": asked}}
        )  # fmt: skip
        return bool(answer.get("status", {}).get("allowed"))

    def read(self, path: str) -> Object:
        """Read an address that is no object of a kind, for example an aggregated API's view."""
        return self._wire.json("GET", path, Request("get", None, name=path))

    def _request(
        self,
        verb: str,
        resource: Resource,
        namespace: str | None,
        name: str = "",
        subresource: str = "",
    ) -> Request:
        where = (namespace or self.namespace) if resource.namespaced else ""
        return Request(verb, resource, where, name, subresource)


def _writing(dry_run: bool) -> dict[str, str]:
    return {"fieldManager": wire.AGENT} | ({"dryRun": "All"} if dry_run else {})
