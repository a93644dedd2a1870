"""One JSON post at the end of a run, to whom NOTIFY_URL names: done, or failed for good.

Its `text` is what Slack and its likes show. It is sent at most once for each outcome of a run,
whoever ends it: a file in the run directory is claimed first. Ends after which the job is started
again are not told.
"""

import json
import logging
import time
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import urlsplit

from job import storage
from job.contract import layout, schema
from job.contract.errors import ExitCode, JobError, exit_meaning, restart_may_help
from job.contract.progress_file import MAX_BYTES, RunProgress
from job.contract.wording import printable
from job.storage import PreconditionError, documents

_log = logging.getLogger(__name__)
_TRIES = 3
_PAUSE_S = 2.0
_TIMEOUT_S = 10.0


def send(url: str, run: str, code: int) -> None:
    """Tell how a run ended; what goes wrong is a warning, without the address's secrets.

    Args:
        url: http:// or https://.
        run: Run directory.
        code: Exit code of training, or of what followed it.
    """
    if restart_may_help(code):
        return
    content = message(run, code)
    try:
        path = layout.notified_file(run, content["outcome"], content["step"])
        storage.write_bytes(path, schema.write(content), if_absent=True)
    except PreconditionError:
        return
    except (JobError, OSError) as error:
        _log.warning("nobody is told that the run ended, lest it be told twice: %s", error)
        return
    _post(url, content)


def message(run: str, code: int) -> dict[str, Any]:
    """Make what is sent."""
    path = layout.progress_file(run)
    try:
        progress: RunProgress | None = documents.read(path, RunProgress, max_bytes=MAX_BYTES)
    except JobError:
        progress = None
    metrics = _best(run)
    step = progress.step if progress else 0
    where = f"{step:,} of {progress.total_steps:,} steps" if progress else "no step"
    top1 = metrics.get("top1")
    if code == ExitCode.DONE:
        text = f"{run} is done: {where}" + (f", top-1 {top1:.2%}." if top1 is not None else ".")
    else:
        text = f"{run} failed after {where} (exit code {code}): {exit_meaning(code)}."
    return {
        "text": printable(text, keep=""),
        "run": run,
        "outcome": "done" if code == ExitCode.DONE else f"failed-{code}",
        "exit_code": code,
        "step": step,
        "metrics": metrics,
        "by": progress.by if progress else "",
    }


def _best(run: str) -> dict[str, float]:
    try:
        found = documents.read(layout.best_file(run), dict[str, Any]).get("metrics")
    except JobError:
        return {}
    pairs = found.items() if isinstance(found, dict) else ()
    return {str(key): float(value) for key, value in pairs if isinstance(value, int | float)}


def _post(url: str, content: dict[str, Any]) -> None:
    try:
        scheme, host = urlsplit(url).scheme, urlsplit(url).hostname or ""
    except ValueError:
        scheme, host = "", ""
    if scheme not in ("http", "https") or not host:
        _log.warning("NOTIFY_URL is no address that begins with http:// or https://")
        return
    request = urllib.request.Request(  # noqa: S310 (http and https only, see above)
        url,
        data=json.dumps(content).encode(),
        headers={"Content-Type": "application/json", "User-Agent": "food101-vgg19"},
    )
    problem = ""
    for number in range(_TRIES):
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT_S):  # noqa: S310
                _log.info("told %s", host)
                return
        except urllib.error.HTTPError as error:
            problem = f"it answers {error.code}"
            if error.code < 500:
                break
        except (OSError, ValueError) as error:
            problem = type(error).__name__
        if number + 1 < _TRIES:
            time.sleep(_PAUSE_S)
    _log.warning("%s could not be told that the run ended: %s", host, problem)
