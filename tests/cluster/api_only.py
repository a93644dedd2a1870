"""Only an API: for machines without root or without Linux, where no node can be.

etcd, kube-apiserver and kube-controller-manager are plain processes of this user, and the kinds of
jobs are known. Nothing runs a job: what is tested is what the launcher sends and is told.
"""

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.cluster import control_plane, controllers, credentials
from tests.cluster.api import Cluster
from tests.cluster.build import ETCD, JOBSET, KUBERNETES, KUEUE, TRAINING_OPERATOR
from tests.cluster.control_plane import Command
from tests.cluster.controllers import Controller, Object
from tests.cluster.waiting import await_condition
from tests.multiprocess import free_ports

COMPONENTS = (ETCD, KUBERNETES, TRAINING_OPERATOR, JOBSET, KUEUE)
"""What has to be built; of the last three only the manifests are used."""

_ADDRESS = "127.0.0.1"
_LIFELINE = Path(__file__).with_name("lifeline.py")


@contextlib.contextmanager
def run(folder: Path) -> Iterator[Cluster]:
    """Run an API server that knows TFJobs, JobSets and Kueue's kinds.

    Args:
        folder: Receives what the processes write.
    """
    ports = control_plane.Ports(*free_ports(5))
    server = f"https://{_ADDRESS}:{ports.apiserver}"
    addresses = [_ADDRESS, control_plane.KUBERNETES_SERVICE]
    made = credentials.write(folder / "credentials", server=server, addresses=addresses)
    cluster = Cluster(made.kubeconfig("admin"))
    with contextlib.ExitStack() as running:

        def start(name: str, command: Command) -> Path:
            log = folder / f"{name}.log"
            running.enter_context(_process(command, log))
            return log

        start("etcd", control_plane.etcd(folder, ports))
        log = start("apiserver", control_plane.apiserver(_ADDRESS, made, ports))
        await_condition(
            "the API server is ready",
            lambda: cluster.kubectl("get", "--raw=/readyz", check=False) == "ok",
            timeout_s=120,
            seen=lambda: log.read_text(errors="replace")[-3000:],
        )
        start("controller-manager", control_plane.controller_manager(made, ports))
        for controller in controllers.ALL:
            controllers.apply_kinds(cluster, _without_conversion(cluster, controller))
        yield cluster


def _without_conversion(cluster: Cluster, controller: Controller) -> list[Object]:
    """Leave out the webhooks that convert from older versions: nothing serves them here."""
    found = controllers.manifests(cluster, controller)
    for item in found:
        if item["kind"] == "CustomResourceDefinition":
            item["spec"].pop("conversion", None)
    return found


@contextlib.contextmanager
def _process(command: Command, log: Path) -> Iterator[None]:
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-S", str(_LIFELINE), *map(str, command)],
            stdin=subprocess.PIPE,
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    try:
        yield
    finally:
        assert process.stdin is not None
        process.stdin.close()
        process.wait()
