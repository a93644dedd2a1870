"""The node: containerd with its network of pods, kubelet and kube-proxy, and their settings."""

import json
from pathlib import Path

from tests.cluster import cgroups
from tests.cluster.build import KUBERNETES
from tests.cluster.control_plane import DNS_SERVICE, POD_NETWORK, Command
from tests.cluster.credentials import Credentials
from tests.cluster.machine import Machine

NAME = "node"
PAUSE_IMAGE = "localhost/pause:tests"
CONTAINERD_SOCKET = "/run/containerd/containerd.sock"
CNI_PROGRAMS = Path("/usr/lib/cni")


def commands(machine: Machine, made: Credentials) -> dict[str, Command]:
    """Write the settings, and give the commands by the names of their processes."""
    folder = machine.folder / "node"
    folder.mkdir()
    _write_network(folder / "cni")
    (folder / "containerd.toml").write_text(_containerd(folder))
    (folder / "resolv.conf").write_text("")
    (folder / "kubelet.json").write_text(json.dumps(_kubelet(machine, folder), indent=1))
    (folder / "proxy.json").write_text(json.dumps(_proxy(made), indent=1))
    return {
        "containerd": ["containerd", f"--config={folder / 'containerd.toml'}"],
        "kubelet": [
            KUBERNETES.program("kubelet"),
            f"--config={folder / 'kubelet.json'}",
            f"--kubeconfig={made.kubeconfig('kubelet')}",
            f"--root-dir={folder / 'kubelet'}",
            f"--hostname-override={NAME}",
            f"--node-ip={machine.address}",
        ],
        "proxy": [KUBERNETES.program("kube-proxy"), f"--config={folder / 'proxy.json'}"],
    }


def _containerd(folder: Path) -> str:
    return f"""\
version = 2
root = "{folder}/containerd"
state = "/run/containerd"
# Nothing here is pulled or stored for others.
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs",
                    "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.devmapper"]
[grpc]
address = "{CONTAINERD_SOCKET}"
[plugins."io.containerd.internal.v1.opt"]
path = "{folder}/opt"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{PAUSE_IMAGE}"
# Root in a container or a small virtual machine may not lower a process's oom_score_adj.
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "overlayfs"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
SystemdCgroup = false
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{CNI_PROGRAMS}"
conf_dir = "{folder}/cni"
"""


def _write_network(folder: Path) -> None:
    """One bridge for all pods; an address of the machine on it is their way out."""
    folder.mkdir()
    bridge = {
        "type": "bridge",
        "bridge": "pods0",
        "isGateway": True,
        "ipMasq": True,
        "hairpinMode": True,
        "ipam": {
            "type": "host-local",
            "ranges": [[{"subnet": POD_NETWORK}]],
            "routes": [{"dst": "0.0.0.0/0"}],
            "dataDir": "/run/cni",
        },
    }
    plugins = [bridge, {"type": "portmap", "capabilities": {"portMappings": True}}]
    network = {"cniVersion": "0.4.0", "name": "pods", "plugins": plugins}
    (folder / "pods.conflist").write_text(json.dumps(network, indent=1))


def _kubelet(machine: Machine, folder: Path) -> dict[str, object]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": "0.0.0.0",
        # Only the host and the cluster's own pods can reach this network.
        "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
        "authorization": {"mode": "AlwaysAllow"},
        "containerRuntimeEndpoint": f"unix://{CONTAINERD_SOCKET}",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{cgroups.name_of(machine.folder)}",
        "failCgroupV1": False,
        "enforceNodeAllocatable": [],
        "failSwapOn": False,
        "clusterDNS": [DNS_SERVICE],
        "clusterDomain": "cluster.local",
        "resolvConf": str(folder / "resolv.conf"),
        "volumePluginDir": str(folder / "volume-plugins"),
        # How full the host's disk is, is not what is tested.
        "evictionHard": {
            "memory.available": "0%",
            "nodefs.available": "0%",
            "nodefs.inodesFree": "0%",
            "imagefs.available": "0%",
        },
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "serializeImagePulls": False,
        # Controllers make their certificates themselves; mounted, they are seen at the next sync.
        "syncFrequency": "5s",
        # A restarted container comes back at once rather than in 10 s, 20 s, 40 s.
        "crashLoopBackOff": {"maxContainerRestartPeriod": "2s"},
        "featureGates": {"KubeletCrashLoopBackOffMax": True},
    }


def _proxy(made: Credentials) -> dict[str, object]:
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "iptables",
        "clientConnection": {"kubeconfig": str(made.kubeconfig("proxy"))},
        "clusterCIDR": POD_NETWORK,
        "hostnameOverride": NAME,
        # Limits of the whole kernel stay as they are.
        "conntrack": {
            "maxPerCore": 0,
            "min": 0,
            "tcpEstablishedTimeout": "0s",
            "tcpCloseWaitTimeout": "0s",
        },
    }
