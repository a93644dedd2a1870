"""What a command would write, for programs that call the launcher: records of a logger."""

import io
import logging

from job.contract.wording import printable
from launcher.output import Output

LOG = logging.getLogger("launcher")
_ERROR = "error: "
"""How every job begins the line that says why it ends."""


class LoggedOutput(Output):
    """Logs notes and progress as INFO, warnings as WARNING, results as DEBUG."""

    def __init__(self) -> None:
        super().__init__(io.StringIO(), io.StringIO(), {})
        self.last_error = ""
        """What a job of this machine said last of why it ends."""

    def print(self, text: str = "") -> None:
        """Log a line of the result, and keep it if it is a job's error."""
        before, found, error = text.partition(_ERROR)
        if found and (not before or before.endswith("| ")):
            self.last_error = printable(error)
        LOG.debug("%s", printable(text))

    def note(self, text: str) -> None:
        """Log a line about what happens."""
        LOG.info("%s", printable(text))

    def progress(self, text: str) -> None:
        """Log how far something is."""
        self.note(text)

    def warn(self, text: str) -> None:
        """Log a warning."""
        LOG.warning("%s", printable(text))
