"""How fast the cores compute that a job gets: guessed for this machine, assumed for a cluster."""

import platform
from pathlib import Path

from launcher.describe.spec import JobSpec

CLOUD_GFLOPS = 60.0
"""A cloud's virtual CPU (half a core) with AVX2 or AVX-512 through oneDNN, float32."""

# Of one core in convolutions, in the precision that `auto` chooses: 350 were measured for the
# second on AMD Turin; the others follow from vector widths and common clocks.
_BY_FLAG = (("amx_bf16", 600.0), ("avx512_bf16", 300.0), ("avx512f", 120.0))
_APPLE_GFLOPS = 100.0
_CPUINFO = Path("/proc/cpuinfo")


def gflops_per_core(spec: JobSpec) -> float:
    """Give the speed of one core of a job's workers, in GFLOP/s; right within a factor of two."""
    if spec.in_cluster:
        return CLOUD_GFLOPS
    if platform.system() == "Darwin" and platform.machine() == "arm64":
        return _APPLE_GFLOPS
    try:
        lines = _CPUINFO.read_text(errors="replace").splitlines()
    except OSError:
        return CLOUD_GFLOPS
    return of_flags(next((line for line in lines if line.startswith("flags")), ""))


def of_flags(flags: str) -> float:
    """Guess it from the line of flags in /proc/cpuinfo; where nothing is known, a cloud's rate."""
    known = set(flags.partition(":")[2].split())
    return next((rate for flag, rate in _BY_FLAG if flag in known), CLOUD_GFLOPS)
