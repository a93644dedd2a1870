"""What Google Cloud Storage said when it refused a request, and what can be done about it.

Its own words are always told. A role is advised only where a role is what is missing: a retention
policy, a hold, an account without billing, an organisation's policy, a perimeter or a disabled key
are not mended by one. Reasons by
https://cloud.google.com/storage/docs/json_api/v1/status-codes.
"""

import enum
import html
import http.client
import re
from dataclasses import dataclass

from google.api_core.exceptions import GoogleAPICallError
from google.cloud.storage.exceptions import InvalidResponse

from job.contract.errors import ConfigError, DeniedError, JobError, StorageUnreachableError
from job.storage.interface import KeptError, NotFoundError, PreconditionError

RETRYABLE_STATUS = {408, 429, 500, 502, 503, 504}
_PERMISSION = re.compile(r"storage\.[a-z]+\.[a-zA-Z]+")
_SAYS_NOTHING = re.compile(r"|forbidden|access[ _]?denied\.?", re.IGNORECASE)
_MARKUP_MESSAGE = re.compile(r"<Message>(.*?)</Message>(?:<Details>(.*?)</Details>)?", re.DOTALL)
_LONGEST_WORDS = 600
_KEPT = re.compile("retentionPolicyNotMet|objectUnderActiveHold")
_REQUESTER_PAYS = re.compile("userProjectMissing|RequesterPays|requester pays", re.IGNORECASE)
_ADVICE = (
    (
        re.compile("retentionPolicyNotMet"),
        "the bucket's retention policy keeps it until then: write to another path or bucket",
    ),
    (
        re.compile("objectUnderActiveHold"),
        "release the hold (gcloud storage objects update {path} --no-temporary-hold "
        "--no-event-based-hold), or write to another path",
    ),
    (
        re.compile("accountDisabled|AccountProblem|billing account", re.IGNORECASE),
        "the project that pays needs an active billing account",
    ),
    (
        re.compile("vpcServiceControls|organization's policy", re.IGNORECASE),
        "a service perimeter lies between this place and the bucket: run inside it, or have its "
        "administrator let {identity} in; the audit log knows the identifier",
    ),
    (
        re.compile("orgPolicyConstraintFailed|constraints?/|violates constraint", re.IGNORECASE),
        "a policy of the organisation forbids it, whatever the roles are",
    ),
    (
        re.compile("IP filter", re.IGNORECASE),
        "the bucket's IP filter does not let this network in",
    ),
    (
        re.compile(r"cloud ?kms", re.IGNORECASE),
        "the bucket's key must be enabled, and the service agent of Cloud Storage in its project "
        "needs roles/cloudkms.cryptoKeyEncrypterDecrypter on it",
    ),
    (
        re.compile("CustomerEncryptionKey|customer-supplied encryption key", re.IGNORECASE),
        "objects under a customer-supplied key cannot be used here: rewrite it without, or with a "
        "key of Cloud KMS",
    ),
    (
        re.compile("userProject|serviceusage.services.use", re.IGNORECASE),
        "the project named by --billing_project must exist, and {identity} needs "
        "roles/serviceusage.serviceUsageConsumer on it",
    ),
    (
        re.compile("insufficientPermissions|scopes?\\b", re.IGNORECASE),
        "the token's access scopes do not reach so far: on GKE use Workload Identity, or a node "
        "pool with the scope storage-rw",
    ),
    (
        re.compile("accessNotConfigured|has not been used in project", re.IGNORECASE),
        "enable it: gcloud services enable storage.googleapis.com",
    ),
)


class Operation(enum.Enum):
    """What is done to an object, by the permission that it needs."""

    LIST = "storage.objects.list"
    READ = "storage.objects.get"
    CREATE = "storage.objects.create"
    OVERWRITE = "storage.objects.create and storage.objects.delete"
    DELETE = "storage.objects.delete"


@dataclass(frozen=True, slots=True)
class Answer:
    """What storage said: the status, its one-word reason, its words. The last two may be empty."""

    status: int
    reason: str
    message: str

    @classmethod
    def of(cls, error: GoogleAPICallError | InvalidResponse) -> "Answer":
        """Read the answer behind an exception; the client's own texts repeat whole URLs."""
        status = int(error.code if isinstance(error, GoogleAPICallError) else error.args[1])
        response = getattr(error, "response", None)
        try:
            told = response.json()["error"]  # type: ignore[union-attr]
            details = (told.get("errors") or [{}])[0]
            return cls(status, str(details.get("reason", "")), _plain(str(told["message"])))
        except (AttributeError, ValueError, KeyError, TypeError, IndexError):
            return cls(status, "", _words_of_text(response))

    def __str__(self) -> str:
        words = self.message or http.client.responses.get(self.status, "")
        return f"{self.status} {words}".strip()


def is_condition(answer: Answer) -> bool:
    """Whether a 412 is about the condition of the request; an organisation's policy has it too."""
    return answer.status == 412 and not _advice(answer)


def error_of(path: str, operation: Operation, identity: str, answer: Answer) -> JobError:
    """Give the error that says what was refused, in storage's words, and what to do.

    Args:
        path: gs:// path of what was asked for.
        operation: What was to be done to it.
        identity: Who asked.
        answer: What storage said.
    """
    if _REQUESTER_PAYS.search(f"{answer.reason} {answer.message}"):
        return ConfigError(
            f"{path}: {answer}; {bucket_of(path)} has the requester pay: name the project that "
            "does by --billing_project"
        )
    match answer.status:
        case 401:
            return not_accepted(path, operation, identity, str(answer))
        case 404:
            about_bucket = operation not in (Operation.READ, Operation.DELETE)
            about_bucket |= "bucket" in answer.message.lower()
            missing = bucket_of(path) if about_bucket else path
            return NotFoundError(f"{missing} does not exist" + _asked_for(missing, path))
        case status if status in RETRYABLE_STATUS:
            return StorageUnreachableError(f"{path}: {answer}")
    advice = _advice(answer)
    if advice or answer.status == 403:
        return _denied(path, operation, identity, answer)
    if answer.status == 412:
        return PreconditionError(f"{path} is already there, or was changed by somebody else")
    return ConfigError(f"{path}: storage refused the request: {answer}")


def not_accepted(path: str, operation: Operation, identity: str, reason: str) -> DeniedError:
    """Give the error of somebody whom storage does not know."""
    return DeniedError(
        f"{path}: storage does not accept {identity}: {reason}; log in again or check the service "
        f"account; it needs {operation.value} on {bucket_of(path)}"
    )


def bucket_of(path: str) -> str:
    """Give the gs:// path of an object's bucket."""
    return "/".join(path.split("/")[:3])


def _denied(path: str, operation: Operation, identity: str, answer: Answer) -> DeniedError:
    advice = _advice(answer)
    if advice:
        kind = KeptError if _KEPT.search(answer.reason) else DeniedError
        return kind(f"{path}: {answer}; {advice.format(path=path, identity=identity)}")
    named = _PERMISSION.search(answer.message)
    if named is None and not _SAYS_NOTHING.fullmatch(answer.message):
        return DeniedError(f"{path}: storage refuses {identity}: {answer}")
    permission = named[0] if named else operation.value
    return DeniedError(
        f"{path}: permission {permission} on {bucket_of(path)} is missing for {identity}; grant "
        f"it with {_role(operation)}"
    )


def _advice(answer: Answer) -> str:
    said = f"{answer.reason} {answer.message}"
    return next((advice for sign, advice in _ADVICE if sign.search(said)), "")


def _words_of_text(response: object) -> str:
    """Give the words of an answer that is no JSON: contents are refused in plain text, or XML."""
    text = str(getattr(response, "text", "") or "")
    markup = _MARKUP_MESSAGE.search(text)
    if markup:
        return _plain(html.unescape(" ".join(part for part in markup.groups() if part)))
    return "" if "<" in text else _plain(text)


def _plain(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST_WORDS else f"{text[:_LONGEST_WORDS]}..."


def _asked_for(missing: str, path: str) -> str:
    return "" if missing == path else f" (needed for {path}); check the bucket's name"


def _role(operation: Operation) -> str:
    reading = operation in (Operation.LIST, Operation.READ)
    return f"roles/storage.{'objectViewer' if reading else 'objectUser'}"
