"""A real Kubernetes on one machine: started, used, and gone without a trace.

`up` starts the control plane and one node; `controllers.install` adds what runs training jobs.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.cluster import control_plane, credentials, machine, node
from tests.cluster.build import KUBERNETES
from tests.cluster.machine import Machine, MachineError
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
class Cluster:
    """A running cluster: its API, its node, and where to interfere."""

    machine: Machine

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig; good from the host and in the machine."""
        return self.machine.folder / "credentials" / "admin.kubeconfig"

    @property
    def server(self) -> str:
        """URL of the API server."""
        return _server(self.machine)

    @property
    def authority(self) -> Path:
        """The certificate that the API server's is signed with."""
        return self.machine.folder / "credentials" / "ca.crt"

    def kubectl(self, *arguments: str | Path, stdin: str = "", check: bool = True) -> str:
        """Run kubectl as administrator and give what it prints.

        Raises:
            MachineError: It failed; the message has what it said.
        """
        ended = subprocess.run(
            [KUBERNETES.program("kubectl"), f"--kubeconfig={self.kubeconfig}", *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
        )
        if check and ended.returncode:
            raise MachineError(f"kubectl {' '.join(map(str, arguments))}: {ended.stderr.strip()}")
        return ended.stdout

    def get(self, *arguments: str) -> dict[str, Any]:
        """Give what `kubectl get` finds, as data."""
        found: dict[str, Any] = json.loads(self.kubectl("get", *arguments, "-o", "json"))
        return found

    def condition(self, *what: str, kind: str) -> str:
        """Give the status of a condition of an object; nothing if either is not there."""
        text = self.kubectl("get", *what, "-o", "json", check=False)
        found = json.loads(text)["status"].get("conditions", []) if text else []
        return next((each["status"] for each in found if each["type"] == kind), "")

    def apply(self, *objects: Mapping[str, Any]) -> None:
        """Create or change objects."""
        items = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
        text = json.dumps(items)
        self.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=text)

    def import_image(self, archive: Path) -> None:
        """Put the images of an archive of `docker save` onto the node."""
        ctr = ("ctr", f"--address={node.CONTAINERD_SOCKET}", "--namespace=k8s.io")
        self.machine.run(*ctr, "images", "import", archive)

    def start_apiserver(self) -> None:
        """Start the API server, as at first or after `stop_apiserver`."""
        made = credentials.Credentials(self.machine.folder / "credentials")
        commands = control_plane.commands(
            self.machine.folder, self.machine.address, made, control_plane.Ports()
        )
        self.machine.start("apiserver", commands["apiserver"]())
        await_condition(
            "the API server is ready",
            lambda: self.kubectl("get", "--raw=/readyz", check=False) == "ok",
            timeout_s=120,
            seen=lambda: self.machine.log_tail("apiserver"),
        )

    def stop_apiserver(self) -> None:
        """Take the API server away, at once."""
        self.machine.stop("apiserver", signal.SIGKILL)


def up(folder: Path, *, keep: bool) -> Cluster:
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


def attach(folder: Path) -> Cluster | None:
    """Give the cluster that runs in a folder, if one does."""
    found = machine.attach(folder)
    return Cluster(found) if found else None


def down(folder: Path) -> None:
    """End a cluster and remove all that it has written."""
    machine.destroy(folder)


def _start(on: Machine) -> Cluster:
    addresses = ["127.0.0.1", on.address, control_plane.KUBERNETES_SERVICE]
    made = credentials.write(on.folder / "credentials", server=_server(on), addresses=addresses)
    cluster = Cluster(on)
    commands = control_plane.commands(on.folder, on.address, made, control_plane.Ports())
    node_commands = node.commands(on, made)
    on.start("etcd", commands["etcd"]())
    on.start("containerd", node_commands["containerd"])
    cluster.start_apiserver()
    for name in ("controller-manager", "scheduler"):
        on.start(name, commands[name]())
    await_condition(
        "containerd answers",
        lambda: on.run("ctr", f"--address={node.CONTAINERD_SOCKET}", "version", check=False),
        timeout_s=60,
        seen=lambda: on.log_tail("containerd"),
    )
    for name in ("kubelet", "proxy"):
        on.start(name, node_commands[name])
    await_condition(
        "the node is ready",
        lambda: cluster.condition("node", node.NAME, kind="Ready") == "True",
        timeout_s=120,
        seen=lambda: on.log_tail("kubelet"),
    )
    return cluster


def _server(on: Machine) -> str:
    return f"https://{on.address}:{control_plane.Ports().apiserver}"
