"""What takes how long: told as it happens, and once more as a table at the end."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator


def _to_stderr(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


class Phases:
    """The phases of a run, with their times."""

    def __init__(self, tell: Callable[[str], None] = _to_stderr) -> None:
        self._tell = tell
        self._seconds: dict[str, float] = {}

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Take the time of what is done inside; the same name again is added to it."""
        self._tell(f"{time.strftime('%H:%M:%S')} {name} ...")
        started = time.monotonic()
        try:
            yield
        finally:
            self.add(name, time.monotonic() - started)

    def add(self, name: str, seconds: float) -> None:
        """Count seconds for a phase that was timed elsewhere."""
        self._seconds[name] = self._seconds.get(name, 0.0) + seconds

    def table(self) -> list[str]:
        """Give the lines of the table, in the order in which the phases began."""
        if not self._seconds:
            return []
        width = max(map(len, self._seconds))
        rows = [*self._seconds.items(), ("in all", sum(self._seconds.values()))]
        return [f"{name:<{width}}  {seconds:7.1f} s" for name, seconds in rows]
