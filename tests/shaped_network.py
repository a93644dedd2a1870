"""Network namespaces joined by links of a given bandwidth: `ip` and `tc`, so Linux and root."""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

# A queue too short for a burst of TCP would throttle below the rate.
BURSTS = {1: "256kb", 10: "2mb"}


@dataclass(frozen=True)
class Network:
    """One namespace per worker, each with its own address."""

    namespaces: tuple[str, ...]
    hosts: tuple[str, ...]

    def prefix(self, worker: int) -> list[str]:
        """Give the command that runs another one in a worker's namespace."""
        return ["ip", "netns", "exec", self.namespaces[worker]]


def why_not() -> str | None:
    """Say why no network can be shaped here, or None where it can."""
    if os.geteuid() != 0:
        return "shaping a link needs root"
    missing = [name for name in ("ip", "tc") if shutil.which(name) is None]
    return f"{' and '.join(missing)} of iproute2 are not installed" if missing else None


@contextlib.contextmanager
def shaped_network(num_workers: int, gbps: int) -> Iterator[Network]:
    """Join namespaces by a switch; what each of them sends is limited to `gbps`."""
    name = f"food{os.getpid()}"
    hub = f"{name}hub"
    namespaces = tuple(f"{name}w{index}" for index in range(num_workers))
    hosts = tuple(f"10.77.0.{index + 1}" for index in range(num_workers))
    try:
        _ip("netns", "add", hub)
        _ip("-n", hub, "link", "add", "switch", "type", "bridge")
        _ip("-n", hub, "link", "set", "switch", "up")
        for index, (namespace, host) in enumerate(zip(namespaces, hosts, strict=True)):
            _ip("netns", "add", namespace)
            port = f"port{index}"
            _ip(
                *("-n", hub, "link", "add", port, "type", "veth"),
                *("peer", "name", "eth0", "netns", namespace),
            )
            _ip("-n", hub, "link", "set", port, "master", "switch", "up")
            _ip("-n", namespace, "addr", "add", f"{host}/24", "dev", "eth0")
            _ip("-n", namespace, "link", "set", "eth0", "up")
            _ip("-n", namespace, "link", "set", "lo", "up")
            _run(
                *("tc", "-n", namespace, "qdisc", "add", "dev", "eth0", "root", "tbf"),
                *("rate", f"{gbps}gbit", "burst", BURSTS[gbps], "latency", "50ms"),
            )
        yield Network(namespaces, hosts)
    finally:
        for namespace in (hub, *namespaces):
            subprocess.run(
                ["ip", "netns", "del", namespace], stderr=subprocess.DEVNULL, check=False
            )


def _ip(*arguments: str) -> None:
    _run("ip", *arguments)


def _run(*command: str) -> None:
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise OSError(f"{' '.join(command)}: {ended.stderr.strip()}")
