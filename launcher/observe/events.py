"""Which of a namespace's events are about a job. Pure."""

import datetime
from collections.abc import Iterable, Sequence
from typing import Any

from launcher import kinds
from launcher.kinds import ClusterKind
from launcher.observe import reading
from launcher.observe.state import Event, Job, Pod, Workload

Object = dict[str, Any]

_RUNNERS = {kind.resource.kind for kind in kinds.IN_CLUSTER}
_LONG_AGO = datetime.datetime.min.replace(tzinfo=datetime.UTC)


def about(
    items: Iterable[Object],
    kind: ClusterKind,
    job: Job,
    pods: Sequence[Pod],
    workload: Workload | None = None,
) -> tuple[Event, ...]:
    """Read the events about a job, its pods and what is between them, the latest last.

    Pods that were replaced are known by nothing but their names. Those are matched as the
    controller makes them, from the moment at which the job was made: neither the events of
    `first-r1` nor those of an earlier `first` are told of `first`.

    Args:
        items: Events as the API gives them.
        kind: What the job is.
        job: The job.
        pods: Its pods that are there.
        workload: What Kueue knows of it.
    """
    uids = {job.uid, *(pod.uid for pod in pods)} - {""}
    names = {pod.name for pod in pods} | ({workload.name} if workload else set())

    def is_mine(event: Event) -> bool:
        if event.uid in uids:
            return True
        if job.created and event.last_seen and event.last_seen < job.created:
            return False
        if event.kind == job.kind and event.name == job.name:
            return not event.uid  # Another uid is another job of that name.
        if event.name in names or kind.makes(job.name, event.kind, event.name):
            return True
        return event.name == job.name and event.kind not in _RUNNERS  # Its PodGroup.

    mine = [event for event in map(reading.event, items) if is_mine(event)]
    return tuple(sorted(mine, key=lambda event: event.last_seen or _LONG_AGO))
