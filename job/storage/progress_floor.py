"""Transfers that hardly move are broken off, and none that does move.

A timeout alone is satisfied by one byte a minute where something is read; where something is sent
it counts from the first byte to the last, and breaks off what is merely large.

What is counted is the time spent waiting for the network, so that a reader that is busy
elsewhere, or a slow disk, never ends a transfer.
"""

import io
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import urllib3
from requests import PreparedRequest, Response
from requests.adapters import HTTPAdapter

_PIECE_BYTES = 64 << 10
_BLOCK_BYTES = 64 << 10


@dataclass(frozen=True, slots=True)
class Floor:
    """The least that must come: `bytes_per_s` on average over `window_s` seconds of waiting."""

    bytes_per_s: float
    window_s: float


class TooSlowError(urllib3.exceptions.HTTPError):
    """A transfer that fell below its floor; what has come so far has been handed over."""


class FlooredBody:
    """The body of an answer, read as urllib3's own, but broken off below a floor.

    Everything else about it is urllib3's.
    """

    def __init__(self, body: urllib3.BaseHTTPResponse, floor: Floor) -> None:
        self._body = body
        self._floor = floor
        self._waited_s = 0.0
        self._came = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._body, name)

    def read1(self, amount: int, decode_content: bool = False) -> bytes:
        """Return what is there, at most `amount` bytes of it; nothing at the end.

        Raises:
            TooSlowError: Too little came.
        """
        started = time.monotonic()
        piece = self._body.read1(amount, decode_content=decode_content)
        self._waited_s += time.monotonic() - started
        self._came += len(piece)
        if self._waited_s >= self._floor.window_s:
            if piece and self._came < self._floor.bytes_per_s * self._waited_s:
                self._body.close()
                raise TooSlowError(f"only {self._came:,} bytes came in {self._waited_s:.0f} s")
            self._waited_s, self._came = 0.0, 0
        return piece

    def stream(self, amount: int, decode_content: bool = False) -> Iterator[bytes]:
        """Yield the whole body, piece by piece."""
        while piece := self.read1(amount, decode_content):
            yield piece

    def read(self, amount: int | None = None, decode_content: bool = False) -> bytes:
        """Return `amount` bytes, or the whole body; fewer at its end."""
        pieces: list[bytes] = []
        missing = amount
        while missing is None or missing > 0:
            piece = self.read1(missing or _PIECE_BYTES, decode_content)
            if not piece:
                break
            pieces.append(piece)
            missing = None if missing is None else missing - len(piece)
        return b"".join(pieces)


class FloorAdapter(HTTPAdapter):
    """Holds every answer of a session to a floor, and every request's body to a timeout per block.

    Args:
        floor: The least that must come.
        connections: Connections kept to one server.
    """

    def __init__(self, floor: Floor, connections: int = 10) -> None:
        self._floor = floor
        super().__init__(pool_maxsize=connections)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Have bodies that are read like files sent in blocks of our size."""
        super().init_poolmanager(*args, **kwargs, blocksize=_BLOCK_BYTES)

    def send(self, request: PreparedRequest, *args: Any, **kwargs: Any) -> Response:
        """Send a request; a large body block by block, each within the connect timeout."""
        body = request.body
        if isinstance(body, bytes) and len(body) > _BLOCK_BYTES:
            request.body = io.BytesIO(body)  # type: ignore[assignment]
        try:
            return super().send(request, *args, **kwargs)
        finally:
            request.body = body  # A redirect sends it once more.

    def build_response(self, req: PreparedRequest, resp: urllib3.BaseHTTPResponse) -> Response:
        """Make requests' answer of urllib3's."""
        response = super().build_response(req, resp)
        response.raw = FlooredBody(resp, self._floor)
        return response
