"""etcd, API server, controller manager and scheduler: the programs and how they are called."""

from dataclasses import dataclass
from pathlib import Path

from tests.cluster.build import ETCD, KUBERNETES
from tests.cluster.credentials import Credentials

SERVICE_NETWORK = "10.96.0.0/16"
KUBERNETES_SERVICE = "10.96.0.1"
DNS_SERVICE = "10.96.0.10"
POD_NETWORK = "10.244.0.0/16"


@dataclass(frozen=True)
class Ports:
    """Where the control plane listens."""

    etcd: int = 2379
    etcd_peers: int = 2380
    apiserver: int = 6443
    controller_manager: int = 10257
    scheduler: int = 10259


Command = list[str | Path]


def etcd(folder: Path, ports: Ports) -> Command:
    """Keep the cluster's state."""
    clients, peers = f"http://127.0.0.1:{ports.etcd}", f"http://127.0.0.1:{ports.etcd_peers}"
    return [
        ETCD.program("server"),
        f"--data-dir={folder / 'etcd'}",
        f"--listen-client-urls={clients}",
        f"--advertise-client-urls={clients}",
        f"--listen-peer-urls={peers}",
        f"--initial-advertise-peer-urls={peers}",
        f"--initial-cluster=default={peers}",
        # Nothing here outlives the machine, so nothing has to reach the disk.
        "--unsafe-no-fsync",
        "--log-level=warn",
    ]


def apiserver(address: str, made: Credentials, ports: Ports) -> Command:
    """Serve the API at an address."""
    certificate, key = made.certificate("apiserver")
    proxy_certificate, proxy_key = made.certificate("front-proxy")
    return [
        KUBERNETES.program("kube-apiserver"),
        f"--etcd-servers=http://127.0.0.1:{ports.etcd}",
        f"--secure-port={ports.apiserver}",
        f"--advertise-address={address}",
        f"--service-cluster-ip-range={SERVICE_NETWORK}",
        f"--tls-cert-file={certificate}",
        f"--tls-private-key-file={key}",
        f"--client-ca-file={made.authority}",
        f"--token-auth-file={made.tokens}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        f"--service-account-key-file={made.service_account_key}",
        f"--service-account-signing-key-file={made.service_account_key}",
        "--kubelet-preferred-address-types=InternalIP",
        # Kueue serves an API of its own (places in the queue) behind this one.
        f"--requestheader-client-ca-file={made.authority}",
        "--requestheader-allowed-names=front-proxy-client",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-username-headers=X-Remote-User",
        f"--proxy-client-cert-file={proxy_certificate}",
        f"--proxy-client-key-file={proxy_key}",
    ]


def controller_manager(made: Credentials, ports: Ports) -> Command:
    """Run the controllers of Kubernetes itself."""
    return [
        KUBERNETES.program("kube-controller-manager"),
        *_as(made, "controller-manager"),
        f"--secure-port={ports.controller_manager}",
        f"--root-ca-file={made.authority}",
        f"--service-account-private-key-file={made.service_account_key}",
        "--use-service-account-credentials=true",
        "--leader-elect=false",
        # One node with one network of pods, and no cloud.
        "--controllers=*,-node-ipam-controller,-node-route-controller,-service-lb-controller,"
        "-cloud-node-lifecycle-controller",
    ]


def scheduler(made: Credentials, ports: Ports) -> Command:
    """Give pods their node."""
    return [
        KUBERNETES.program("kube-scheduler"),
        *_as(made, "scheduler"),
        f"--secure-port={ports.scheduler}",
        "--leader-elect=false",
    ]


def _as(made: Credentials, identity: str) -> list[str]:
    path = made.kubeconfig(identity)
    return [
        f"--kubeconfig={path}",
        f"--authentication-kubeconfig={path}",
        f"--authorization-kubeconfig={path}",
    ]
