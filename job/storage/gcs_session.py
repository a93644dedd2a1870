"""Who we are to Google Cloud Storage, over which connections, and how many requests it took."""

import collections
import logging
import os
import re
import threading
from typing import Any
from urllib.parse import urlencode

import google.auth
from google.auth.credentials import (
    AnonymousCredentials,
    Credentials,
    with_scopes_if_required,
)
from google.auth.exceptions import DefaultCredentialsError
from google.auth.transport.requests import AuthorizedSession
from google.cloud.storage import Client
from requests import Response

from job.contract.errors import DeniedError
from job.storage.progress_floor import Floor, FloorAdapter

_SCOPE = "https://www.googleapis.com/auth/devstorage.read_write"
_EMULATOR = "STORAGE_EMULATOR_HOST"
_KEY_FILE = "GOOGLE_APPLICATION_CREDENTIALS"
_NO_BUCKET_METADATA = "DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA"
_MOST_CONNECTIONS = 64
_OBJECT_URL = re.compile(r"/b/[^/]+/o(?P<object>/[^?]+)?(?:\?|$)")


class RequestCounts:
    """Requests sent so far, by kind: list, stat, read, write, delete. Safe between threads."""

    def __init__(self) -> None:
        self._counts: collections.Counter[str] = collections.Counter()
        self._lock = threading.Lock()

    def add(self, method: str, url: str) -> None:
        """Count one request."""
        with self._lock:
            self._counts[_kind(method, url)] += 1

    def snapshot(self) -> dict[str, int]:
        """Return a copy of the counts."""
        with self._lock:
            return dict(self._counts)


class _CountingSession(AuthorizedSession):  # type: ignore[misc]
    def __init__(
        self, credentials: Credentials, counts: RequestCounts, floor: Floor, payer: str
    ) -> None:
        # Nobody's token cannot be renewed; other tokens are when storage answers 401.
        anonymous = isinstance(credentials, AnonymousCredentials)
        super().__init__(credentials, refresh_status_codes=() if anonymous else (401,))
        self._request_counts = counts
        self._payer = payer
        # The client's default of 10 connections would serialize parallel ranges.
        adapter = FloorAdapter(floor, _MOST_CONNECTIONS)
        self.mount("https://", adapter)
        self.mount("http://", adapter)

    def request(self, method: str, url: str, *args: Any, **kwargs: Any) -> Response:
        self._request_counts.add(method, url)
        # A session of an upload was opened with the project; its address says so already.
        if self._payer and "upload_id=" not in url:
            url += f"{'&' if '?' in url else '?'}{urlencode({'userProject': self._payer})}"
        response: Response = super().request(method, url, *args, **kwargs)
        return response


def connect(
    counts: RequestCounts, floor: Floor, billing_project: str = ""
) -> tuple[Client, AuthorizedSession]:
    """Return a client and the session it uses.

    Credentials are Application Default Credentials of any kind (a key file, a user's login,
    Workload Identity, a federated identity); without any, access is anonymous, which is enough
    for public buckets. `STORAGE_EMULATOR_HOST` names another server and needs none. With
    `billing_project` that project pays where a bucket has the requester pay.
    """
    # The client would ask for every bucket's metadata, for traces that nobody collects here.
    os.environ.setdefault(_NO_BUCKET_METADATA, "true")
    # It warns of everything that it does not find, also where nothing is needed.
    logging.getLogger("google.auth._default").setLevel(logging.ERROR)
    credentials = _credentials()
    session = _CountingSession(credentials, counts, floor, billing_project)
    return Client(project=None, credentials=credentials, _http=session), session


def identity(credentials: Credentials) -> str:
    """Name the account of `credentials`, as far as they tell."""
    if isinstance(credentials, AnonymousCredentials):
        return (
            "anonymous access (no credentials were found: run `gcloud auth application-default "
            "login`, or give the pod a service account with Workload Identity)"
        )
    email = getattr(credentials, "service_account_email", None)
    return email if email and email != "default" else "the credentials in use"


def _credentials() -> Credentials:
    if os.environ.get(_EMULATOR):
        return AnonymousCredentials()
    try:
        # Scopes are added afterwards: with them, this call would look up a federated identity's
        # project, which nobody needs here and not every network allows.
        credentials, _ = google.auth.default()
    except DefaultCredentialsError as error:
        # A key file that was named but cannot be used is a mistake, not a wish to be anonymous.
        if os.environ.get(_KEY_FILE):
            raise DeniedError(
                f"{_KEY_FILE}={os.environ[_KEY_FILE]} cannot be used: {error}"
            ) from error
        return AnonymousCredentials()
    return with_scopes_if_required(credentials, [_SCOPE])


def _kind(method: str, url: str) -> str:
    if method in ("POST", "PUT", "PATCH"):
        return "write"
    if method == "DELETE":
        return "delete"
    if "alt=media" in url:
        return "read"
    match = _OBJECT_URL.search(url)
    return "list" if match and match["object"] is None else "stat"
