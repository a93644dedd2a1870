"""Requests to an API server: credentials, retries and lines of a stream.

Works on the kubernetes client's connection pool and credentials, given by
`launcher/api/connection.py`. Answers other than 2xx are raised as the errors of
`launcher/api/errors.py`; those that may pass (429, 5xx, a connection that breaks) only once a
deadline is over.
"""

import contextlib
import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import urlencode

import urllib3

from launcher.api.backoff import Deadline, pauses
from launcher.api.errors import TRANSIENT, Request, error_for, one_line
from launcher.errors import LauncherError, UnreachableError

RETRY_S = 20.0
SILENCE_S = 45.0
"""How long a stream may say nothing before it is asked for anew: it may be dead."""
MERGE_PATCH = "application/merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"
METADATA_ONLY = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
AGENT = "food101-launcher"

_JSON = "application/json"
_CONNECT_TIMEOUT_S = 5.0
_READ_TIMEOUT_S = 30.0
_CHUNK_BYTES = 1 << 16


class Wire:
    """A connection to one API server with somebody's credentials."""

    def __init__(self, make_client: Callable[[], Any], *, retry_s: float = RETRY_S) -> None:
        """Take what makes a `kubernetes.client.ApiClient`; it is called again on a 401."""
        self.retry_s = retry_s
        self.silence_s = SILENCE_S
        self._make_client = make_client
        self._client = make_client()
        self._renewing = threading.Lock()

    @property
    def server(self) -> str:
        """The address of the API server."""
        return str(self.configuration.host)

    @property
    def configuration(self) -> Any:
        """The credentials and the address, as the kubernetes client holds them."""
        return self._client.configuration

    def json(
        self,
        method: str,
        path: str,
        request: Request,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        content_type: str = "application/json",
        accept: str = _JSON,
    ) -> dict[str, Any]:
        """Send and give the object that comes back."""
        response = self.send(
            method, path, request, query=query, body=body, content_type=content_type, accept=accept
        )
        return _object_of(response)

    def lines(
        self,
        path: str,
        request: Request,
        *,
        query: Mapping[str, str],
        read_timeout_s: float,
    ) -> Iterator[bytes]:
        """Send and yield lines as they come; a connection that breaks ends them without an error.

        A last line without a newline is given only if the stream has ended as it should.
        """
        response = self.send("GET", path, request, query=query, read_timeout_s=read_timeout_s)
        rest = b""
        with contextlib.closing(response):
            try:
                for chunk in response.stream(_CHUNK_BYTES):
                    *whole, rest = (rest + chunk).split(b"\n")
                    yield from whole
            except (urllib3.exceptions.HTTPError, OSError):
                return
            if rest:
                yield rest

    def send(
        self,
        method: str,
        path: str,
        request: Request,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        content_type: str = "application/json",
        accept: str = _JSON,
        read_timeout_s: float = _READ_TIMEOUT_S,
    ) -> Any:
        """Send until there is a definite answer; gives the response, its body not yet read."""
        headers = {"Accept": accept, "User-Agent": AGENT}
        headers |= {} if body is None else {"Content-Type": content_type}
        deadline = Deadline(self.retry_s)
        renewed = reconnected = False
        for pause in pauses():
            wait_s = pause
            try:
                response = self._once(method, path, query, body, headers, read_timeout_s)
            except (urllib3.exceptions.HTTPError, OSError) as error:
                failure: LauncherError = UnreachableError(_unreachable(self.server, error))
                if _is_hopeless(error):
                    raise failure from error
                if _may_be_stale(error) and not reconnected:
                    # The whole pool may be from before this machine slept, or changed networks.
                    reconnected = True
                    self._client.rest_client.pool_manager.clear()
                    continue
            else:
                if response.status < 300:
                    return response
                failure = error_for(response.status, _object_of(response), request)
                if response.status == 401 and not renewed:
                    renewed = True
                    self._renew()
                    continue
                if response.status not in TRANSIENT:
                    raise failure
                wait_s = max(pause, _retry_after_s(response))
            if wait_s >= deadline.left_s:
                raise failure
            time.sleep(wait_s)
        raise AssertionError("pauses never end")

    def _once(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        body: Mapping[str, Any] | None,
        headers: Mapping[str, str],
        read_timeout_s: float,
    ) -> Any:
        configuration = self.configuration
        credentials = {
            each["key"]: each["value"] or "" for each in configuration.auth_settings().values()
        }
        if configuration.username:
            credentials["authorization"] = configuration.get_basic_auth_token()
        return self._client.rest_client.pool_manager.request(
            method,
            configuration.host + path + ("?" + urlencode(query) if query else ""),
            body=None if body is None else json.dumps(body).encode(),
            headers={**headers, **credentials},
            timeout=urllib3.Timeout(connect=_CONNECT_TIMEOUT_S, read=read_timeout_s),
            retries=False,
            preload_content=False,
        )

    def _renew(self) -> None:
        """Read the credentials again: a token may have expired in a long session."""
        with self._renewing:
            self._client = self._make_client()


def _object_of(response: Any) -> dict[str, Any]:
    """Read a body; what is no JSON object (`404 page not found`) counts as empty."""
    try:
        found = json.loads(response.data)
    except (ValueError, RecursionError, urllib3.exceptions.HTTPError):
        return {}
    finally:
        response.release_conn()
    return found if isinstance(found, dict) else {}


def _retry_after_s(response: Any) -> float:
    try:
        return float(response.headers.get("Retry-After") or 0)
    except ValueError:  # an HTTP date, which API servers do not send
        return 0.0


def _may_be_stale(error: Exception) -> bool:
    """Whether a connection that was made earlier has broken, rather than a new one failed."""
    return isinstance(error, urllib3.exceptions.ReadTimeoutError | urllib3.exceptions.ProtocolError)


def _is_hopeless(error: Exception) -> bool:
    """Whether trying again cannot help: a certificate does not get better."""
    return isinstance(error, urllib3.exceptions.SSLError) and "certificate" in str(error).lower()


def _unreachable(server: str, error: Exception) -> str:
    text = one_line(str(error))
    if isinstance(error, urllib3.exceptions.SSLError | ssl.SSLError):
        return f"the cluster at {server} cannot be trusted: {text}; check the kubeconfig's CA"
    if isinstance(error, urllib3.exceptions.NameResolutionError):
        why = "its name does not resolve"
    elif isinstance(error, urllib3.exceptions.NewConnectionError) and "refused" in text:
        why = "the connection is refused"
    elif isinstance(error, urllib3.exceptions.ConnectTimeoutError):
        why = f"no connection within {_CONNECT_TIMEOUT_S:.0f} s"
    elif isinstance(error, urllib3.exceptions.ReadTimeoutError):
        why = f"no answer within {_READ_TIMEOUT_S:.0f} s"
    else:
        why = text
    return (
        f"the cluster at {server} does not answer ({why}); is it running, and are you on its "
        "network or VPN? another one is chosen with --context"
    )
