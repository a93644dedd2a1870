"""How far a long piece of work is: a bar on a terminal, a log line now and then without one."""

import logging
import sys
import time
from typing import NoReturn, Self

from tqdm import tqdm

_log = logging.getLogger(__name__)


class WorkProgress:
    """Counts work; a context manager.

    Args:
        what: A word before the bar, as "encoding".
        past: The same word for when it is done, as "encoded".
        total: How much there is.
        unit: Of what: "images", or "B" for bytes, which are shown in MB.
        log_every_s: Time between two log lines, in seconds.
    """

    def __init__(
        self, what: str, past: str, total: int, unit: str, log_every_s: float = 10.0
    ) -> None:
        self._what = what
        self._past = past
        self._total = total
        self._unit = unit
        self._every = log_every_s
        self._done = 0
        self._start = self._last = time.monotonic()
        self._bar: tqdm[NoReturn] | None = None
        if sys.stderr.isatty():
            self._bar = tqdm(
                desc=what,
                total=total,
                unit=unit if unit == "B" else f" {unit}",
                unit_scale=unit == "B",
                dynamic_ncols=True,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()
        elapsed_s = time.monotonic() - self._start
        scale, unit = self._scale()
        _log.info(
            f"{self._past} {self._done / scale:,.0f} {unit} in {elapsed_s:.1f} s, "
            f"{self.rate / scale:,.0f} {unit}/s"
        )

    @property
    def done(self) -> int:
        """How much is done."""
        return self._done

    @property
    def rate(self) -> float:
        """Work done per second since the start."""
        return self._done / max(1e-9, time.monotonic() - self._start)

    def advance(self, amount: int = 1) -> None:
        """Note that more was done."""
        self._done += amount
        if self._bar is not None:
            self._bar.update(amount)
        elif time.monotonic() - self._last >= self._every:
            self._last = time.monotonic()
            self._report()

    def advance_to(self, amount: int) -> None:
        """Note how much is done in all."""
        self.advance(amount - self._done)

    def _report(self) -> None:
        left = tqdm.format_interval((self._total - self._done) / max(1e-9, self.rate))
        scale, unit = self._scale()
        _log.info(
            f"{self._what}: {self._done / scale:,.0f}/{self._total / scale:,.0f} {unit}, "
            f"{self.rate / scale:,.0f} {unit}/s, {left} left"
        )

    def _scale(self) -> tuple[float, str]:
        return (1e6, "MB") if self._unit == "B" else (1.0, self._unit)
