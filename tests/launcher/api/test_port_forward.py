"""Port forwarding over real sockets: bytes both ways, many connections, faults."""

import socket
import threading

import pytest

from launcher.api import port_forward
from launcher.errors import NotFoundError, UsageError


def echo_server() -> socket.socket:
    """A pod's port, in place of one behind an API server: it sends back what it gets."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection:
                while data := connection.recv(4096):
                    connection.sendall(data)

    threading.Thread(target=serve, daemon=True).start()
    return server


def exchange(port: int, data: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: client.recv(4096), b""))


def test_bytes_travel_both_ways_and_faults_end_one_connection() -> None:
    """A connection that cannot be opened is told, and the next one works."""
    told: list[str] = []
    with echo_server() as pod, port_forward.listen(0) as server:
        here = pod.getsockname()
        failures = iter([NotFoundError("pods 'x' not found")])

        def connect() -> socket.socket:
            failure = next(failures, None)
            if failure is not None:
                raise failure
            return socket.create_connection(here, timeout=10)

        threading.Thread(
            target=port_forward.serve, args=(server, connect, told.append), daemon=True
        ).start()
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port), timeout=10) as refused:
            assert refused.recv(1) == b""
        assert told == ["pods 'x' not found"]
        data = bytes(range(256)) * 1000
        assert exchange(port, data) == data
        assert exchange(port, b"again") == b"again"


def test_a_port_that_is_taken_is_a_usage_error() -> None:
    """The message names the port and the flag."""
    with port_forward.listen(0) as server:
        port = server.getsockname()[1]
        with pytest.raises(UsageError, match=rf"port {port} .*--port"):
            port_forward.listen(port)
