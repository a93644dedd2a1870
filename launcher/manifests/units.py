"""Sizes as Kubernetes writes them (`8Gi`), and times as people do (`7d`, `1h30m`)."""

import math
import re
from collections.abc import Mapping

from launcher.errors import UsageError

GIB = 2**30
_BINARY = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}
_DECIMAL = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)(Ki|Mi|Gi|Ti|k|M|G|T|)", re.ASCII)
_CPUS = re.compile(r"(\d+(?:\.\d+)?)|(\d+)m", re.ASCII)
_DURATION = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?", re.ASCII)
_LARGEST_SECONDS = 10 * 365 * 86400


def parse_bytes(text: str, where: str) -> int:
    """Read a size such as 512Mi, 8Gi or 1.5G as bytes.

    Raises:
        UsageError: It is not a size; the message names `where` it stands.
    """
    match = _SIZE.fullmatch(text.strip())
    if not match or len(match[1]) > 15 or float(match[1]) == 0:
        raise UsageError(f"{where} must be a size such as 512Mi or 8Gi, not {text!r}")
    return math.ceil(float(match[1]) * {**_BINARY, **_DECIMAL}[match[2]])


def format_bytes(size: int) -> str:
    """Write bytes in the largest binary unit that holds them exactly, else rounded up to Mi."""
    for unit in ("Ti", "Gi", "Mi"):
        if size and size % _BINARY[unit] == 0:
            return f"{size // _BINARY[unit]}{unit}"
    return f"{math.ceil(size / _BINARY['Mi'])}Mi"


def parse_millicpus(text: str, where: str) -> int:
    """Read a number of CPUs such as 4, 0.5 or 500m as thousandths.

    Raises:
        UsageError: It is not a number of CPUs.
    """
    match = _CPUS.fullmatch(text.strip())
    millis = (
        0
        if not match or len(text) > 12
        else round(float(match[1]) * 1000 if match[1] else int(match[2]))
    )
    if millis <= 0:
        raise UsageError(f"{where} must be a number of CPUs such as 4 or 500m, not {text!r}")
    return millis


def format_millicpus(millis: int) -> str:
    """Write thousandths of a CPU as Kubernetes does: 4, 500m."""
    return f"{millis}m" if millis % 1000 else str(millis // 1000)


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
