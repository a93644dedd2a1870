"""Why a process ended, as a number.

Below 128 a restart cannot help, from 128 on it can: the manifests' restart rules, the local
backend and `launcher why` all build on that one line.
"""

import enum

FIRST_RETRYABLE = 128


class ExitCode(enum.IntEnum):
    """The exit codes of every `python -m job.*` command."""

    DONE = 0
    BAD_CONFIG = 2
    BAD_DATA = 65
    INPUT_MISSING = 66
    DIVERGED = 70
    NO_SPACE = 74
    DENIED = 77
    PREEMPTED = 143
    PEER_LOST = 144
    CLUSTER_NOT_FORMED = 145
    STORAGE_UNREACHABLE = 146


MEANINGS: dict[ExitCode, str] = {
    ExitCode.DONE: "done",
    ExitCode.BAD_CONFIG: "a bad flag or configuration",
    ExitCode.BAD_DATA: "bad data: a damaged record, image, dataset or checkpoint",
    ExitCode.INPUT_MISSING: "an input is not there",
    ExitCode.DIVERGED: "training diverged: the loss is not finite",
    ExitCode.NO_SPACE: "no space left on a disk",
    ExitCode.DENIED: "permission denied",
    ExitCode.PREEMPTED: "preempted; a checkpoint was saved first",
    ExitCode.PEER_LOST: "another worker was lost",
    ExitCode.CLUSTER_NOT_FORMED: "the workers never found each other",
    ExitCode.STORAGE_UNREACHABLE: "storage stayed unreachable after all retries",
}


def meaning(code: int) -> str:
    """Say in words what an exit code of a job's process means."""
    if code in MEANINGS:
        return MEANINGS[ExitCode(code)]
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
