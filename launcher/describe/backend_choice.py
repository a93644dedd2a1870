"""Which kind of job `--backend auto` means, and why. Pure but for what it is told to ask."""

from collections.abc import Callable
from dataclasses import dataclass

from launcher import kinds
from launcher.errors import UsageError
from launcher.kinds import ClusterKind, Kind
from launcher.settings.fields import Settings

AUTO = "auto"


@dataclass(frozen=True)
class Choice:
    """What runs a job, and why; a choice of the user's needs no reason."""

    kind: Kind
    why: str = ""

    def __str__(self) -> str:
        return f"--backend auto: {self.kind.name}, since {self.why}"


def for_training(
    settings: Settings, *, has_cluster: bool, serves: Callable[[ClusterKind], bool]
) -> Choice:
    """Resolve the backend of a training job.

    A TFJob is what `auto` means wherever the training operator is installed. It fails for good
    when one pod is evicted, as on spot nodes, and Kueue does not handle it unless it is told to;
    a JobSet restarts as a whole and is queued by default.

    Args:
        settings: Profile and flags.
        has_cluster: Whether there is a cluster to send to.
        serves: Whether the cluster knows a kind; asked only where it matters.

    Raises:
        UsageError: There is no such backend.
    """
    if settings.backend != AUTO:
        return Choice(kinds.named(settings.backend))
    if not has_cluster:
        return Choice(kinds.LOCAL, "no cluster is configured")
    first, why = _preferred(settings)
    other = kinds.alternative(first)
    if other is None or serves(first) or not serves(other):
        return Choice(first, why)
    return Choice(other, f"the cluster has no {first.plural}{_regret(settings, other)}")


def _preferred(settings: Settings) -> tuple[ClusterKind, str]:
    if settings.spot:
        return kinds.JOBSET, "a TFJob fails for good when a spot node is taken away"
    if settings.queue:
        return kinds.JOBSET, "Kueue handles JobSets by default, and TFJobs only if it is told to"
    return kinds.TFJOB, f"{kinds.TFJOB.controller.name} is installed"


def _regret(settings: Settings, kind: ClusterKind) -> str:
    if settings.spot and kind.fails_on_eviction:
        return f" ({kind.phrase} fails for good when a spot node is taken away)"
    return ""


def for_tasks(asked: str, settings: Settings, *, has_cluster: bool) -> Choice:
    """Resolve the backend of independent tasks: here where the profile trains here, else a Job."""
    if asked != AUTO:
        return Choice(kinds.named(asked))
    if settings.backend == kinds.LOCAL.name:
        return Choice(kinds.LOCAL, "the profile's backend is local")
    if not has_cluster:
        return Choice(kinds.LOCAL, "no cluster is configured")
    return Choice(kinds.JOB, "a cluster is configured")


def in_cluster(choice: Choice) -> ClusterKind:
    """Give the choice of somebody who needs a manifest.

    Raises:
        UsageError: It is `local`.
    """
    if isinstance(choice.kind, ClusterKind):
        return choice.kind
    names = " or ".join(kind.name for kind in kinds.TRAINING)
    raise UsageError(f"the {choice.kind.name} backend has no manifest; choose --backend {names}")
