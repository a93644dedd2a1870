"""The objects that a namespace needs once: k8s/namespace, filled for one namespace. Pure."""

from typing import Any

import k8s
from launcher.describe.spec import Resources
from launcher.errors import UsageError
from launcher.manifests import labels, quantities, skeleton
from launcher.manifests.skeleton import assign

Manifest = dict[str, Any]

PARTS = ("namespace", "service-account", "roles", "network", "quota", "limits", "admission")
_PART_OF_KIND = {
    "Namespace": "namespace", "ServiceAccount": "service-account", "Role": "roles",
    "RoleBinding": "roles", "ClusterRole": "roles", "ClusterRoleBinding": "roles",
    "NetworkPolicy": "network", "ResourceQuota": "quota", "LimitRange": "limits",
    "ValidatingAdmissionPolicy": "admission", "ValidatingAdmissionPolicyBinding": "admission",
    "ConfigMap": "admission",
}  # fmt: skip
_GCP = "iam.gke.io/gcp-service-account"
_NAMESPACE_NAME = "kubernetes.io/metadata.name"
_GKE_POLICY = "food101-jobs-gke"
ANY_IMAGE = "*"
DEFAULT_ACCOUNT = "default"


def manifests(
    namespace: str,
    *,
    service_account: str = "",
    gcp_service_account: str = "",
    group: str = "",
    user: str = "",
    quota: Resources | None = None,
    metadata_server: bool = False,
    registries: tuple[str, ...] = (),
    secrets: tuple[str, ...] = (),
    parts: tuple[str, ...] = PARTS,
) -> list[Manifest]:
    """Make the objects, in the order in which they are to be applied.

    Args:
        namespace: The namespace.
        service_account: Name of the jobs' service account, if not the skeleton's.
        gcp_service_account: Google service account that it becomes; none if empty.
        group: Group that may use the launcher.
        user: A person who may, instead of a group.
        quota: What all jobs may hold together; the quota is left out if None.
        metadata_server: Whether pods may ask GKE's metadata server, which gives them their Google
            service account. On other clouds its address gives them the node's own credentials.
        registries: How images must begin; any may be used if none is given.
        secrets: Those that pods may use.
        parts: Which of PARTS.

    Raises:
        UsageError: There is no such part.
    """
    for part in parts:
        if part not in PARTS:
            raise UsageError(f"there is no part {part!r}; known: {', '.join(PARTS)}")
    found = [skeleton.load(path) for path in k8s.namespace_files()]
    chosen = [item for item in found if _PART_OF_KIND[item["kind"]] in parts]
    if quota is None:
        chosen = [item for item in chosen if item["kind"] != "ResourceQuota"]
    if not metadata_server:
        chosen = [item for item in chosen if item["metadata"]["name"] != _GKE_POLICY]
    if not group and not user:
        chosen = [item for item in chosen if not item["kind"].endswith("RoleBinding")]
    for item in chosen:
        _fill(item, namespace, service_account, gcp_service_account)
        if item["kind"].endswith("RoleBinding"):
            item["subjects"] = [_subject(group, user)]
        if item["kind"] == "ResourceQuota" and quota is not None:
            _fill_quota(item, quota)
        if item["kind"] == "ConfigMap":
            account = service_account or item["data"]["serviceAccounts"].partition(",")[0]
            item["data"] = {
                "serviceAccounts": ",".join(dict.fromkeys((account, DEFAULT_ACCOUNT))),
                "registries": ",".join(registries or (ANY_IMAGE,)),
                "secrets": ",".join(secrets),
            }
    return chosen


def _fill_quota(item: Manifest, quota: Resources) -> None:
    hard = ("spec", "hard")
    assign(item, (*hard, f"requests.{labels.GPU}"), str(quota.gpus))
    assign(item, (*hard, "requests.cpu"), quantities.format_millicpus(quota.millicpus))
    assign(item, (*hard, "requests.memory"), quantities.format_bytes(quota.memory_bytes))


def _fill(item: Manifest, namespace: str, service_account: str, gcp: str) -> None:
    kind, metadata = item["kind"], item["metadata"]
    if kind == "Namespace":
        metadata["name"] = namespace
    elif kind == "ClusterRoleBinding":
        metadata["name"] = f"{item['roleRef']['name']}-{namespace}"
    elif kind == "ValidatingAdmissionPolicyBinding":
        metadata["name"] = f"{item['spec']['policyName']}-{namespace}"
        where = ("spec", "matchResources", "namespaceSelector", "matchLabels")
        assign(item, (*where, _NAMESPACE_NAME), namespace)
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
