"""Machines with eight GPUs, as clouds rent them: how fast they compute, and what links them.

Standard library only. Nominal figures of the vendors, per direction; what NCCL reaches on NVLink
and PCIe is about three quarters of them. A run measures its own links when it starts.
"""

from dataclasses import dataclass

GPUS_PER_MACHINE = 8
UTILISATION = 0.35
"""Share of its peak that a GPU reaches in training VGG19; a guess until it is measured."""


@dataclass(frozen=True)
class Machine:
    """Eight equal GPUs and the machine around them.

    Attributes:
        peak_tflops: Of one GPU, in dense 16-bit arithmetic.
        local_gbps: What one GPU sends to another one of the machine, in Gbit/s.
        network_gbps: What the whole machine sends, in Gbit/s.
    """

    peak_tflops: float
    local_gbps: float
    network_gbps: float


MACHINES = {
    "nvidia-l4": Machine(121, 100, 100),  # PCIe 4.0 by way of the host's memory.
    "nvidia-tesla-a100": Machine(312, 1800, 100),  # NVLink 3.
    "nvidia-h100-80gb": Machine(989, 2700, 200),  # NVLink 4; one network interface.
}
"""By the names of GKE's accelerator labels."""
