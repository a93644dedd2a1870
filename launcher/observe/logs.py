"""The logs of all replicas of a job as one: now, as they are written, or from the archive.

Pods that wait or start again are part of it: their lines come when there are some.
"""

import dataclasses
import datetime
import heapq
import queue
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from job import storage
from launcher.api import log_lines, resources
from launcher.api.log_lines import Line, Tail
from launcher.errors import LauncherError, NotFoundError, UnreachableError
from launcher.kinds import ClusterKind
from launcher.observe import reading, run_directory
from launcher.observe.run_directory import ArchivedLog
from launcher.observe.state import MAIN_CONTAINER, Job, Pod

if TYPE_CHECKING:
    from launcher.api.connection import Cluster

_LOST_PAUSE_S = 2.0


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Which lines are wanted."""

    replicas: tuple[str, ...] = ()
    """worker-0, or 0 for short; all if empty."""
    since_s: int | None = None
    tail: int | None = None
    """Last lines of each replica."""

    def has(self, replica: str) -> bool:
        """Whether a replica is wanted."""
        wanted = self.replicas
        return not wanted or replica in wanted or replica.rpartition("-")[2] in wanted

    def since(self) -> str:
        """Give the time from which lines are wanted, as the API takes it."""
        if self.since_s is None:
            return ""
        moment = datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=self.since_s)
        return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def until_now(
    cluster: "Cluster", pods: Sequence[Pod], selection: Selection, *, previous: bool = False
) -> Iterator[Line]:
    """Yield what the pods have written, merged by time."""
    logs = [
        log_lines.read(
            cluster, pod.name, _container(pod), pod.replica,
            since=selection.since(), previous=previous, tail=selection.tail,
        )
        for pod in pods
        if selection.has(pod.replica)
    ]  # fmt: skip
    return heapq.merge(*logs)


def archived(
    run: str, selection: Selection, attempt: int | None = None, *, previous: bool = False
) -> Iterator[Line]:
    """Yield the logs that the replicas left in the run directory.

    Args:
        run: The run directory.
        selection: Which lines are wanted; those of an archive have no time.
        attempt: Which attempt's; by default each replica's newest, since a replica that was
            started again alone has had more of them than the others.
        previous: Instead of each replica's newest attempt the one before.

    Raises:
        NotFoundError: There are none.
        JobError: The storage cannot be read.
    """
    logs = [log for log in run_directory.archived_logs(run) if selection.has(log.replica)]
    if attempt is not None:
        chosen = [log for log in logs if log.attempt == attempt]
    else:
        chosen = _newest(logs, before=1 if previous else 0)
    if not chosen:
        raise NotFoundError(_none_kept(run, attempt, {log.attempt for log in logs}))
    for log in chosen:
        lines = storage.read_bytes(log.path).decode("utf-8", errors="replace").splitlines()
        for line in lines[-selection.tail :] if selection.tail else lines:
            yield Line("", log.replica, line)


def without_pods(job: Job, pods: Sequence[Pod], selection: Selection) -> Selection | None:
    """Choose the replicas of a job that is over whose pods are gone; None if there are none.

    Of a job's pods some may be cleaned up while others stay.
    """
    if not job.over or job.component != "train" or not job.run:
        return None
    there = {pod.replica for pod in pods}
    replicas = (f"worker-{index}" for index in range(job.workers))
    gone = [name for name in replicas if name not in there and selection.has(name)]
    return dataclasses.replace(selection, replicas=tuple(gone)) if gone else None


def _newest(logs: Sequence[ArchivedLog], *, before: int) -> list[ArchivedLog]:
    """Choose each replica's newest log, or the one so many before it."""
    of_replicas: dict[str, list[ArchivedLog]] = {}
    for log in logs:
        of_replicas.setdefault(log.replica, []).append(log)
    return [kept[-1 - before] for kept in of_replicas.values() if len(kept) > before]


def _none_kept(run: str, attempt: int | None, kept: Collection[int]) -> str:
    if attempt is None or not kept:
        return f"no such logs are kept in {run}"
    return (
        f"no log of attempt {attempt} is kept in {run}; there are those of "
        f"{', '.join(map(str, sorted(kept)))}"
    )


def _container(pod: Pod) -> str:
    return pod.main.name if pod.main else MAIN_CONTAINER


class Follower:
    """Follows all pods of a job until it is over.

    Args:
        cluster: Where the job runs.
        kind: What it is.
        job: The job as it was found.
        selection: Which lines are wanted.
        note: Takes remarks: a replica starts again, the connection is lost.
    """

    def __init__(
        self,
        cluster: "Cluster",
        kind: ClusterKind,
        job: Job,
        selection: Selection,
        note: Callable[[str], None],
    ) -> None:
        self._cluster = cluster
        self._kind = kind
        self._job = job
        self._selection = selection
        self._note = note
        self._events: queue.Queue[tuple[str, Any]] = queue.Queue(maxsize=10_000)
        self._tails: dict[str, Tail] = {}
        self._active: set[str] = set()
        self._latest: dict[str, Pod] = {}
        self._over = False
        self._pods = kind.pods_of(job)

    def lines(self) -> Iterator[Line]:
        """Yield lines in the order in which they come, until the job and its logs have ended."""
        self._look_at_pods()
        self._watch(resources.PODS, "pod", labels=self._pods)
        self._watch(self._kind.resource, "job", fields=f"metadata.name={self._job.name}")
        while not (self._over and not self._active and self._events.empty()):
            kind, value = self._events.get()
            if kind == "line":
                yield value
            elif kind == "pod":
                self._look_at(reading.pod(value))
            elif kind == "job":
                self._job_changed(*value)
            elif kind == "ended":
                self._active.discard(value)
                self._look_at(self._latest[value])  # it may run again already
            elif kind == "note":
                self._note(value)
            elif kind == "error":
                raise value

    def _look_at_pods(self) -> None:
        for item in self._cluster.list_all(resources.PODS, labels=self._pods):
            self._look_at(reading.pod(item))

    def _watch(
        self, resource: resources.Resource, kind: str, *, labels: str = "", fields: str = ""
    ) -> None:
        threading.Thread(
            target=self._watch_thread, args=(resource, kind, labels, fields), daemon=True
        ).start()

    def _watch_thread(
        self, resource: resources.Resource, kind: str, labels: str, fields: str
    ) -> None:
        pause = threading.Event()
        while True:
            try:
                for change, item in self._cluster.watch(resource, labels=labels, fields=fields):
                    self._events.put((kind, item if kind == "pod" else (change, item)))
            except UnreachableError as error:
                if kind == "job":
                    self._events.put(("note", f"connection lost, trying again: {error}"))
                pause.wait(_LOST_PAUSE_S)
            except LauncherError as error:
                self._events.put(("error", error))
                return

    def _job_changed(self, change: str, item: dict[str, Any]) -> None:
        job = self._kind.read(item)
        over = change == "DELETED" or job.over or (job.suspended and job.cancelled)
        if over and not self._over:
            self._look_at_pods()  # one that began and ended just now is not missed
        self._over = over

    def _look_at(self, pod: Pod) -> None:
        """Follow a pod whose container has begun to write, unless that is done already."""
        main = pod.main
        if not self._selection.has(pod.replica) or main is None:
            return
        known = self._latest.get(pod.uid)
        if known is not None and known.main and main.restarts > known.main.restarts:
            self._note(f"{pod.replica} starts again")
        self._latest[pod.uid] = pod
        if main.state not in ("running", "terminated") or pod.uid in self._active:
            return
        tail = self._tails.get(pod.uid)
        if tail is not None and main.restarts <= tail.restarts:
            return
        if tail is None:
            tail = self._tails[pod.uid] = Tail(self._cluster, pod, main.name)
        tail.restarts = main.restarts
        self._active.add(pod.uid)
        threading.Thread(target=self._follow_thread, args=(pod, tail), daemon=True).start()

    def _follow_thread(self, pod: Pod, tail: Tail) -> None:
        try:
            for line in tail.follow(since=self._selection.since(), tail=self._selection.tail):
                self._events.put(("line", line))
        except LauncherError as error:
            self._events.put(("note", f"log of {pod.replica}: {error}"))
        self._events.put(("ended", pod.uid))
