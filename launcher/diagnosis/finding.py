"""What a rule says: one causal sentence, what shows it, and what can be done."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from launcher.manifests import units
from launcher.observe.state import Event, Pod, State

Level = Literal["ok", "waiting", "warning", "failed"]

_LONGEST_LINE = 400


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Why a job is where it is."""

    situation: str
    """A stable name for programs, for example unschedulable."""
    level: Level
    """ok: nothing to do; waiting: it may go on by itself; warning: it runs, but look; failed."""
    sentence: str
    evidence: tuple[str, ...] = ()
    mend: tuple[str, ...] = ()
    exit_code: int | None = None
    """Of the process that the sentence is about, if it is about one's end."""


def quote(event: Event, state: State) -> str:
    """Write an event as a line of evidence."""
    ago = f", {units.format_seconds(state.age_s(event.last_seen))} ago" if event.last_seen else ""
    times = f" x{event.count}" if event.count > 1 else ""
    return clip(f"{event.reason}{times} ({event.kind} {event.name}{ago}): {event.message}")


def clip(text: str) -> str:
    """Make one line of bounded length."""
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST_LINE else line[: _LONGEST_LINE - 1] + "…"


def names(pods: Sequence[Pod]) -> str:
    """Name some pods by their replicas: worker-3, or worker-0, worker-1 and 6 more."""
    replicas = [pod.replica for pod in pods]
    if len(replicas) <= 3:
        return ", ".join(replicas)
    return f"{replicas[0]}, {replicas[1]} and {len(replicas) - 2} more"


def waiting_for(state: State) -> str:
    """Say for how long the job has been there."""
    return units.format_seconds(state.age_s(state.job.created))
