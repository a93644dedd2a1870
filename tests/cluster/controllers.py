"""What runs training jobs: DNS, the training operator, JobSet and Kueue, as clusters have them.

Each comes from the manifests in its own module. Only what a small node without a registry needs
is changed: the image is the program built here, and no CPU or memory is reserved for it.
"""

import functools
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.cluster import image_archive, node, paths
from tests.cluster.api import Cluster
from tests.cluster.build import COREDNS, JOBSET, KUEUE, PAUSE, TRAINING_OPERATOR, Component
from tests.cluster.own_cluster import OwnCluster
from tests.cluster.waiting import await_condition

Object = dict[str, Any]

_TFJOB_OFF = '# - "kubeflow.org/tfjob"'
_TFJOB_ON = '- "kubeflow.org/tfjob"'


@dataclass(frozen=True)
class Controller:
    """One of them: where its manifests are and what they make."""

    component: Component
    manifests: str
    """Folder in the module, for kustomize."""
    namespace: str
    deployment: str

    @property
    def image(self) -> str:
        """The name that its image has on the node."""
        return f"localhost/{self.component.name}:{self.component.version}"


OPERATOR = Controller(
    TRAINING_OPERATOR, "manifests/overlays/standalone", "kubeflow", "training-operator"
)
JOBSETS = Controller(JOBSET, "config/default", "jobset-system", "jobset-controller-manager")
QUEUES = Controller(KUEUE, "config/default", "kueue-system", "kueue-controller-manager")

ALL = (OPERATOR, JOBSETS, QUEUES)


def install(cluster: OwnCluster) -> None:
    """Put all of them into the cluster and wait until they answer."""
    _import_program(cluster, node.PAUSE_IMAGE, PAUSE)
    _import_program(cluster, "localhost/coredns:tests", COREDNS)
    cluster.kubectl("apply", "-f", paths.COMPONENTS.parent / "manifests" / "coredns.yaml")
    # Kueue comes last: it looks for the kinds of jobs when it starts, and it is asked about every
    # pod from then on, those of the others included.
    for controller in (OPERATOR, JOBSETS):
        _apply(cluster, controller)
    for controller in (OPERATOR, JOBSETS):
        await_available(cluster, controller.namespace, controller.deployment)
    _apply(cluster, QUEUES)
    await_ready(cluster)


def await_ready(cluster: Cluster) -> None:
    """Wait until all of them answer, at first or after an outage."""
    for controller in ALL:
        await_available(cluster, controller.namespace, controller.deployment)
    await_available(cluster, "kube-system", "coredns")
    _await_webhooks(cluster)


def await_available(cluster: Cluster, namespace: str, deployment: str) -> None:
    """Wait until a deployment has its pod running and ready."""
    where = ("deployment", deployment, "-n", namespace)
    await_condition(
        f"deployment {deployment} is available",
        lambda: cluster.condition(*where, kind="Available") == "True",
        timeout_s=180,
        seen=lambda: cluster.kubectl("describe", "pods", "-n", namespace, check=False),
    )


def manifests(cluster: Cluster, controller: Controller) -> list[Object]:
    """Give a controller's own manifests, made fit for this node."""
    folder = controller.component.module_folder() / controller.manifests
    text = cluster.kubectl("kustomize", folder)
    found = [item for item in yaml.safe_load_all(text) if item]
    for item in found:
        if item["kind"] == "Deployment":
            _use_own_image(item, controller.image)
        if item["kind"] == "ConfigMap" and controller is QUEUES:
            item["data"] = {k: v.replace(_TFJOB_OFF, _TFJOB_ON) for k, v in item["data"].items()}
        if item["kind"] == "ConfigMap":
            # There is one of each, and it must not leave because a lease was renewed late.
            data = item.get("data", {})
            item["data"] = {
                k: v.replace("leaderElect: true", "leaderElect: false") for k, v in data.items()
            }
    return found


def _use_own_image(deployment: Object, image: str) -> None:
    for container in deployment["spec"]["template"]["spec"]["containers"]:
        container["image"] = image
        container["imagePullPolicy"] = "Never"
        container.pop("resources", None)
        # How often it is asked is how late it is known to be ready.
        if "readinessProbe" in container:
            container["readinessProbe"] |= {"initialDelaySeconds": 1, "periodSeconds": 1}
        # A machine that is busy for a minute is no reason to start a controller again.
        if "livenessProbe" in container:
            container["livenessProbe"] |= {"timeoutSeconds": 30, "failureThreshold": 10}
        container["args"] = [
            arg for arg in container.get("args", []) if not arg.startswith("--leader-elect")
        ]


def apply_kinds(cluster: Cluster, found: list[Object]) -> None:
    """Make the kinds (custom resource definitions) among manifests known to the API server."""
    kinds = [item for item in found if item["kind"] == "CustomResourceDefinition"]
    cluster.apply(*kinds)
    for item in kinds:
        name = item["metadata"]["name"]
        # `kubectl wait` fails on an object that has no conditions yet.
        await_condition(
            f"{name} is established",
            functools.partial(_is_established, cluster, name),
            timeout_s=60,
        )


def _is_established(cluster: Cluster, name: str) -> bool:
    return cluster.condition("crd", name, kind="Established") == "True"


def _apply(cluster: OwnCluster, controller: Controller) -> None:
    _import_program(cluster, controller.image, controller.component)
    found = manifests(cluster, controller)
    apply_kinds(cluster, found)
    cluster.apply(*(item for item in found if item["kind"] == "Namespace"))
    cluster.apply(*(i for i in found if i["kind"] not in ("Namespace", "CustomResourceDefinition")))


def _import_program(cluster: OwnCluster, image: str, component: Component) -> None:
    with tempfile.TemporaryDirectory(dir=cluster.machine.folder) as folder:
        archive = Path(folder) / "image.tar"
        program = component.program(component.programs[0])
        image_archive.write(archive, image=image, program=program)
        cluster.import_image(archive)


def _await_webhooks(cluster: Cluster) -> None:
    """A webhook answers a moment after its deployment is available: try one object of each."""
    for name, example in _EXAMPLES.items():
        create = functools.partial(
            cluster.kubectl,
            *("create", "--dry-run=server", "-o", "name", "-f", "-"),
            stdin=yaml.safe_dump(example),
            check=False,
        )
        await_condition(
            f"the webhook of {name} answers",
            create,
            timeout_s=120,
            seen=lambda: cluster.kubectl("get", "pods", "--all-namespaces", check=False),
            every_s=0.5,
        )


def _pod(name: str) -> Mapping[str, Any]:
    return {"spec": {"containers": [{"name": name, "image": "none"}], "restartPolicy": "Never"}}


_EXAMPLES: dict[str, Object] = {
    "the training operator": {
        "apiVersion": "kubeflow.org/v1",
        "kind": "TFJob",
        "metadata": {"name": "probe", "namespace": "default"},
        "spec": {"tfReplicaSpecs": {"Worker": {"replicas": 1, "template": _pod("tensorflow")}}},
    },
    "JobSet": {
        "apiVersion": "jobset.x-k8s.io/v1alpha2",
        "kind": "JobSet",
        "metadata": {"name": "probe", "namespace": "default"},
        "spec": {
            "replicatedJobs": [{"name": "worker", "template": {"spec": {"template": _pod("main")}}}]
        },
    },
    "Kueue": {
        "apiVersion": "kueue.x-k8s.io/v1beta2",
        "kind": "ClusterQueue",
        "metadata": {"name": "probe"},
        "spec": {"namespaceSelector": {}},
    },
}
