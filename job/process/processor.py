"""What this machine's processor can compute with: the last bits of sums depend on it."""

import os
import platform
from collections.abc import Collection, Mapping

# oneDNN's names (its ONEDNN_MAX_CPU_ISA takes them), from the least to the most, each with the
# flags of /proc/cpuinfo that it takes.
_X86 = (
    ("SSE41", {"sse4_1"}),
    ("AVX", {"avx"}),
    ("AVX2", {"avx2"}),
    ("AVX2_VNNI", {"avx_vnni"}),
    ("AVX512_CORE", {"avx512f", "avx512bw", "avx512vl", "avx512dq"}),
    ("AVX512_CORE_VNNI", {"avx512_vnni"}),
    ("AVX512_CORE_BF16", {"avx512_bf16"}),
    ("AVX512_CORE_FP16", {"avx512_fp16"}),
    ("AVX512_CORE_AMX", {"amx_tile", "amx_bf16"}),
)
_LIMITS = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA")
_BFLOAT16_FROM = "AVX512_CORE_BF16"
_ARM_BFLOAT16 = "bf16"


def instruction_set(
    flags: Collection[str] | None = None, environ: Mapping[str, str] = os.environ
) -> str:
    """Name the instructions that oneDNN uses here, or the kind of processor where it is no x86.

    Args:
        flags: What the processor can do, in the kernel's words; by default this machine's.
        environ: May hold a limit, as oneDNN reads it.
    """
    has = _flags() if flags is None else flags
    best = -1
    for index, (_, needed) in enumerate(_X86):
        if needed <= set(has):
            best = index
    names = [name for name, _ in _X86]
    for variable in _LIMITS:
        limit = environ.get(variable, "").upper()
        if limit in names:
            best = min(best, names.index(limit))
    if best >= 0:
        return names[best]
    return platform.machine() + (" with bf16" if _ARM_BFLOAT16 in has else "")


def computes_bfloat16(instructions: str) -> bool:
    """Whether those instructions compute in bfloat16 themselves, and need not emulate it."""
    names = [name for name, _ in _X86]
    if instructions in names:
        return names.index(instructions) >= names.index(_BFLOAT16_FROM)
    return instructions.endswith(" with bf16")


def _flags() -> set[str]:
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
            for line in file:
                name, _, value = line.partition(":")
                if name.strip() in ("flags", "Features"):
                    return set(value.split())
    except OSError:
        pass
    return set()
