"""Finding the other workers before TensorFlow looks for them, which it would do for ever.

Each worker listens on its own port and knocks at all others. Once all have answered, the ports
are given over to TensorFlow's servers.
"""

import contextlib
import os
import re
import socket
import time
from collections.abc import Iterator, MutableMapping, Sequence

from job.contract.environment import WORKER_PORT
from job.contract.errors import ClusterNotFormedError, ConfigError

_KNOCK_TIMEOUT_S = 2.0
_PAUSE_S = 0.2
_ADDRESS = re.compile(
    r"(?:\[(?P<v6>[0-9A-Fa-f:.]+(?:%[\w.-]+)?)\]|(?P<name>[\w.-]+)):(?P<port>[0-9]{1,5})", re.ASCII
)
_PROXY_EXCEPTIONS = ("no_proxy", "NO_PROXY", "no_grpc_proxy")
"""gRPC obeys https_proxy, and knows the lower-case names; other libraries read NO_PROXY."""


def wait_for_peers(addresses: Sequence[str], worker: int, timeout_s: float) -> None:
    """Wait until the name of every other worker resolves and its port answers.

    Args:
        addresses: host:port of each worker, by index.
        worker: Index of this one.
        timeout_s: How long to wait, in seconds.

    Raises:
        ClusterNotFormedError: Somebody is missing after `timeout_s`; the message names who, and
            why they count as missing.
        ConfigError: This worker cannot listen on its own port.
    """
    deadline = time.monotonic() + timeout_s
    missing = dict.fromkeys(set(range(len(addresses))) - {worker}, "not yet asked")
    with _listening(addresses, worker):
        while missing:
            for peer in sorted(missing):
                reason = _knock(addresses[peer])
                if reason is None:
                    del missing[peer]
                else:
                    missing[peer] = reason
            if missing and time.monotonic() > deadline:
                raise ClusterNotFormedError(_describe(addresses, missing, timeout_s))
            if missing:
                time.sleep(_PAUSE_S)


def host_and_port(address: str) -> tuple[str, int]:
    """Split host:port; the host may be an IPv6 address in brackets.

    Raises:
        ConfigError: It is not of that form.
    """
    parts = _ADDRESS.fullmatch(address)
    if parts is None or not 0 < int(parts["port"]) < 2**16:
        unbracketed = address.count(":") > 1 and "[" not in address
        hint = f"; write an IPv6 address as [fd00::1]:{WORKER_PORT}" if unbracketed else ""
        raise ConfigError(f"a worker's address must be host:port, not {address[:200]!r}{hint}")
    return parts["v6"] or parts["name"], int(parts["port"])


def listening_socket(port: int, backlog: int = 1) -> socket.socket:
    """Listen on a port over IPv4 and IPv6, as gRPC's server does, which may take it right after.

    Raises:
        OSError: The port is taken, or may not be opened.
    """
    dual = socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if dual else socket.AF_INET
    # It sets SO_REUSEADDR, for whoever binds the port next.
    return socket.create_server(("", port), family=family, backlog=backlog, dualstack_ipv6=dual)


def exclude_from_proxy(addresses: Sequence[str], environ: MutableMapping[str, str]) -> None:
    """Add the peers' names to the variables that say where no proxy is to be used.

    gRPC sends even cluster-internal traffic to the proxy in https_proxy otherwise.
    """
    hosts = [host_and_port(address)[0] for address in addresses]
    for name in _PROXY_EXCEPTIONS:
        known = [host for host in environ.get(name, "").split(",") if host]
        if name == "no_grpc_proxy" and not known:
            continue  # Where it is set, gRPC reads it instead of no_proxy.
        environ[name] = ",".join(dict.fromkeys([*known, *hosts]))


@contextlib.contextmanager
def _listening(addresses: Sequence[str], worker: int) -> Iterator[None]:
    _, port = host_and_port(addresses[worker])
    try:
        listener = listening_socket(port, backlog=len(addresses))
    except OSError as error:
        raise ConfigError(
            f"worker {worker} cannot listen on its port {port}: "
            f"{os.strerror(error.errno or 0)}; another process may still use it"
        ) from error
    # The kernel answers the knocks; nobody needs to accept them.
    with listener:
        yield


def _knock(address: str) -> str | None:
    try:
        with socket.create_connection(host_and_port(address), timeout=_KNOCK_TIMEOUT_S):
            return None
    except socket.gaierror:
        return "its name does not resolve"
    except TimeoutError:
        return "it does not answer"
    except OSError as error:
        return (error.strerror or str(error)).lower()


def _describe(addresses: Sequence[str], missing: dict[int, str], timeout_s: float) -> str:
    who = "; ".join(f"worker {peer} ({addresses[peer]}): {why}" for peer, why in missing.items())
    return (
        f"{len(missing)} of {len(addresses)} workers did not come within {timeout_s:g} s: "
        f"{who}; look at their logs, or raise --cluster_timeout_s"
    )
