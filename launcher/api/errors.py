"""What an API server's refusal means, as one line: the only place that reads Status objects.

LauncherError
├── RefusedError           1  admission, a quota or validation said no
├── NotFoundError          3
│   └── KindMissingError   3  the cluster does not serve this kind: nothing is installed for it
├── DeniedError            4  RBAC, or credentials
├── ConflictError          1  something else of that name, or a newer version, is there
└── UnreachableError       1  no answer, or only server errors until the deadline
"""

import re
from dataclasses import dataclass
from typing import Any

from launcher.api import resources
from launcher.api.resources import Resource
from launcher.errors import (
    ConflictError,
    DeniedError,
    LauncherError,
    NotFoundError,
    UnreachableError,
)

TRANSIENT = frozenset({408, 429, 500, 502, 503, 504})
_WEBHOOK = re.compile(r'admission webhook "([^"]+)" denied the request:?\s*(.*)', re.DOTALL)
_WEBHOOK_DOWN = re.compile(r'failed calling webhook "([^"]+)":\s*(.*)', re.DOTALL)
_USER = re.compile(r'User "([^"]*)" cannot')
_LONGEST_MESSAGE = 600


class RefusedError(LauncherError):
    """The API server understood a request and said no: admission, a quota or validation."""


class KindMissingError(NotFoundError):
    """The cluster does not serve a kind, since what brings it is not installed."""


class GoneError(LauncherError):
    """A resource version is too old to go on from; a new list is needed."""


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked, in the words of an error message."""

    verb: str
    resource: Resource | None
    namespace: str = ""
    name: str = ""
    subresource: str = ""

    def __str__(self) -> str:
        kind = self.resource.plural if self.resource else "the API"
        plural = "/".join(part for part in (kind, self.subresource) if part)
        place = f" in namespace {self.namespace!r}" if self.namespace else ""
        return f"{self.verb} {plural}{place}"

    @property
    def target(self) -> str:
        """Name the object, or the collection if there is no name."""
        kind = self.resource.kind if self.resource else "path"
        place = f" in namespace {self.namespace!r}" if self.namespace else ""
        return f"{kind} {self.name!r}{place}" if self.name else f"{kind} objects{place}"


def error_for(status: int, body: dict[str, Any], request: Request) -> LauncherError:
    """Make the error for an HTTP status and the Status object that came with it."""
    message = one_line(str(body.get("message") or ""))
    reason = str(body.get("reason") or "")
    if status == 401:
        return DeniedError(
            "the cluster does not accept your credentials (expired or wrong); log in again, for "
            "example with `gcloud container clusters get-credentials` or your provider's login"
        )
    if status == 403:
        return _forbidden(message, request)
    if status == 404:
        return _not_found(body, request)
    if status == 409:
        return _conflict(reason, message, request)
    if status == 410:
        return GoneError(message or "the resource version is too old")
    if status in (400, 422) or reason == "Invalid":
        return _invalid(message, request)
    if "failed calling webhook" in message:
        return _webhook_down(message)
    if status in TRANSIENT:
        return UnreachableError(
            f"the cluster answers {status} to {request}: {message or 'no reason given'}; "
            "try again in a moment"
        )
    return LauncherError(f"the cluster refused to {request}: {status} {message}".rstrip())


def one_line(text: str) -> str:
    """Fold a message into one line of bounded length."""
    folded = " ".join(text.split())
    return folded if len(folded) <= _LONGEST_MESSAGE else folded[: _LONGEST_MESSAGE - 1] + "…"


def _forbidden(message: str, request: Request) -> LauncherError:
    webhook = _WEBHOOK.search(message)
    if webhook:
        return RefusedError(_webhook_denial(webhook))
    if "exceeded quota" in message:
        return RefusedError(f"{message}; ask for less, or free some: kubectl describe quota")
    if "violates PodSecurity" in message:
        return RefusedError(f"the namespace's Pod Security rules refuse the job: {message}")
    user = _USER.search(message)
    if user or not message or "cannot" in message:
        if user and user[1] == "system:anonymous":
            return DeniedError(
                "the cluster got no credentials from you; check the user of your kubeconfig "
                "context (its login command may have failed)"
            )
        who = f"user {user[1]!r} may" if user else "you may"
        return DeniedError(
            f"{who} not {request}; an administrator can allow it with the Role in "
            "k8s/namespace (launcher setup)"
        )
    return RefusedError(f"the cluster refuses to {request}: {message}")


def _not_found(body: dict[str, Any], request: Request) -> LauncherError:
    details = body.get("details") or {}
    if request.resource is not None and not details.get("name"):
        if request.resource.group and "." in request.resource.group:
            missing = resources.how_to_install(request.resource.group)
            return KindMissingError(
                f"the cluster does not know {request.resource.kind} objects: {missing}"
            )
        return NotFoundError(f"{request.target} not found")
    if details.get("kind") == "namespaces" and request.resource is not resources.NAMESPACES:
        return NotFoundError(
            f"namespace {details.get('name')!r} does not exist; create it with `launcher setup`"
        )
    return NotFoundError(f"{request.target} not found")


def _conflict(reason: str, message: str, request: Request) -> LauncherError:
    if reason == "AlreadyExists":
        return ConflictError(f"{request.target} already exists")
    if "being deleted" in message or "being terminated" in message:
        return ConflictError(f"{request.target} is still being deleted; try again in a moment")
    return ConflictError(f"{request.target} was changed by somebody else meanwhile; try again")


def _invalid(message: str, request: Request) -> LauncherError:
    webhook = _WEBHOOK.search(message)
    if webhook:
        return RefusedError(_webhook_denial(webhook))
    return RefusedError(f"the cluster finds the {request.target} invalid: {message}")


def _webhook_denial(match: "re.Match[str]") -> str:
    denied = match[2].strip() or "it gives no reason"
    return f"the cluster's policy {match[1]!r} refuses it: {denied}"


def _webhook_down(message: str) -> LauncherError:
    match = _WEBHOOK_DOWN.search(message)
    which, why = (match[1], match[2]) if match else ("unknown", message)
    return UnreachableError(
        f"the webhook {which!r} does not answer ({why}); its controller may be starting or down: "
        "try again in a minute, then ask the administrator"
    )
