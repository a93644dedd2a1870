"""The logs of a job's replicas as they come, and how merged lines are shown."""

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from launcher.api.log_lines import Line
from launcher.observe import gather
from launcher.observe.logs import Follower, Selection
from launcher.output import Output

if TYPE_CHECKING:
    from launcher.api.connection import Cluster

_COLORS = ("cyan", "green", "yellow", "magenta", "blue")


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
