"""The kinds of objects that the launcher reads or writes, and their addresses in the API."""

from dataclasses import dataclass
from urllib.parse import quote


@dataclass(frozen=True, slots=True)
class Resource:
    """A kind: where its objects live and what they are called."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        """Group and version as an object's `apiVersion` has them."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def qualified(self) -> str:
        """The kind as kubectl tells it from others of that name: tfjob.kubeflow.org."""
        return ".".join(filter(None, (self.kind.lower(), self.group)))

    @property
    def collection(self) -> str:
        """The collection as quotas and RBAC name it: tfjobs.kubeflow.org."""
        return ".".join(filter(None, (self.plural, self.group)))

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """Address a collection, an object or a part of one; every name is escaped."""
        parts = [f"/apis/{self.group}" if self.group else "/api", self.version]
        if self.namespaced and namespace:
            parts += ["namespaces", quote(namespace, safe="")]
        parts.append(self.plural)
        parts += [quote(part, safe="") for part in (name,) if part]
        parts += [subresource] if subresource else []
        return "/".join(parts)


NAMESPACES = Resource("", "v1", "namespaces", "Namespace", namespaced=False)
NODES = Resource("", "v1", "nodes", "Node", namespaced=False)
PODS = Resource("", "v1", "pods", "Pod")
EVENTS = Resource("", "v1", "events", "Event")
SECRETS = Resource("", "v1", "secrets", "Secret")
CONFIG_MAPS = Resource("", "v1", "configmaps", "ConfigMap")
SERVICE_ACCOUNTS = Resource("", "v1", "serviceaccounts", "ServiceAccount")
RESOURCE_QUOTAS = Resource("", "v1", "resourcequotas", "ResourceQuota")
LIMIT_RANGES = Resource("", "v1", "limitranges", "LimitRange")
DEPLOYMENTS = Resource("apps", "v1", "deployments", "Deployment")
JOBS = Resource("batch", "v1", "jobs", "Job")
ROLES = Resource("rbac.authorization.k8s.io", "v1", "roles", "Role")
ROLE_BINDINGS = Resource("rbac.authorization.k8s.io", "v1", "rolebindings", "RoleBinding")
CLUSTER_ROLES = Resource(
    "rbac.authorization.k8s.io", "v1", "clusterroles", "ClusterRole", namespaced=False
)
CLUSTER_ROLE_BINDINGS = Resource(
    "rbac.authorization.k8s.io", "v1", "clusterrolebindings", "ClusterRoleBinding",
    namespaced=False,
)  # fmt: skip
NETWORK_POLICIES = Resource("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy")
DISRUPTION_BUDGETS = Resource("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget")
ADMISSION_POLICIES = Resource(
    "admissionregistration.k8s.io", "v1", "validatingadmissionpolicies",
    "ValidatingAdmissionPolicy", namespaced=False,
)  # fmt: skip
ADMISSION_BINDINGS = Resource(
    "admissionregistration.k8s.io", "v1", "validatingadmissionpolicybindings",
    "ValidatingAdmissionPolicyBinding", namespaced=False,
)  # fmt: skip
PRIORITY_CLASSES = Resource(
    "scheduling.k8s.io", "v1", "priorityclasses", "PriorityClass", namespaced=False
)
ACCESS_REVIEWS = Resource(
    "authorization.k8s.io", "v1", "selfsubjectaccessreviews", "SelfSubjectAccessReview",
    namespaced=False,
)  # fmt: skip
POD_METRICS = Resource("metrics.k8s.io", "v1beta1", "pods", "PodMetrics")

TFJOBS = Resource("kubeflow.org", "v1", "tfjobs", "TFJob")
JOBSETS = Resource("jobset.x-k8s.io", "v1alpha2", "jobsets", "JobSet")
LOCAL_QUEUES = Resource("kueue.x-k8s.io", "v1beta2", "localqueues", "LocalQueue")
WORKLOADS = Resource("kueue.x-k8s.io", "v1beta2", "workloads", "Workload")
POD_GROUPS = Resource("scheduling.volcano.sh", "v1beta1", "podgroups", "PodGroup")
PLUGIN_POD_GROUPS = Resource("scheduling.x-k8s.io", "v1alpha1", "podgroups", "PodGroup")

BY_KIND = {
    (resource.api_version, resource.kind): resource
    for resource in list(globals().values())
    if isinstance(resource, Resource)
}

_INSTALL = {
    "kubeflow.org": "the training operator is not installed (see k8s/README.md, or use "
    "--backend jobset)",
    "jobset.x-k8s.io": "JobSet is not installed (see k8s/README.md, or use --backend tfjob)",
    "kueue.x-k8s.io": "Kueue is not installed; leave --queue out, or see k8s/README.md",
    "metrics.k8s.io": "the metrics server is not installed",
    "scheduling.volcano.sh": "Volcano is not installed",
}


def of(manifest: dict[str, object]) -> Resource:
    """Find the kind of a manifest.

    Raises:
        KeyError: The launcher does not know the kind.
    """
    return BY_KIND[str(manifest["apiVersion"]), str(manifest["kind"])]


def how_to_install(group: str) -> str:
    """Say what is missing if a cluster does not serve a group."""
    return _INSTALL.get(group, f"the cluster does not serve {group or 'the core API'}")
