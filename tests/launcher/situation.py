"""One row of the table of situations: what a cluster shows, and what the user is to be told."""

import json
from dataclasses import dataclass, field
from typing import Any

from launcher import kinds
from launcher.observe import capacity, events, reading
from launcher.observe.state import State
from tests.launcher.shapes import NOW, Object, progress


@dataclass(frozen=True, kw_only=True)
class Situation:
    """What is there, and what must be said about it."""

    name: str
    job: Object
    pods: list[Object] = field(default_factory=list)
    events: list[Object] = field(default_factory=list)
    nodes: list[Object] = field(default_factory=list)
    others: list[Object] = field(default_factory=list)
    logs: dict[str, str] = field(default_factory=dict)
    more: dict[str, Any] = field(default_factory=dict)
    expect: str
    level: str
    says: tuple[str, ...]
    """Words that sentence, evidence or remedies must have."""

    def state(self) -> State:
        """Read the objects as `launcher/observe/gather.py` does."""
        kind = kinds.of_object(self.job["kind"])
        job = kind.read(self.job)
        every = [reading.pod(item) for item in self.pods]
        pods, replaced = reading.newest(every, job.workers)
        seen = capacity.read(self.nodes, [*self.pods, *self.others]) if self.nodes else None
        return State(
            job=job,
            now=NOW,
            pods=pods,
            replaced=replaced,
            events=events.about(self.events, kind, job, every),
            capacity=seen,
            logs={name: tuple(text.splitlines()) for name, text in self.logs.items()},
            **self.more,
        )


def reported(**more: Any) -> dict[str, Any]:
    return {"progress": reading.progress(json.dumps(progress(**more)).encode())}
