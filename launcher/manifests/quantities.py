"""Kubernetes' quantities, as they come from an API server: 8, 500m, 16Gi, 1e3."""

import re

_QUANTITY = re.compile(r"([+-]?\d*\.?\d+(?:[eE][+-]?\d+)?)([numkMGTPE]|[KMGTPE]i)?")
_FACTORS = {
    "n": 1e-9, "u": 1e-6, "m": 1e-3, "": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15,
    "E": 1e18, "Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40, "Pi": 2.0**50,
    "Ei": 2.0**60,
}  # fmt: skip


def parse(text: str | float | int) -> float:
    """Read a quantity; 0 for what is none (servers validate them, so that does not happen)."""
    match = _QUANTITY.fullmatch(str(text).strip())
    return float(match[1]) * _FACTORS[match[2] or ""] if match else 0.0


def show(resource: str, amount: float) -> str:
    """Write an amount as people say it: `2 nvidia.com/gpu`, `3.5 cpu`, `12 GiB memory`."""
    if resource.endswith(("memory", "storage")):
        for unit, size in (("TiB", 2.0**40), ("GiB", 2.0**30), ("MiB", 2.0**20)):
            if amount >= size:
                return f"{amount / size:.3g} {unit} {resource}"
        return f"{amount:.0f} B {resource}"
    return f"{amount:g} {resource}" if amount == int(amount) else f"{amount:.1f} {resource}"
