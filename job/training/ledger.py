"""What a run has cost so far, from attempt to attempt: time, GPUs, and for whom."""

import contextlib
import getpass
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from job.contract import environment, layout
from job.contract.errors import DataError
from job.contract.progress_file import MAX_BYTES, RunProgress
from job.storage import NotFoundError, documents


@dataclass(frozen=True, kw_only=True)
class Ledger:
    """The account of a run; this attempt's time runs from when it is made.

    Attributes:
        gpus: Of all workers together, in this attempt.
        started: When the first attempt began, in seconds since 1970.
        earlier_s: Seconds of all attempts before this one.
        earlier_gpu_s: GPUs times seconds of these.
        attempts: Their number, this one included.
        by: Who has submitted the run first.
        images_per_s: How fast the attempt before was.
        loss: Of its last step.
    """

    gpus: int = 0
    started: float = field(default_factory=time.time)
    earlier_s: float = 0.0
    earlier_gpu_s: float = 0.0
    attempts: int = 1
    by: str = ""
    images_per_s: float = 0.0
    loss: float = 0.0
    _since: float = field(default_factory=time.monotonic)

    @classmethod
    def going_on(cls, run: str, gpus: int, environ: Mapping[str, str] = os.environ) -> "Ledger":
        """Go on with what the run's progress.json says; begin anew where it says nothing."""
        path = layout.progress_file(run)
        try:
            before = documents.read(path, RunProgress, max_bytes=MAX_BYTES)
        except (NotFoundError, DataError):
            return cls(gpus=gpus, by=_submitter(environ))
        return cls(
            gpus=gpus,
            started=before.started or time.time(),
            earlier_s=before.trained_s,
            earlier_gpu_s=before.gpu_s,
            attempts=before.attempts + 1,
            by=before.by or _submitter(environ),
            images_per_s=before.examples_per_s or 0.0,
            loss=before.loss or 0.0,
        )

    def now(self) -> dict[str, Any]:
        """Give its part of progress.json."""
        own_s = time.monotonic() - self._since
        return {
            "started": round(self.started, 3),
            "trained_s": round(self.earlier_s + own_s, 1),
            "gpus": self.gpus,
            "gpu_s": round(self.earlier_gpu_s + self.gpus * own_s, 1),
            "attempts": self.attempts,
            "by": self.by,
        }


def _submitter(environ: Mapping[str, str]) -> str:
    """Name who has submitted this: the launcher says it, or it is who types."""
    given = environ.get(environment.SUBMITTER, "")
    if given:
        return given[:100]
    with contextlib.suppress(KeyError, OSError, ImportError):
        return getpass.getuser()
    return ""
