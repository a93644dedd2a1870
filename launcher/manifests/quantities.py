"""Kubernetes' quantities: 8, 500m, 16Gi, 1e3. The one parser of them, and how they are written."""

import math
import re

from launcher.errors import UsageError

_QUANTITY = re.compile(
    r"(?P<number>[+-]?\d*\.?\d+(?P<exponent>[eE][+-]?\d+)?)(?P<unit>[numkMGTPE]|[KMGTPE]i)?",
    re.ASCII,
)
_FACTORS = {
    "n": 1e-9, "u": 1e-6, "m": 1e-3, "": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15,
    "E": 1e18, "Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40, "Pi": 2.0**50,
    "Ei": 2.0**60,
}  # fmt: skip
_OF_SIZES = ("", "k", "M", "G", "T", "Ki", "Mi", "Gi", "Ti")
_OF_CPUS = ("", "m")
_LONGEST = 15


def parse(text: str | float | int) -> float:
    """Read a quantity; 0 for what is none (servers validate them, so that does not happen)."""
    match = _QUANTITY.fullmatch(str(text).strip())
    return float(match["number"]) * _FACTORS[match["unit"] or ""] if match else 0.0


def _typed(text: str, units: tuple[str, ...]) -> float:
    """Read what a person has typed: a plain number above 0 with a unit that fits; else 0."""
    match = _QUANTITY.fullmatch(text.strip())
    if match is None or match["exponent"] or len(match["number"]) > _LONGEST:
        return 0.0
    plain = match["number"][:1].isdigit() and (match["unit"] or "") in units
    return parse(text) if plain else 0.0


def parse_bytes(text: str, where: str) -> int:
    """Read a size such as 512Mi, 8Gi or 1.5G as bytes, rounded up.

    Raises:
        UsageError: It is not a size; the message names `where` it stands.
    """
    size = math.ceil(_typed(text, _OF_SIZES))
    if not size:
        raise UsageError(f"{where} must be a size such as 512Mi or 8Gi, not {text!r}")
    return size


def format_bytes(size: int) -> str:
    """Write bytes in the largest binary unit that holds them exactly, else rounded up to Mi."""
    for unit in ("Ti", "Gi", "Mi"):
        if size and size % int(_FACTORS[unit]) == 0:
            return f"{size // int(_FACTORS[unit])}{unit}"
    return f"{math.ceil(size / _FACTORS['Mi'])}Mi"


def parse_millicpus(text: str, where: str) -> int:
    """Read a number of CPUs such as 4, 0.5 or 500m as thousandths.

    Raises:
        UsageError: It is not a number of CPUs.
    """
    split = "." in text and text.strip().endswith("m")  # There is nothing smaller than 1m.
    millis = 0 if split else round(_typed(text, _OF_CPUS) * 1000)
    if not millis:
        raise UsageError(f"{where} must be a number of CPUs such as 4 or 500m, not {text!r}")
    return millis


def format_millicpus(millis: int) -> str:
    """Write thousandths of a CPU as Kubernetes does: 4, 500m."""
    return f"{millis}m" if millis % 1000 else str(millis // 1000)


def show(resource: str, amount: float) -> str:
    """Write an amount as people say it: `2 nvidia.com/gpu`, `3.5 cpu`, `12 GiB memory`."""
    if resource.endswith(("memory", "storage")):
        for unit, size in (("TiB", 2.0**40), ("GiB", 2.0**30), ("MiB", 2.0**20)):
            if amount >= size:
                return f"{amount / size:.3g} {unit} {resource}"
        return f"{amount:.0f} B {resource}"
    return f"{amount:g} {resource}" if amount == int(amount) else f"{amount:.1f} {resource}"
