"""Errors that a user can act on. Each owns the launcher's exit code; its text is one line.

    LauncherError          1  the command failed
    ├── UsageError         2  a flag, a setting or a combination of them cannot work
    ├── NotFoundError      3  an object, a file or a kind is not there
    ├── DeniedError        4  credentials are missing, expired or not enough
    ├── TimedOutError      5  it did not happen within the time allowed
    ├── UnreachableError   1  the cluster or storage does not answer
    └── ConflictError      1  something else of that name is already there

A message says what is wrong, with which value, and how to mend it. `launcher/cli.py` turns these,
and only these, into a line on stderr and an exit code.
"""


class LauncherError(Exception):
    """The base of all errors that end a command with one clear line."""

    exit_code = 1


class UsageError(LauncherError):
    """A flag, a setting or a combination of them that cannot work."""

    exit_code = 2


class NotFoundError(LauncherError):
    """An object, a file or a kind that is not where it was said to be."""

    exit_code = 3


class DeniedError(LauncherError):
    """Credentials that are missing, expired or not enough."""

    exit_code = 4


class TimedOutError(LauncherError):
    """Something that did not happen within the time allowed."""

    exit_code = 5


class UnreachableError(LauncherError):
    """A cluster or a storage that does not answer."""


class ConflictError(LauncherError):
    """Something else of the same name that is already there."""
