"""A port of this machine that leads to a port of a pod, as `kubectl port-forward` makes it.

Each connection is a stream of its own through the API server, copied both ways by two threads.
"""

import contextlib
import socket
import threading
from collections.abc import Callable

from launcher.errors import LauncherError, UsageError

_BUFFER_BYTES = 1 << 16

Connect = Callable[[], socket.socket]


def listen(port: int) -> socket.socket:
    """Open a port of this machine, for connections from this machine only.

    Raises:
        UsageError: The port is taken.
    """
    try:
        return socket.create_server(("127.0.0.1", port))
    except (OSError, OverflowError) as error:
        raise UsageError(
            f"port {port} cannot be opened here: {error}; choose another --port"
        ) from error


def serve(server: socket.socket, connect: Connect, warn: Callable[[str], None]) -> None:
    """Forward each connection to what `connect` opens, until the server is closed.

    A connection that cannot be opened is told to `warn`, and the next one is tried anew.
    """
    while True:
        try:
            local, _ = server.accept()
        except OSError:
            return
        threading.Thread(target=_forward, args=(local, connect, warn), daemon=True).start()


def _forward(local: socket.socket, connect: Connect, warn: Callable[[str], None]) -> None:
    try:
        remote = connect()
    except LauncherError as error:
        # Told first: who sees the connection end can read why.
        warn(str(error))
        local.close()
        return
    back = threading.Thread(target=_copy, args=(remote, local), daemon=True)
    back.start()
    _copy(local, remote)
    back.join()
    local.close()
    remote.close()


def _copy(source: socket.socket, target: socket.socket) -> None:
    """Copy until either end closes; tell the target that nothing more comes."""
    with contextlib.suppress(OSError):
        while data := source.recv(_BUFFER_BYTES):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)
