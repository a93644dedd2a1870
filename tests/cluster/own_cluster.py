"""A real Kubernetes on one machine: started, used, and gone without a trace.

`up` starts the control plane and one node; `controllers.install` adds what runs training jobs.
"""

import os
import shutil
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.cluster import control_plane, credentials, machine, node
from tests.cluster.api import Cluster
from tests.cluster.machine import Machine
from tests.cluster.waiting import await_condition

NEEDED = {
    "containerd": "containerd",
    "runc": "runc",
    "iptables": "iptables",
    "conntrack": "conntrack",
    "ip": "iproute2",
    "mount": "mount",
    "nsenter": "util-linux",
    "unshare": "util-linux",
}
"""Programs that the node needs, and the Debian packages that have them."""


def why_no_node() -> str:
    """Say why this machine cannot run a node, or nothing if it can."""
    if sys.platform != "linux":
        return "a node needs Linux"
    if os.geteuid() != 0:
        return "a node needs root"
    missing = {package for name, package in NEEDED.items() if shutil.which(name) is None}
    if not (node.CNI_PROGRAMS / "bridge").exists():
        missing.add("containernetworking-plugins")
    if missing:
        packages = " ".join(sorted(missing))
        return f"a node needs programs that are not installed: apt-get install -y {packages}"
    return ""


@dataclass(frozen=True)
class OwnCluster(Cluster):
    """A cluster on a machine of its own: also its node, and where to interfere."""

    machine: Machine

    def import_image(self, archive: Path) -> None:
        """Put the images of an archive of `docker save` onto the node."""
        self._ctr("images", "import", str(archive))

    def has_image(self, name: str) -> bool:
        """Whether an image is on the node."""
        return bool(self._ctr("images", "list", "--quiet", f"name=={name}").strip())

    def kill_container(self, namespace: str, pod: str) -> None:
        """End a pod's first container at once, as the kernel does when memory is short."""
        status = self.get("pod", pod, "-n", namespace)["status"]["containerStatuses"][0]
        container = status["containerID"].removeprefix("containerd://")
        self._ctr("tasks", "kill", "--signal=SIGKILL", container)

    def start_apiserver(self) -> None:
        """Start the API server, as at first or after `stop_apiserver`."""
        made = _credentials(self.machine)
        self.machine.start(
            "apiserver",
            control_plane.apiserver(self.machine.address, made, control_plane.Ports()),
        )
        await_condition(
            "the API server is ready",
            lambda: self.kubectl("get", "--raw=/readyz", check=False) == "ok",
            timeout_s=120,
            seen=lambda: self.machine.log_tail("apiserver"),
        )

    def await_ready(self) -> None:
        """Wait until the node takes pods and the controllers of Kubernetes work."""
        await_condition(
            "the node is ready",
            lambda: self.condition("node", node.NAME, kind="Ready") == "True",
            timeout_s=120,
            seen=lambda: self.machine.log_tail("kubelet"),
        )
        await_condition(
            "the controllers of Kubernetes work",
            lambda: self.kubectl("get", "serviceaccount", "default", check=False),
            timeout_s=120,
            seen=lambda: self.machine.log_tail("controller-manager"),
        )

    def await_heartbeat(self) -> None:
        """Wait until the node renews its lease: after an outage it counts as lost until then."""
        where = ("lease", node.NAME, "-n", "kube-node-lease", "-o", "jsonpath={.spec.renewTime}")
        before = self.kubectl("get", *where, check=False)
        await_condition(
            "the node gives a sign of life",
            lambda: self.kubectl("get", *where, check=False) not in ("", before),
            timeout_s=120,
        )

    def stop_apiserver(self) -> None:
        """Take the API server away, at once."""
        self.machine.stop("apiserver", signal.SIGKILL)

    def _ctr(self, *arguments: str) -> str:
        return self.machine.run(
            *("ctr", f"--address={node.CONTAINERD_SOCKET}", "--namespace=k8s.io"), *arguments
        )


def up(folder: Path, *, keep: bool) -> OwnCluster:
    """Start a cluster with one node that is ready for pods.

    Args:
        folder: Where it keeps everything; does not exist yet.
        keep: Whether it goes on when this process ends.

    Raises:
        MachineError: It cannot be started here.
        TimeoutError: A part of it did not get ready; the message has what it logged.
    """
    made_machine = machine.create(folder, keep=keep)
    try:
        return _start(made_machine)
    except BaseException:
        machine.destroy(folder)
        raise


def attach(folder: Path) -> OwnCluster | None:
    """Give the cluster that runs in a folder, if one does."""
    found = machine.attach(folder)
    return _on(found) if found else None


def down(folder: Path) -> None:
    """End a cluster and remove all that it has written."""
    machine.destroy(folder)


def _start(on: Machine) -> OwnCluster:
    addresses = ["127.0.0.1", on.address, control_plane.KUBERNETES_SERVICE]
    made = credentials.write(on.folder / "credentials", server=_server(on), addresses=addresses)
    cluster = _on(on)
    ports = control_plane.Ports()
    node_commands = node.commands(on, made)
    on.start("etcd", control_plane.etcd(on.folder, ports))
    on.start("containerd", node_commands["containerd"])
    cluster.start_apiserver()
    on.start("controller-manager", control_plane.controller_manager(made, ports))
    on.start("scheduler", control_plane.scheduler(made, ports))
    await_condition(
        "containerd answers",
        lambda: on.run("ctr", f"--address={node.CONTAINERD_SOCKET}", "version", check=False),
        timeout_s=60,
        seen=lambda: on.log_tail("containerd"),
    )
    for name in ("kubelet", "proxy"):
        on.start(name, node_commands[name])
    cluster.await_ready()
    return cluster


def _on(found: Machine) -> OwnCluster:
    return OwnCluster(_credentials(found).kubeconfig("admin"), found)


def _credentials(on: Machine) -> credentials.Credentials:
    return credentials.Credentials(on.folder / "credentials")


def _server(on: Machine) -> str:
    return f"https://{on.address}:{control_plane.Ports().apiserver}"
