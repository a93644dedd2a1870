"""When to ask Google Cloud Storage again, when to give up, and what to call the failure.

Follows https://cloud.google.com/storage/docs/retry-strategy: exponential backoff with jitter for
429, 5xx and broken connections, and no sooner than the server says in Retry-After. The deadline
counts from the first failure of a single request, so a long transfer that makes progress never
runs into it.
"""

import contextlib
import http.client
import logging
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import requests
import urllib3
from google.api_core.exceptions import GoogleAPICallError, RetryError
from google.api_core.retry import Retry
from google.auth.exceptions import GoogleAuthError, RefreshError, TransportError
from google.cloud.storage.exceptions import DataCorruption, InvalidResponse

from job.contract.errors import StorageUnreachableError
from job.storage.gcs_refusal import RETRYABLE_STATUS, Answer, Operation, error_of, not_accepted
from job.storage.interface import Patience

T = TypeVar("T")

_LOG = logging.getLogger(__name__)
_RATE_LIMITS = {"rateLimitExceeded", "userRateLimitExceeded"}
_BROKEN_TRANSFER = (
    ConnectionError,
    http.client.HTTPException,
    requests.ConnectionError,
    requests.Timeout,
    requests.exceptions.ChunkedEncodingError,
    urllib3.exceptions.HTTPError,
    TransportError,
    DataCorruption,
)
_REPORT_EVERY_S = 30.0


class DamagedTransferError(Exception):
    """What arrived is not what was sent, or the object changed meanwhile; worth another try."""


@dataclass(frozen=True, slots=True)
class Policy:
    """How the requests of one account are repeated, and how their failures are named."""

    patience: Patience
    identity: Callable[[], str]  # Asked after a failure: some learn their name with their token.

    def run(self, path: str, operation: Operation, attempt: Callable[[], T]) -> T:
        """Call `attempt` until it succeeds, fails for good, or patience ends."""
        with self.errors_of(path, operation):
            result: T = self.retry(path)(attempt)()
            return result

    def retry(self, path: str) -> Retry:
        """Return the client's form of this policy for one operation; outages are logged."""
        return Retry(
            predicate=is_retryable,
            initial=self.patience.first_wait_s,
            maximum=self.patience.longest_wait_s,
            multiplier=2.0,
            timeout=self.patience.deadline_s,
            on_error=_after_failures(path, self.patience),
        )

    @contextlib.contextmanager
    def errors_of(self, path: str, operation: Operation) -> Iterator[None]:
        """Turn the client's errors of an operation into those of `job.storage.interface`."""
        try:
            yield
        except RetryError as error:
            raise StorageUnreachableError(
                f"{path}: storage still failed when the retries were spent; "
                f"last: {_reason(error.cause)}"
            ) from error
        except (GoogleAPICallError, InvalidResponse) as error:
            raise error_of(path, operation, self.identity(), Answer.of(error)) from error
        except (DamagedTransferError, *_BROKEN_TRANSFER) as error:
            raise StorageUnreachableError(f"{path}: {_reason(error)}") from error
        except GoogleAuthError as error:
            raise not_accepted(path, operation, self.identity(), _reason(error)) from error


def is_retryable(error: BaseException) -> bool:
    """Whether the same request can succeed a little later."""
    match error:
        case DamagedTransferError():
            return True
        case RefreshError():
            return bool(error.retryable)
        case GoogleAPICallError() | InvalidResponse():
            answer = Answer.of(error)
            return answer.status in RETRYABLE_STATUS or answer.reason in _RATE_LIMITS
        case _:
            return isinstance(error, _BROKEN_TRANSFER)


def _reason(error: BaseException | None) -> str:
    if isinstance(error, (GoogleAPICallError, InvalidResponse)):
        return str(Answer.of(error))
    # requests holds urllib3's error, which holds the cause behind its pool, address and query.
    inner = error.args[0] if isinstance(error, requests.RequestException) and error.args else error
    text = " ".join(str(getattr(inner, "reason", None) or inner).split())
    return re.sub(r"^HTTPS?Connection(Pool)?\([^)]*\): ", "", text) or type(error).__name__


def _after_failures(path: str, patience: Patience) -> Callable[[Exception], None]:
    """Say what to do after each failure of one operation, before the pause of its own.

    An outage is logged when it lasts, and then now and again, not each failed request.
    """
    first: float | None = None
    next_report_s = patience.quiet_s

    def after(error: Exception) -> None:
        nonlocal first, next_report_s
        now = time.monotonic()
        first = now if first is None else first
        lasted_s = now - first
        left_s = max(0.0, patience.deadline_s - lasted_s)
        if lasted_s >= next_report_s:
            next_report_s = lasted_s + _REPORT_EVERY_S
            _LOG.warning(
                "%s: storage fails since %.0f s (%s); trying for another %.0f s",
                path,
                lasted_s,
                _reason(error),
                left_s,
            )
        time.sleep(min(_retry_after_s(error), left_s))

    return after


def _retry_after_s(error: Exception) -> float:
    """Read for how long the server asks to be left alone; 0 where it does not say in seconds."""
    response = getattr(error, "response", None)
    asked = response.headers.get("Retry-After", "") if response is not None else ""
    return float(asked) if asked.isdecimal() else 0.0
