"""The lines of one container, whole and once, through any number of broken connections."""

import datetime
import re
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from launcher.api import resources
from launcher.api.backoff import pauses
from launcher.api.errors import RefusedError
from launcher.errors import NotFoundError, UnreachableError
from launcher.observe import reading
from launcher.observe.state import Pod

if TYPE_CHECKING:
    from launcher.api.connection import Cluster

_STAMP = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d+)?(Z|[+-]\d\d:\d\d) ?")
_OVERLAP_S = 2
_NO_PREVIOUS = re.compile(r"previous terminated container .* not found")


@dataclass(frozen=True, slots=True, order=True)
class Line:
    """One line of a log."""

    time: str
    """RFC 3339 in UTC with nanoseconds, so that lines sort as texts."""
    replica: str
    text: str


def parse(raw: str, replica: str) -> Line:
    """Take a line with its time in front apart; one without a time (an error text) keeps none."""
    match = _STAMP.match(raw)
    if not match:
        return Line("", replica, raw)
    fraction = (match[2] or ".0")[1:].ljust(9, "0")
    moment = match[1]
    if match[3] != "Z":
        local = datetime.datetime.fromisoformat(match[1] + match[3])
        moment = local.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return Line(f"{moment}.{fraction}Z", replica, raw[match.end() :])


def read(
    cluster: "Cluster",
    pod: str,
    container: str,
    replica: str,
    *,
    since: str = "",
    previous: bool = False,
    tail: int | None = None,
) -> Iterator[Line]:
    """Yield what a container has written until now; nothing if it has not begun."""
    try:
        for raw in cluster.logs(pod, container, since_time=since, previous=previous, tail=tail):
            yield parse(raw, replica)
    except RefusedError as error:
        if not (_NO_PREVIOUS.search(str(error)) or "waiting to start" in str(error)):
            raise
    except NotFoundError:
        return


class Tail:
    """The log of one pod as it is written, through restarts of its container.

    After a broken connection the last two seconds are read again and what was already told is
    left out. (Lines are not skipped by time alone: stdout and stderr may arrive out of order.)
    """

    def __init__(self, cluster: "Cluster", pod: Pod, container: str) -> None:
        self._cluster = cluster
        self._pod = pod
        self._container = container
        self._told = _Recent()
        self.restarts = 0
        """How many restarts of the container were followed."""

    def follow(self, *, since: str = "", tail: int | None = None) -> Iterator[Line]:
        """Yield lines until the container has ended; may be called again once it runs again."""
        waits = pauses()
        since = self._told.overlap() or since
        while True:
            came = False
            try:
                for raw in self._cluster.logs(
                    self._pod.name, self._container, follow=True, since_time=since, tail=tail
                ):
                    came = True
                    yield from self._fresh([parse(raw, self._pod.replica)])
            except (RefusedError, NotFoundError):
                return
            except UnreachableError:
                pass  # the network is gone for a while: the job goes on without us
            since, tail = self._told.overlap() or since, None
            fate, restarts = self._fate()
            if fate == "gone":
                return
            if fate == "ended" or restarts > self.restarts:
                # What was written between the end of the stream and the end of the container.
                yield from self._fresh(self._rest(since, previous=restarts > self.restarts))
            self.restarts = restarts
            if fate == "ended":
                return
            waits = pauses() if came else waits
            time.sleep(next(waits))

    def _fresh(self, lines: Iterable[Line]) -> Iterator[Line]:
        return (line for line in lines if self._told.is_new(line))

    def _rest(self, since: str, *, previous: bool) -> Iterator[Line]:
        return read(
            self._cluster, self._pod.name, self._container, self._pod.replica,
            since=since, previous=previous,
        )  # fmt: skip

    def _fate(self) -> tuple[str, int]:
        """Say what became of the container (running, ended or gone), and its restarts."""
        try:
            found = self._cluster.find(resources.PODS, self._pod.name)
        except UnreachableError:
            return "running", self.restarts
        if found is None or found["metadata"].get("uid") != self._pod.uid:
            return "gone", self.restarts
        for container in reading.pod(found).containers:
            if container.name == self._container:
                fate = "running" if container.state == "running" else "ended"
                return fate, container.restarts
        return "gone", self.restarts


class _Recent:
    """Remembers the lines of the last seconds, to know them when they come again."""

    def __init__(self) -> None:
        self._lines: list[Line] = []
        self._again: Counter[Line] = Counter()

    def is_new(self, line: Line) -> bool:
        if self._again[line] > 0:
            self._again[line] -= 1
            return False
        self._lines.append(line)
        if len(self._lines) % 1000 == 0:
            start = self._start()
            self._lines = [known for known in self._lines if known.time >= start]
        return True

    def overlap(self) -> str:
        """Give the time from which to read again, and expect the known lines from there on."""
        if not self._lines:
            return ""
        start = self._start()
        self._lines = [known for known in self._lines if known.time >= start]
        self._again = Counter(self._lines)
        return f"{start[:19]}Z" if start else ""

    def _start(self) -> str:
        latest = max(line.time for line in self._lines)
        if not latest:
            return ""
        moment = datetime.datetime.fromisoformat(latest[:19]) - datetime.timedelta(
            seconds=_OVERLAP_S
        )
        return moment.strftime("%Y-%m-%dT%H:%M:%S")
