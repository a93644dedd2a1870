"""A proxy in front of a storage server that misbehaves on purpose.

proxy.faults.append(Fault(status=503, share=0.2))       # a fifth of all requests
proxy.faults.append(Fault(status=403, paths=r"/o\\?"))   # listing is not allowed
proxy.faults.append(Fault(lose_answer=True, times=1))   # done, but nobody hears of it
proxy.faults.append(Fault(until=event))                 # requests wait for an event
proxy.faults.append(Fault(before=replace, times=1))     # something happens just before one
proxy.faults.append(Fault(without_range=True))          # whole objects instead of parts
proxy.faults.append(Fault(cut_at=10))                   # connections break after 10 bytes
proxy.down = True                                       # connections are refused at once
proxy.strict = True                                     # conditions of large uploads are held
"""

import contextlib
import http.client
import json
import random
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import quote, urlsplit

from tests.upload_conditions import UploadConditions

_HOP_HEADERS = {"connection", "transfer-encoding", "host", "content-length"}
_PIECE_BYTES = 64 << 10


@dataclass
class Fault:
    """What happens to a share of the requests whose "METHOD /path" matches.

    `message` tells more than `reason`, and in plain text if `plain`, as contents are refused;
    `sent_bytes` are all that an answer holds, `honest` whether its Content-Range says so.
    """

    status: int | None = None
    reason: str = "injected"
    message: str = ""
    plain: bool = False
    retry_after_s: int | None = None
    drop: bool = False
    lose_answer: bool = False
    cut_body: bool = False
    corrupt_body: bool = False
    delay_s: float = 0.0
    until: threading.Event | None = None
    bytes_per_s: float | None = None
    takes_bytes_per_s: float | None = None
    piece_bytes: int = _PIECE_BYTES
    before: Callable[[], None] | None = None
    without_range: bool = False
    without_generation: bool = False
    shift_range: int = 0
    cut_at: int | None = None
    sent_bytes: int | None = None
    honest: bool = True
    share: float = 1.0
    paths: str = ""
    times: int | None = None
    seen: int = field(default=0, init=False)

    def altered(self, path: str, headers: dict[str, str]) -> str:
        """Change a request as a proxy on the way might; its path is returned."""
        if self.without_range:
            headers.pop("Range", None)
        first, _, last = headers.get("Range", "").removeprefix("bytes=").partition("-")
        if self.shift_range and first:
            shifted = max(0, int(first) + self.shift_range)
            headers["Range"] = f"bytes={shifted}-{int(last) + self.shift_range if last else ''}"
        return re.sub(r"&generation=\d+", "", path) if self.without_generation else path


class FaultProxy:
    """Forwards to `upstream` until told otherwise.

    `requests` and `authorizations` list what came, in order.
    """

    def __init__(self, upstream: str, seed: int = 0) -> None:
        self.faults: list[Fault] = []
        self.down = False
        self.strict = False
        self.requests: list[str] = []
        self.authorizations: list[str | None] = []
        self._upstream = urlsplit(upstream)
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self._conditions = UploadConditions(self._generation_of)
        self._one_at_a_time = threading.Lock()
        self._server = _Server(self)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def close(self) -> None:
        self.down = True
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def count(self, pattern: str) -> int:
        """How many requests matched."""
        return sum(bool(re.search(pattern, request)) for request in self.requests)

    def fault_of(self, request: str) -> Fault:
        """Choose the first fault that applies to a request, or a harmless one."""
        with self._lock:
            self.requests.append(request)
            if self.down:
                return Fault(drop=True)
            for fault in self.faults:
                spent = fault.times is not None and fault.seen >= fault.times
                if spent or not re.search(fault.paths, request):
                    continue
                if self._random.random() < fault.share:
                    fault.seen += 1
                    return fault
        return Fault()

    def forward(
        self, method: str, path: str, headers: dict[str, str], body: bytes
    ) -> tuple[int, list[tuple[str, str]], bytes]:
        """Send a request on, and give status, headers and content of the answer."""
        if not self.strict:
            return self._ask(method, path, headers, body)
        # One at a time, so that nothing changes between a condition's check and what follows it.
        with self._one_at_a_time:
            return self._forward_strictly(method, path, headers, body)

    def _forward_strictly(
        self, method: str, path: str, headers: dict[str, str], body: bytes
    ) -> tuple[int, list[tuple[str, str]], bytes]:
        if self._conditions.broken_by(method, path, headers, body):
            refused = Fault(status=412, reason="conditionNotMet")
            return 412, [("Content-Type", "application/json")], _error(refused)
        status, answered, content = self._ask(method, path, headers, body)
        location = dict(answered).get("Location", "")
        if location:
            self._conditions.note(method, path, body, location)
        return status, answered, content

    def _generation_of(self, bucket: str, name: str) -> int:
        path = f"/storage/v1/b/{bucket}/o/{quote(name, safe='')}"
        status, _, content = self._ask("GET", path, {}, b"")
        return int(json.loads(content)["generation"]) if status == 200 else 0

    def _ask(
        self, method: str, path: str, headers: dict[str, str], body: bytes
    ) -> tuple[int, list[tuple[str, str]], bytes]:
        upstream = http.client.HTTPConnection(self._upstream.netloc, timeout=60)
        with contextlib.closing(upstream):
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                # A server may answer, and hang up, before it has read all.
                upstream.request(method, path, body, headers)
            answer = upstream.getresponse()
            content = answer.read()
            base = f"{self._upstream.scheme}://{self._upstream.netloc}"
            # Resumable uploads go on at the address in Location: keep them on this way.
            kept = [
                (name, value.replace(base, self.url))
                for name, value in answer.getheaders()
                if name.lower() not in _HOP_HEADERS
            ]
            return answer.status, kept, content


@contextlib.contextmanager
def fault_proxy(upstream: str) -> Iterator[FaultProxy]:
    proxy = FaultProxy(upstream)
    try:
        yield proxy
    finally:
        proxy.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, proxy: FaultProxy) -> None:
        self.proxy = proxy
        super().__init__(("127.0.0.1", 0), _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that give up are what these tests are about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = _PIECE_BYTES
    disable_nagle_algorithm = True
    server: _Server

    def _any(self) -> None:
        fault = self.server.proxy.fault_of(f"{self.command} {self.path}")
        body = self._body(fault)
        self.server.proxy.authorizations.append(self.headers.get("Authorization"))
        time.sleep(fault.delay_s)
        if fault.until is not None:
            fault.until.wait()
        if fault.drop:
            self.close_connection = True
        elif fault.status is not None:
            headers = [("Content-Type", "application/json")]
            if fault.retry_after_s is not None:
                headers.append(("Retry-After", str(fault.retry_after_s)))
            self._answer(fault.status, headers, _error(fault))
        else:
            kept = {
                name: value
                for name, value in self.headers.items()
                if name.lower() not in _HOP_HEADERS
            }
            if fault.before is not None:
                fault.before()
            path = fault.altered(self.path, kept)
            answer = _shortened(self.server.proxy.forward(self.command, path, kept, body), fault)
            if fault.lose_answer:
                self.close_connection = True
            else:
                self._answer(*answer, fault)

    def _body(self, fault: Fault) -> bytes:
        length = int(self.headers.get("Content-Length") or 0)
        if not fault.takes_bytes_per_s:
            return self.rfile.read(length)
        # What the kernel takes in advance is not slow.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _PIECE_BYTES)
        body = b""
        while len(body) < length:
            piece = self.rfile.read(min(_PIECE_BYTES, length - len(body)))
            if not piece:
                break
            body += piece
            time.sleep(len(piece) / fault.takes_bytes_per_s)
        return body

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = do_HEAD = _any

    def _answer(
        self,
        status: int,
        headers: list[tuple[str, str]],
        content: bytes,
        fault: Fault | None = None,
    ) -> None:
        fault = fault or Fault()
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if fault.corrupt_body and content:
            content = bytes([content[0] ^ 1]) + content[1:]
        if fault.cut_body or (fault.cut_at is not None and fault.cut_at < len(content)):
            content = content[: len(content) // 2 if fault.cut_at is None else fault.cut_at]
            self.close_connection = True
        for start in range(0, len(content), fault.piece_bytes):
            piece = content[start : start + fault.piece_bytes]
            self.wfile.write(piece)
            if fault.bytes_per_s:
                self.wfile.flush()
                time.sleep(len(piece) / fault.bytes_per_s)

    def log_message(self, *args: object) -> None:
        """Say nothing: `FaultProxy.requests` is the log."""


def _shortened(
    answer: tuple[int, list[tuple[str, str]], bytes], fault: Fault
) -> tuple[int, list[tuple[str, str]], bytes]:
    """Let an answer to a range hold fewer bytes, whether it says so or not."""
    status, headers, content = answer
    sent = fault.sent_bytes
    if status != 206 or sent is None or not 0 < sent < len(content):
        return answer
    span = re.compile(r"bytes (\d+)-\d+/")

    def honest(value: str) -> str:
        return span.sub(lambda m: f"bytes {m[1]}-{int(m[1]) + sent - 1}/", value)

    if fault.honest:
        headers = [(n, honest(v) if n == "Content-Range" else v) for n, v in headers]
    return status, headers, content[:sent]


def _error(fault: Fault) -> bytes:
    message = fault.message or fault.reason
    if fault.plain:
        return message.encode()
    detail = {"reason": fault.reason, "message": message}
    error = {"code": fault.status, "message": message, "errors": [detail]}
    return json.dumps({"error": error}).encode()
