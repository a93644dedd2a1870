"""Errors that a user can act on. Each owns its exit code; its text is one line.

    JobError
    ├── ConfigError              2    a flag or a configuration
    │   └── RunHeldError         2    a run directory that somebody else writes into
    ├── DataError                65   a damaged record, image, dataset or checkpoint
    ├── InputMissingError        66   an input that is not there
    ├── DivergedError            70   a loss that is not finite
    ├── NoSpaceError             74   a full disk
    ├── DeniedError              77   a missing permission
    ├── PreemptedError           143  SIGTERM, after a checkpoint was saved
    │   └── LeaseLostError       143  another attempt writes into the run directory now
    ├── PeerLostError            144  another worker died or stalled
    ├── ClusterNotFormedError    145  the workers never found each other
    └── StorageUnreachableError  146  storage failed after all retries

A message says what is wrong, with which value, and how to mend it. `job/process/entry.py` turns
these, and only these, into a line on stderr and an exit code.
"""

from job.contract.exit_codes import ExitCode


class JobError(Exception):
    """The base of all errors that end a command with one clear line."""

    exit_code: ExitCode


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
    """The process was asked to leave; a checkpoint of this moment is committed."""

    exit_code = ExitCode.PREEMPTED


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
