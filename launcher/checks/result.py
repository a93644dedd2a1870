"""What a check looks at, and what it says."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from launcher import kinds
from launcher.describe.spec import JobSpec
from launcher.kinds import ClusterKind
from launcher.observe.state import Job

if TYPE_CHECKING:
    from launcher.api.connection import Cluster

Level = Literal["ok", "unknown", "warning", "failed"]


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A cluster, and the job that is to run there if there is one already."""

    cluster: "Cluster"
    spec: JobSpec | None = None
    manifest: dict[str, Any] | None = None
    job: Job | None = None
    """The manifest as it will be observed."""

    @property
    def kind(self) -> ClusterKind:
        """What the job is in the cluster; without a job, the default."""
        backend = self.spec.backend if self.spec else kinds.TFJOB
        return backend if isinstance(backend, ClusterKind) else kinds.TFJOB


@dataclass(frozen=True, kw_only=True)
class Result:
    """One line what, one line how to mend it."""

    level: Level
    what: str
    mend: str = ""


def ok(what: str) -> Result:
    """Nothing to do."""
    return Result(level="ok", what=what)


def warning(what: str, mend: str) -> Result:
    """It may run, but not as one would want."""
    return Result(level="warning", what=what, mend=mend)


def failed(what: str, mend: str) -> Result:
    """It cannot run."""
    return Result(level="failed", what=what, mend=mend)


def unknown(what: str, mend: str = "") -> Result:
    """It could not be looked at."""
    return Result(level="unknown", what=what, mend=mend)
