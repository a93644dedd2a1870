"""From a folder of runs and conditions to the runs that a command is about."""

from launcher.context import Context
from launcher.errors import NotFoundError
from launcher.runs import jobs, reading, selection
from launcher.runs.record import RunRecord
from launcher.settings.fields import Settings


def root_of(given: str, settings: Settings) -> str:
    """Give the folder of runs: the one named, the run root of the settings, or `runs` here."""
    return given or settings.run_root or "runs"


def selected(
    root: str,
    where: list[str],
    context: Context,
    sort_by: str = "started",
    *,
    reverse: bool = False,
) -> list[RunRecord]:
    """Read the runs of a folder, and give those for which all conditions hold, sorted.

    Raises:
        NotFoundError: There are none at all.
        UsageError: A condition is none, or about a name that no run has.
    """
    records = jobs.with_jobs(reading.find(root), context)
    if not records:
        raise NotFoundError(f"there are no runs in {root}; `launcher submit` makes one")
    known = {name for record in records for name in record.settings}
    chosen = selection.select(records, selection.parse(where, known))
    return selection.ordered(chosen, sort_by, known, reverse=reverse)
