"""A small API server over HTTP for the real kubernetes client: JSON as a real one sends it.

It keeps objects and answers get, list (selectors, pages), create (dry run, generateName), patch,
apply, delete (owned objects too), watch (bookmarks, 410), logs, access reviews and discovery.
Tests add objects with `put`, faults with `fail`, denied permissions with `deny` and logs with
`log`; `requests` tells what was asked. What a controller would do does not happen by itself.
"""

import json
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from launcher.api import resources
from launcher.api.resources import Resource
from tests.launcher.fake_requests import (
    PATH,
    LogFile,
    ObjectRequest,
    StatusError,
    key_of,
    resource_of,
    status_object,
)
from tests.launcher.fake_store import Object, Store


@dataclass
class Fault:
    """An answer instead of the real one, for a number of requests."""

    method: str
    path: str
    status: int
    body: Object
    times: int
    headers: dict[str, str] = field(default_factory=dict)


class FakeApiServer:
    """The server; a context manager. `kubeconfig(folder)` writes a file that leads to it."""

    def __init__(self, *, absent: tuple[str, ...] = ()) -> None:
        """Start; groups named in `absent` are not served (nothing installed)."""
        self.store = Store()
        self.absent = absent
        self.faults: list[Fault] = []
        self.denied: set[tuple[str, str]] = set()
        self.logs: dict[tuple[str, bool], LogFile] = {}
        self.views: dict[str, Object] = {}
        self.requests: list[str] = []
        self.admission: Callable[[Object], Object | None] = lambda _: None
        self.token = "secret-token"
        self.break_watch = False
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.fake = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        self.closing = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> "FakeApiServer":
        return self

    def __exit__(self, *_: object) -> None:
        self.closing = True
        with self.store.changed:
            self.store.changed.notify_all()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def kubeconfig(self, folder: Any, *, token: str = "", namespace: str = "team") -> str:
        """Write a kubeconfig and give its path."""
        path = f"{folder}/kubeconfig"
        content = {
            "apiVersion": "v1", "kind": "Config", "current-context": "fake",
            "clusters": [{"name": "fake", "cluster": {"server": self.url}}],
            "users": [{"name": "jane", "user": {"token": token or self.token}}],
            "contexts": [
                {"name": "fake",
                 "context": {"cluster": "fake", "user": "jane", "namespace": namespace}}
            ],
        }  # fmt: skip
        with open(path, "w", encoding="utf-8") as file:
            json.dump(content, file)
        return path

    def put(self, item: Object) -> Object:
        """Create or replace an object, as a user or a controller would."""
        return self.store.put(key_of(item), item)

    def object(self, resource: Resource, name: str, namespace: str = "team") -> Object | None:
        where = namespace if resource.namespaced else ""
        return self.store.objects.get((resource.api_version, resource.plural, where, name))

    def remove(self, item: Object) -> None:
        self.store.remove(key_of(item))

    def fail(
        self, method: str, path: str, status: int, message: str = "", *, reason: str = "",
        times: int = 1, details: Object | None = None, headers: dict[str, str] | None = None,
    ) -> None:  # fmt: skip
        """Answer matching requests with an error; status 0 breaks the connection."""
        body = status_object(status, reason, message, details)
        self.faults.append(Fault(method, path, status, body, times, headers or {}))

    def deny(self, verb: str, plural: str) -> None:
        """Take a permission away (also `pods/log`)."""
        self.denied.add((verb, plural))

    def deny_elsewhere(self, verb: str, plural: str) -> None:
        """Leave a permission to a namespace: not to be used for all of them at once."""
        self.denied.add((verb, f"{plural} everywhere"))

    def log(self, pod: str, *lines: str, previous: bool = False, finished: bool = True) -> LogFile:
        """Give a pod a log; lines without a time get one, a millisecond apart."""
        file = self.logs.setdefault((pod, previous), LogFile())
        with self.store.changed:
            for line in lines:
                stamp = f"2026-11-20T10:00:00.{len(file.lines):03d}000000Z "
                file.lines.append(line if re.match(r"\d{4}-\d\d-\d\dT", line) else stamp + line)
            file.finished = finished
            self.store.changed.notify_all()
        return file


class _Server(ThreadingHTTPServer):
    fake: FakeApiServer
    daemon_threads = True


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer("GET")

    def do_POST(self) -> None:
        self._answer("POST")

    def do_PATCH(self) -> None:
        self._answer("PATCH")

    def do_DELETE(self) -> None:
        self._answer("DELETE")

    def log_message(self, *_: object) -> None:
        pass

    def _answer(self, method: str) -> None:
        url = urlsplit(self.path)
        query = dict(parse_qsl(url.query))
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else {}
        self._fake.requests.append(f"{method} {self.path}")
        try:
            self._fault(method)
            self._authenticate()
            self._route(method, url.path, query, body)
        except StatusError as error:
            self.send(error.code, error.body)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    @property
    def _fake(self) -> FakeApiServer:
        return self.server.fake

    def _authenticate(self) -> None:
        if self.headers.get("authorization") != f"Bearer {self._fake.token}":
            raise StatusError(401, "Unauthorized", "Unauthorized")

    def _fault(self, method: str) -> None:
        for fault in self._fake.faults:
            if fault.times and fault.method == method and re.search(fault.path, self.path):
                fault.times -= 1
                if not fault.status:
                    self.close_connection = True
                    raise ConnectionResetError
                self.send(fault.status, fault.body, fault.headers)
                raise BrokenPipeError

    def _route(self, method: str, path: str, query: dict[str, str], body: Object) -> None:
        if path == "/version":
            return self.send(200, {"major": "1", "minor": "36", "gitVersion": "v1.36.3"})
        if path in self._fake.views:
            return self.send(200, self._fake.views[path])
        if re.fullmatch(r"/(api|apis/[^/]+)/v[^/]+", path):
            return self._discover(path)
        match = PATH.fullmatch(path)
        resource = resource_of(match) if match else None
        if match is None or resource is None or resource.group in self._fake.absent:
            return self._plain(404, "404 page not found\n")
        return ObjectRequest(self._fake, self, resource, match, query, body).answer(method)

    def _discover(self, path: str) -> None:
        version = path.removeprefix("/apis/").removeprefix("/api/")
        found = [r for r in resources.BY_KIND.values() if r.api_version == version]
        if not found or found[0].group in self._fake.absent:
            return self._plain(404, "404 page not found\n")
        listed = [{"name": r.plural, "kind": r.kind, "namespaced": r.namespaced} for r in found]
        return self.send(200, {"kind": "APIResourceList", "resources": listed})

    def send(self, code: int, content: Object, headers: dict[str, str] | None = None) -> None:
        payload = json.dumps(content).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(payload)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(payload)

    def _plain(self, code: int, text: str) -> None:
        self.send_response(code)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def stream(self, chunks: Iterator[bytes]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        try:
            for chunk in chunks:
                self.wfile.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
            self.wfile.write(b"0\r\n\r\n")
        except ConnectionResetError:
            self.close_connection = True
