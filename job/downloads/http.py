"""Large files over HTTP: continued where they broke off, checked, and never half there."""

import logging
import os
import re
import time
from dataclasses import dataclass
from http import HTTPStatus

import requests
import urllib3

from job.contract.errors import (
    ConfigError,
    DataError,
    DeniedError,
    InputMissingError,
    StorageUnreachableError,
)
from job.downloads.address import shown
from job.downloads.partial_file import Expected, Origin, PartialFile, check_file
from job.process.progress_bar import WorkProgress
from job.storage import content_range
from job.storage.content_range import ContentRange
from job.storage.progress_floor import Floor, FloorAdapter, TooSlowError

_LOG = logging.getLogger(__name__)
_PIECE_BYTES = 128 << 10
_LONGEST_WAIT_S = 30.0
_RETRIED = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS)
_DENIED = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.PROXY_AUTHENTICATION_REQUIRED)
_WORTH_BYTES = 64 << 10
"""An attempt that brought less brought nothing: the number of attempts is what ends a trickle."""
_REASONS = {
    "resolve": "its host name cannot be resolved",
    "refused": "the connection is refused",
    "broken": "the connection broke off",
    "reset": "the connection was reset",
    "timed out": "no answer in time",
    "unreachable": "there is no route to it",
    "proxy": "the proxy does not let it through",
    "certificate": "its certificate is not trusted",
}


@dataclass(frozen=True)
class Persistence:
    """When to give up: after `attempts` in a row that brought next to nothing. Times in seconds."""

    attempts: int = 6
    first_wait_s: float = 1.0
    connect_timeout_s: float = 15.0
    read_timeout_s: float = 60.0
    floor_bytes_per_s: float = 1000.0

    @property
    def floor(self) -> Floor:
        """The least that must come, or an attempt counts as broken off."""
        return Floor(self.floor_bytes_per_s, self.read_timeout_s)


class _BrokenOffError(Exception):
    """An attempt that another one may complete; says what the server did."""


_BREAKS = (
    _BrokenOffError,
    requests.ConnectionError,
    requests.Timeout,
    urllib3.exceptions.HTTPError,
)


def fetch(url: str, path: str, expected: Expected, persistence: Persistence | None = None) -> None:
    """Download a file, or what is missing of it.

    Args:
        url: http:// or https://.
        path: Local file. One that is there already is only checked.
        expected: What it must be.
        persistence: When to give up.

    Raises:
        DataError: The file has another length or hash; it is kept as PATH.corrupt.
        InputMissingError, DeniedError: The server says so.
        NoSpaceError: The disk is too small, or full on the way; the part is kept.
        StorageUnreachableError: No connection, or it kept breaking; the part is kept.
        ConfigError: The address is none, or another process downloads this file right now.
    """
    if not re.match(r"https?://[^/]", url):
        raise ConfigError(f"{shown(url)!r} is not an address that begins with http:// or https://")
    if os.path.exists(path):
        check_file(path, expected, shown_as=path)
        _LOG.info("%s is there already", path)
        return
    with PartialFile(path) as part:
        _complete(part, url, expected, persistence or Persistence())
        part.finish(expected)


def _complete(part: PartialFile, url: str, expected: Expected, persistence: Persistence) -> None:
    """Ask again and again until the part is whole, or nothing comes any more."""
    failures = 0
    with requests.Session() as session:
        for scheme in ("https://", "http://"):
            session.mount(scheme, FloorAdapter(persistence.floor))
        while True:
            before = part.size
            try:
                return _attempt(session, part, url, expected, persistence)
            except _BREAKS as error:
                failures = 1 if part.size - before >= _WORTH_BYTES else failures + 1
                if failures >= persistence.attempts:
                    raise _unreachable(url, part.size, error) from error
                wait_s = min(persistence.first_wait_s * 2 ** (failures - 1), _LONGEST_WAIT_S)
                _LOG.info(
                    "%s; %.1f MB are here, trying again in %.0f s",
                    _reason(error),
                    part.size / 1e6,
                    wait_s,
                )
                time.sleep(wait_s)
            except requests.RequestException as error:
                said = str(error).replace(url, shown(url))
                raise ConfigError(f"{shown(url)} cannot be asked for: {said}") from error


def _attempt(
    session: requests.Session,
    part: PartialFile,
    url: str,
    expected: Expected,
    persistence: Persistence,
) -> None:
    origin = part.recall(url)
    if not origin.validator and not expected.sha256:
        part.start_over()  # Nothing would tell whether the rest is of the same file.
    if part.size and part.size == origin.total:
        return
    # As it is: a server may offer to unpack a .gz on the way.
    headers = {"Accept-Encoding": "identity"}
    if part.size:
        headers["Range"] = f"bytes={part.size}-"
        if origin.validator:
            headers["If-Range"] = origin.validator
    timeout = (persistence.connect_timeout_s, persistence.read_timeout_s)
    with session.get(url, headers=headers, stream=True, timeout=timeout) as response:
        _check_status(response, url)
        total = _bring_to_start(part, response, origin)
        part.remember(Origin(url, _validator(response), total))
        if total is not None:
            _check_total(total, expected, url)
            part.check_room(total - part.size)
        _copy(response, part, total)


def _check_status(response: requests.Response, url: str) -> None:
    status = response.status_code
    said = f"{shown(url)} answers {status} {response.reason}"
    if status in _RETRIED or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        raise _BrokenOffError(f"the server answers {status} {response.reason}")
    if status in _DENIED:
        raise DeniedError(f"{said}; name a mirror by --url")
    if status >= HTTPStatus.BAD_REQUEST and status != HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
        raise InputMissingError(f"{said}; name a mirror by --url")


def _bring_to_start(part: PartialFile, response: requests.Response, origin: Origin) -> int | None:
    """Make the part end where the answer begins; the length of the whole file is returned."""
    if response.status_code == HTTPStatus.OK:
        # The file is another one by now, or this server knows no ranges.
        part.start_over()
        length = response.headers.get("Content-Length", "")
        return int(length) if length.isdigit() else None
    span = content_range.parse(response.headers.get("Content-Range", ""))
    if span and _continues(part, span, response, origin):
        return origin.total if span.size is None else span.size
    part.start_over()
    raise _BrokenOffError(
        f"the server answers {response.status_code} with Content-Range "
        f"{response.headers.get('Content-Range')!r}"
    )


def _continues(
    part: PartialFile, span: ContentRange, response: requests.Response, origin: Origin
) -> bool:
    """Whether an answer begins where the part ends, and is of the same file."""
    if span.first is None or span.last is None:
        return False
    length = response.headers.get("Content-Length", "")
    return (
        span.first == part.size
        and length in ("", str(span.last + 1 - span.first))
        and (None in (origin.total, span.size) or origin.total == span.size)
        and origin.validator in ("", _validator(response))
    )


def _check_total(total: int, expected: Expected, url: str) -> None:
    """Refuse another file before it is downloaded."""
    if expected.bytes is not None and total != expected.bytes:
        raise DataError(
            f"{shown(url)} offers {total:,} bytes, the file must have {expected.bytes:,}; "
            "name another mirror by --url"
        )


def _copy(response: requests.Response, part: PartialFile, total: int | None) -> None:
    name = os.path.basename(part.path)
    missing = max(0, (total or 0) - part.size)
    with WorkProgress(f"downloading {name}", "downloaded", missing, "B") as progress:
        # Not iter_content: it would unpack what says Content-Encoding: gzip.
        while piece := response.raw.read(_PIECE_BYTES, decode_content=False):
            part.append(piece)
            progress.advance(len(piece))
    if total is not None and part.size != total:
        raise _BrokenOffError(f"the server sent {part.size:,} of {total:,} bytes")


def _validator(response: requests.Response) -> str:
    """Give what If-Range may compare: a strong ETag, or else the date (RFC 9110, 13.1.5)."""
    etag = response.headers.get("ETag", "")
    return etag if etag and not etag.startswith("W/") else response.headers.get("Last-Modified", "")


def _unreachable(url: str, size: int, error: Exception) -> StorageUnreachableError:
    kept = f"; the first {size / 1e6:.1f} MB are kept, start again to go on" if size else ""
    return StorageUnreachableError(
        f"cannot download {shown(url)}: {_reason(error)}{kept}; check the network and its proxy "
        "settings, or name a mirror by --url"
    )


def _reason(error: Exception) -> str:
    """Say in a few words what broke; urllib3 wraps the system's words in several layers."""
    text = str(error)
    if isinstance(error, (_BrokenOffError, TooSlowError)):
        return text
    known = (reason for sign, reason in _REASONS.items() if sign in text.lower())
    return next(known, f"the connection broke ({type(error).__name__})")
