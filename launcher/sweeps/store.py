"""A sweep's directory: sweep.json, and a run directory for each trial."""

from job.contract import layout
from job.contract.errors import DataError
from job.contract.evaluation_file import MAX_BYTES, EvaluationNote
from job.storage import NotFoundError as FileMissingError
from job.storage import documents, list_files
from launcher.errors import ConflictError, NotFoundError
from launcher.runs import reading
from launcher.runs.record import RunRecord
from launcher.sweeps.plan import FORMAT, Sweep, Trial


def directory(root: str, name: str) -> str:
    """Locate a sweep below the run root."""
    return layout.join(root, name)


def run_of(folder: str, trial: Trial) -> str:
    """Locate a trial's run directory."""
    return layout.join(folder, trial.name)


def load(folder: str) -> Sweep:
    """Read a sweep.

    Raises:
        NotFoundError: There is none.
        DataError: Its file is damaged.
    """
    try:
        return documents.read(_file(folder), Sweep, formats=(FORMAT,))
    except FileMissingError as error:
        raise NotFoundError(f"there is no sweep in {folder}: it has no sweep.json") from error


def open_sweep(folder: str, planned: Sweep) -> Sweep:
    """Begin a sweep, or go on with the same one; gives it with what is known of it.

    Raises:
        ConflictError: Another sweep is there.
    """
    try:
        there = load(folder)
    except NotFoundError:
        save(folder, planned)
        return planned
    if (there.trials, there.flags) != (planned.trials, planned.flags):
        raise ConflictError(
            f"{folder} holds another sweep ({len(there.trials)} trials); choose another --name"
        )
    return there


def save(folder: str, sweep: Sweep) -> None:
    """Write sweep.json."""
    documents.write(_file(folder), sweep)


def records(folder: str, sweep: Sweep) -> dict[str, RunRecord]:
    """Read the runs that the trials have so far, by trial."""
    paths = [run_of(folder, trial) for trial in sweep.trials]
    found = {record.path: record for record in reading.read_each(paths, folder)}
    return {
        trial.name: found[path]
        for trial, path in zip(sweep.trials, paths, strict=True)
        if path in found
    }


class Curves:
    """The evaluations of trials; each file is read once."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._read: dict[str, tuple[int, float]] = {}

    def of(self, trial: Trial) -> list[tuple[int, float]]:
        """Give (step, top-1) of each evaluation of a trial, by rising step."""
        paths = [
            stat.path
            for stat in list_files(layout.evaluations_dir(run_of(self._folder, trial)))
            if stat.path.endswith(".json")
        ]
        for path in paths:
            if path not in self._read:
                self._note(path)
        return sorted(self._read[path] for path in paths if path in self._read)

    def _note(self, path: str) -> None:
        try:
            note = documents.read(path, EvaluationNote, max_bytes=MAX_BYTES)
        except (FileMissingError, DataError):
            return
        top1 = note.metrics.get("top1")
        if top1 is not None:
            self._read[path] = (note.step, top1)


def _file(folder: str) -> str:
    return layout.join(folder, "sweep.json")
