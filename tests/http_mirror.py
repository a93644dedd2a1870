"""A web server with one file, which misbehaves on purpose.

mirror.cut_after = [1000, 0]   # the first answer ends after 1,000 bytes, the second at once
mirror.ranges = False          # Range is ignored: always the whole file
mirror.statuses = [503]        # the first request is refused
mirror.cap = 1000              # an answer to a range holds that much at most
mirror.shift = 1               # and begins a byte later than asked for
mirror.trickle_s = 0.1         # between two bytes
mirror.replacements = [b""]    # before the second request there is another file
"""

import hashlib
import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Mirror:
    """Serves `content` at `url` until it is left; `ranges_asked` lists what each request wanted."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.etag: str | None = '"first"'
        self.last_modified: str | None = None
        self.ranges = True
        self.honours_if_range = True
        self.cut_after: list[int] = []
        self.statuses: list[int] = []
        self.headers: dict[str, str] = {}
        self.with_length = True
        self.pause_s = 0.0
        self.cap = 1 << 30
        self.shift = 0
        self.trickle_s = 0.0
        self.replacements: list[bytes] = []
        self.ranges_asked: list[str | None] = []
        self._server = _Server(self)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/pretrained.tar.gz"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    def replace(self, content: bytes) -> None:
        """Serve another file from now on, with validators of its own if there were any."""
        self.content = content
        tag = hashlib.sha256(content).hexdigest()[:8]
        self.etag = self.etag and f'"{tag}"'
        self.last_modified = self.last_modified and f"Tue, 24 Nov 2026 10:00:{len(content) % 60:02}"

    def __enter__(self) -> "Mirror":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, mirror: Mirror) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.mirror = mirror


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        mirror = self.server.mirror
        asked = self.headers.get("Range")
        if mirror.ranges_asked and mirror.replacements:
            mirror.replace(mirror.replacements.pop(0))
        mirror.ranges_asked.append(asked)
        if mirror.statuses:
            self.send_error(mirror.statuses.pop(0))
            return
        start = self._first_byte(asked)
        total = len(mirror.content)
        if start > 0 and start >= total:
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{total}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(206 if start else 200)
        body = mirror.content[start:]
        if start:
            start = min(start + mirror.shift, total - 1)
            body = mirror.content[start : start + mirror.cap]
            self.send_header("Content-Range", f"bytes {start}-{start + len(body) - 1}/{total}")
        self._send_body(body)

    def _first_byte(self, asked: str | None) -> int:
        mirror = self.server.mirror
        match = re.fullmatch(r"bytes=(\d+)-", asked or "")
        condition = self.headers.get("If-Range")
        changed = mirror.honours_if_range and condition not in (
            None,
            mirror.etag,
            mirror.last_modified,
        )
        return int(match[1]) if match and mirror.ranges and not changed else 0

    def _send_body(self, body: bytes) -> None:
        mirror = self.server.mirror
        validators = {"ETag": mirror.etag, "Last-Modified": mirror.last_modified}
        for name, value in (validators | mirror.headers).items():
            if value is not None:
                self.send_header(name, value)
        if mirror.with_length:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        end = mirror.cut_after.pop(0) if mirror.cut_after else len(body)
        time.sleep(mirror.pause_s)
        if not mirror.trickle_s:
            self.wfile.write(body[:end])
            return
        for byte in body[:end]:
            self.wfile.write(bytes([byte]))
            time.sleep(mirror.trickle_s)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""
