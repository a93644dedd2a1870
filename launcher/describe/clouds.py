"""How clouds mark the nodes that a job may want: GPU models, spot prices, reservations. Pure.

GKE names GPU models in a label of its own. Elsewhere NVIDIA's GPU feature discovery does, in
`nvidia.com/gpu.product`, by the names of products, of which one model may have several.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from launcher.errors import UsageError

Expression = tuple[str, tuple[str, ...]]
"""A label of nodes, and the values of which it must have one."""

GKE_ACCELERATOR = "cloud.google.com/gke-accelerator"
PRODUCT = "nvidia.com/gpu.product"
RESERVATION = "cloud.google.com/reservation-name"
RESERVATION_PROJECT = "cloud.google.com/reservation-project"
RESERVATION_AFFINITY = "cloud.google.com/reservation-affinity"
FLEX_START = "cloud.google.com/gke-flex-start"
QUEUED = "cloud.google.com/gke-queued"
LOCAL_SSD = "cloud.google.com/gke-ephemeral-storage-local-ssd"

PRODUCTS: dict[str, tuple[str, ...]] = {
    "nvidia-tesla-t4": ("Tesla-T4",),
    "nvidia-tesla-p100": ("Tesla-P100-PCIE-16GB", "Tesla-P100-SXM2-16GB"),
    "nvidia-tesla-v100": (
        "Tesla-V100-SXM2-16GB", "Tesla-V100-SXM2-32GB", "Tesla-V100-PCIE-16GB",
        "Tesla-V100-PCIE-32GB",
    ),
    "nvidia-l4": ("NVIDIA-L4",),
    "nvidia-tesla-a100": ("NVIDIA-A100-SXM4-40GB", "NVIDIA-A100-PCIE-40GB"),
    "nvidia-a100-80gb": ("NVIDIA-A100-SXM4-80GB", "NVIDIA-A100-80GB-PCIe"),
    "nvidia-h100-80gb": ("NVIDIA-H100-80GB-HBM3", "NVIDIA-H100-PCIe"),
    "nvidia-h100-mega-80gb": ("NVIDIA-H100-80GB-HBM3",),
    "nvidia-h200-141gb": ("NVIDIA-H200",),
    "nvidia-b200": ("NVIDIA-B200",),
}  # fmt: skip
"""The products of each model that `launcher/describe/accelerators.py` knows."""


@dataclass(frozen=True, kw_only=True)
class Cloud:
    """What is particular to one cloud.

    Attributes:
        name: As --cloud names it.
        phrase: In a sentence.
        spot: Labels of which a node on spot prices has one, with its value.
        spot_taint: The taint that keeps others from such nodes, as (key, value); None if none is.
        providers: How the provider ids of its nodes begin.
        marks: How the keys of its own labels begin.
    """

    name: str
    phrase: str
    spot: tuple[tuple[str, str], ...]
    spot_taint: tuple[str, str] | None
    providers: str
    marks: tuple[str, ...]

    def accelerator(self, model: str) -> Expression:
        """Give what marks nodes with a GPU model; an unknown one is taken as it is written."""
        if self is GKE:
            return GKE_ACCELERATOR, (model,)
        return PRODUCT, PRODUCTS.get(model, (model,))


GKE = Cloud(
    name="gke",
    phrase="GKE",
    spot=(("cloud.google.com/gke-spot", "true"),),
    spot_taint=("cloud.google.com/gke-spot", "true"),
    providers="gce://",
    marks=("cloud.google.com/gke-",),
)
EKS = Cloud(
    name="eks",
    phrase="EKS",
    # A managed node group's, and Karpenter's, which EKS Auto Mode is as well. Neither is tainted.
    spot=(("eks.amazonaws.com/capacityType", "SPOT"), ("karpenter.sh/capacity-type", "spot")),
    spot_taint=None,
    providers="aws://",
    marks=("eks.amazonaws.com/", "karpenter.k8s.aws/"),
)
AKS = Cloud(
    name="aks",
    phrase="AKS",
    spot=(("kubernetes.azure.com/scalesetpriority", "spot"),),
    spot_taint=("kubernetes.azure.com/scalesetpriority", "spot"),
    providers="azure://",
    marks=("kubernetes.azure.com/",),
)
ALL = {cloud.name: cloud for cloud in (GKE, EKS, AKS)}


def named(name: str) -> Cloud:
    """Find a cloud by its name.

    Raises:
        UsageError: There is none of that name.
    """
    if name not in ALL:
        raise UsageError(f"cloud must be {', '.join(ALL)}, not {name!r}")
    return ALL[name]


def of_nodes(nodes: Iterable[tuple[str, Mapping[str, str]]]) -> Cloud | None:
    """Recognise the cloud that nodes belong to; None if they belong to no known one.

    Args:
        nodes: The provider id and the labels of each.
    """
    for provider, labels in nodes:
        for cloud in ALL.values():
            if provider.startswith(cloud.providers) or any(
                key.startswith(cloud.marks) for key in labels
            ):
                return cloud
    return None
