"""Times and numbers as people write them: `7d`, `1h30m`, top-1 14.75 %."""

import math
import re
from collections.abc import Mapping

from launcher.errors import UsageError

GIB = 2**30
_DURATION = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?", re.ASCII)
_LARGEST_SECONDS = 10 * 365 * 86400


def parse_seconds(text: str, where: str) -> int:
    """Read a time such as 7d, 12h, 1h30m or 90s as seconds.

    Raises:
        UsageError: It is not a time, or longer than ten years.
    """
    match = _DURATION.fullmatch(text.strip())
    if not match or not any(match.groups()) or len(text) > 30:
        raise UsageError(f"{where} must be a time such as 30m, 12h or 7d, not {text!r}")
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    total = ((days * 24 + hours) * 60 + minutes) * 60 + seconds
    if not 0 < total <= _LARGEST_SECONDS:
        raise UsageError(f"{where} must be between 1s and 3650d, not {text!r}")
    return total


def seconds_or_ever(text: str, where: str) -> float:
    """Read a limit that may be left out: then it is infinite.

    Raises:
        UsageError: It is not a time, or longer than ten years.
    """
    return parse_seconds(text, where) if text else math.inf


def format_seconds(seconds: float) -> str:
    """Write a time in its two largest units: 2d 3h, 1h 5m, 40s."""
    whole = round(seconds)
    parts = [
        (whole // 86400, "d"),
        (whole // 3600 % 24, "h"),
        (whole // 60 % 60, "m"),
        (whole % 60, "s"),
    ]
    first = next((n for n, (count, _) in enumerate(parts) if count), 3)
    return " ".join(f"{count}{unit}" for count, unit in parts[first : first + 2] if count) or "0s"


def format_metrics(metrics: Mapping[str, float]) -> str:
    """Write an evaluation's numbers as the trainer's log does: top-1 14.75 %, loss 2.28."""
    shares = {"top1": "top-1", "top5": "top-5"}
    return ", ".join(
        f"{shares[name]} {value:.2%}".replace("%", " %")
        if name in shares
        else f"{name} {value:.4g}"
        for name, value in metrics.items()
    )
