"""The logs of a job's replicas as they come, and how merged lines are shown."""

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from launcher.api.log_lines import Line
from launcher.context import Context
from launcher.errors import UsageError
from launcher.observe import gather
from launcher.observe.logs import Follower, Selection
from launcher.observe.run_paths import Found
from launcher.output import Output

if TYPE_CHECKING:
    from launcher.api.connection import Cluster

_COLORS = ("cyan", "green", "yellow", "magenta", "blue")


def cluster_of(found: Found, context: Context) -> "Cluster":
    """Give the cluster of a job that is to be followed.

    Raises:
        UsageError: It is a run directory: what comes is told by a job alone.
        LauncherError: The cluster, which was asked for a job, was of no help.
    """
    if found.job is None:
        raise found.said or UsageError(
            f"--follow needs a job in a cluster; {found.run} is a run's directory"
        )
    return context.cluster()


def lines(
    cluster: "Cluster", name: str, selection: Selection, note: Callable[[str], None]
) -> Iterator[Line]:
    """Find a job and yield the lines of all its replicas until it is over.

    Raises:
        NotFoundError: There is no such job.
    """
    kind, item = gather.find(cluster, name)
    yield from Follower(cluster, kind, kind.read(item), selection, note).lines()


def show(merged: Iterable[Line], output: Output, *, timestamps: bool = False) -> int:
    """Write lines with their replica in front, each in its colour; gives how many."""
    colors: dict[str, str] = {}
    count = width = 0
    for line in merged:
        color = colors.setdefault(line.replica, _COLORS[len(colors) % len(_COLORS)])
        width = max(width, len(line.replica))
        stamp = f"{line.time[:23]}Z " if timestamps and line.time else ""
        prefix = output.style(f"{line.replica:<{width}} |", color)
        shown = output.style(stamp, "dim") if stamp else ""
        output.print(f"{prefix} {shown}{output.style(line.text)}")
        output.stdout.flush()
        count += 1
    return count
