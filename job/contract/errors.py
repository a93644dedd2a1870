"""Errors that a user can act on, and exit codes. Each error owns its code; its text is one line.

    JobError
    ├── ConfigError              2    a flag or a configuration
    │   └── RunHeldError         2    a run directory that somebody else writes into
    ├── DataError                65   a damaged record, image, dataset or checkpoint
    ├── InputMissingError        66   an input that is not there
    ├── DivergedError            70   a loss that is not finite
    ├── NoSpaceError             74   a full disk
    ├── DeniedError              77   a missing permission
    ├── HelperKilledError        137  a process of its own was killed
    ├── PreemptedError           143  SIGTERM; what was finished is kept
    │   └── LeaseLostError       143  another attempt writes into the run directory now
    ├── PeerLostError            144  another worker died or stalled
    ├── ClusterNotFormedError    145  the workers never found each other
    └── StorageUnreachableError  146  storage failed after all retries

A message says what is wrong, with which value, and how to mend it. `job/process/entry.py` turns
these, and only these, into a line on stderr and an exit code.
"""

import enum

FIRST_RETRYABLE = 128
"""Below, a restart cannot help; from here on it can. The manifests' restart rules, the local
backend and `launcher why` all build on that one line."""


class ExitCode(enum.IntEnum):
    """The exit codes of every `python -m job.*` command."""

    DONE = 0
    BAD_CONFIG = 2
    BAD_DATA = 65
    INPUT_MISSING = 66
    DIVERGED = 70
    NO_SPACE = 74
    RESTARTS_SPENT = 75
    DENIED = 77
    TIME_UP = 124
    PREEMPTED = 143
    PEER_LOST = 144
    CLUSTER_NOT_FORMED = 145
    STORAGE_UNREACHABLE = 146


_MEANINGS: dict[ExitCode, str] = {
    ExitCode.DONE: "done",
    ExitCode.BAD_CONFIG: "a bad flag or configuration",
    ExitCode.BAD_DATA: "bad data: a damaged record, image, dataset or checkpoint",
    ExitCode.INPUT_MISSING: "an input is not there",
    ExitCode.DIVERGED: "training diverged: the loss is not finite",
    ExitCode.NO_SPACE: "no space left on a disk",
    ExitCode.RESTARTS_SPENT: "all restarts are used up",
    ExitCode.DENIED: "permission denied",
    ExitCode.TIME_UP: "the job's longest duration is over",
    ExitCode.PREEMPTED: "asked to leave, or preempted; what was finished is kept",
    ExitCode.PEER_LOST: "another worker was lost",
    ExitCode.CLUSTER_NOT_FORMED: "the workers never found each other",
    ExitCode.STORAGE_UNREACHABLE: "storage stayed unreachable after all retries",
}


def exit_meaning(code: int) -> str:
    """Say in words what an exit code of a job's process means."""
    if code in _MEANINGS:
        return _MEANINGS[ExitCode(code)]
    if code == 1:
        return "an unexpected error (see the traceback in the log)"
    if code < 0:
        return f"killed by signal {-code}"
    if code > FIRST_RETRYABLE:
        return f"killed by signal {code - FIRST_RETRYABLE}"
    return "an unknown exit code"


def restart_may_help(code: int) -> bool:
    """Whether starting again from the last checkpoint can end differently.

    A negative code is Python's way to say that a signal ended the process.
    """
    return code >= FIRST_RETRYABLE or code < 0


class JobError(Exception):
    """The base of all errors that end a command with one clear line."""

    exit_code: int


class ConfigError(JobError):
    """A flag, a configuration file or a combination of settings that cannot work."""

    exit_code = ExitCode.BAD_CONFIG


class RunHeldError(ConfigError):
    """A run directory that another job writes into."""


class DataError(JobError):
    """Input that is there but damaged or not what it should be."""

    exit_code = ExitCode.BAD_DATA


class InputMissingError(JobError):
    """Input that is not where it was said to be."""

    exit_code = ExitCode.INPUT_MISSING


class DivergedError(JobError):
    """Training whose loss or gradient is no longer finite."""

    exit_code = ExitCode.DIVERGED


class NoSpaceError(JobError):
    """A disk without room for what must be written."""

    exit_code = ExitCode.NO_SPACE


class DeniedError(JobError):
    """A permission that is missing."""

    exit_code = ExitCode.DENIED


class PreemptedError(JobError):
    """The process was asked to leave; what was finished is committed."""

    exit_code = ExitCode.PREEMPTED


class HelperKilledError(JobError):
    """A process that this one had started was killed, nearly always for want of memory."""

    exit_code = FIRST_RETRYABLE + 9  # As if the kernel had chosen this process.


class LeaseLostError(PreemptedError):
    """The run directory belongs to another attempt by now; this one must write nothing more."""


class PeerLostError(JobError):
    """Another worker died, stalled or left."""

    exit_code = ExitCode.PEER_LOST


class ClusterNotFormedError(JobError):
    """Not all workers came within the time allowed."""

    exit_code = ExitCode.CLUSTER_NOT_FORMED


class StorageUnreachableError(JobError):
    """Storage kept failing until the deadline of the retries."""

    exit_code = ExitCode.STORAGE_UNREACHABLE


class HelpRequested(Exception):  # noqa: N818 - it is no error
    """`--help` stands among the arguments."""
