"""The objects that a namespace needs once: k8s/namespace, filled for one namespace. Pure."""

from typing import Any

import k8s
from launcher.errors import UsageError
from launcher.manifests import skeleton
from launcher.manifests.skeleton import assign

Manifest = dict[str, Any]

PARTS = ("namespace", "service-account", "roles", "network", "quota", "limits")
_PART_OF_KIND = {
    "Namespace": "namespace", "ServiceAccount": "service-account", "Role": "roles",
    "RoleBinding": "roles", "ClusterRole": "roles", "ClusterRoleBinding": "roles",
    "NetworkPolicy": "network", "ResourceQuota": "quota", "LimitRange": "limits",
}  # fmt: skip
_GCP = "iam.gke.io/gcp-service-account"
_GPU_QUOTA = "requests.nvidia.com/gpu"


def manifests(
    namespace: str,
    *,
    service_account: str = "",
    gcp_service_account: str = "",
    group: str = "",
    user: str = "",
    gpus: int | None = None,
    parts: tuple[str, ...] = PARTS,
) -> list[Manifest]:
    """Make the objects, in the order in which they are to be applied.

    Args:
        namespace: The namespace.
        service_account: Name of the jobs' service account, if not the skeleton's.
        gcp_service_account: Google service account that it becomes; none if empty.
        group: Group that may use the launcher.
        user: A person who may, instead of a group.
        gpus: GPUs of the quota; the quota is left out if None.
        parts: Which of PARTS.

    Raises:
        UsageError: There is no such part.
    """
    for part in parts:
        if part not in PARTS:
            raise UsageError(f"there is no part {part!r}; known: {', '.join(PARTS)}")
    found = [skeleton.load(path) for path in k8s.namespace_files()]
    chosen = [item for item in found if _PART_OF_KIND[item["kind"]] in parts]
    if gpus is None:
        chosen = [item for item in chosen if item["kind"] != "ResourceQuota"]
    if not group and not user:
        chosen = [item for item in chosen if not item["kind"].endswith("RoleBinding")]
    for item in chosen:
        _fill(item, namespace, service_account, gcp_service_account)
        if item["kind"].endswith("RoleBinding"):
            item["subjects"] = [_subject(group, user)]
        if item["kind"] == "ResourceQuota" and gpus is not None:
            assign(item, ("spec", "hard", _GPU_QUOTA), str(gpus))
    return chosen


def _fill(item: Manifest, namespace: str, service_account: str, gcp: str) -> None:
    kind, metadata = item["kind"], item["metadata"]
    if kind == "Namespace":
        metadata["name"] = namespace
    elif kind == "ClusterRoleBinding":
        metadata["name"] = f"{item['roleRef']['name']}-{namespace}"
    elif "namespace" in metadata:
        metadata["namespace"] = namespace
    if kind == "ServiceAccount":
        metadata["name"] = service_account or metadata["name"]
        if gcp:
            metadata["annotations"][_GCP] = gcp
        else:
            del metadata["annotations"][_GCP]


def _subject(group: str, user: str) -> Manifest:
    kind, name = ("Group", group) if group else ("User", user)
    return {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name}
