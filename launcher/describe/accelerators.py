"""What is known of GPU models: how much a worker gets beside them, and what they can do.

Names are GKE's `cloud.google.com/gke-accelerator` labels. Host shares are what the smallest
machine type with that GPU leaves for pods; peaks are the vendor's for dense 16-bit arithmetic.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Accelerator:
    """One GPU and its share of the machine around it."""

    memory_gib: float
    millicpus: int
    host_memory_gib: int
    peak_tflops: float
    network_gbps: float
    """Bandwidth of the whole machine."""


KNOWN: dict[str, Accelerator] = {
    "nvidia-tesla-t4": Accelerator(15, 3000, 10, 65, 10),
    "nvidia-tesla-p100": Accelerator(16, 6000, 40, 19, 10),
    "nvidia-tesla-v100": Accelerator(16, 6000, 40, 112, 10),
    "nvidia-l4": Accelerator(22.5, 3000, 12, 121, 10),
    "nvidia-tesla-a100": Accelerator(40, 11000, 75, 312, 24),
    "nvidia-a100-80gb": Accelerator(80, 11000, 150, 312, 24),
    "nvidia-h100-80gb": Accelerator(80, 24000, 200, 989, 200),
    "nvidia-h100-mega-80gb": Accelerator(80, 24000, 200, 989, 200),
    "nvidia-h200-141gb": Accelerator(141, 26000, 300, 989, 200),
    "nvidia-b200": Accelerator(180, 26000, 400, 2250, 200),
}

UNKNOWN = Accelerator(15, 3000, 10, 65, 10)
"""The smallest of all: what fits there fits anywhere."""


def describe(model: str) -> Accelerator:
    """Give what is known of a model; an unknown one counts as the smallest."""
    return KNOWN.get(model, UNKNOWN)
