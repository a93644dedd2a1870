"""Workers of a local job reach each other, and nobody else reaches them."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from launcher.local.private_network import PrivateNetwork, closed_network

SERVE = """
import socket, sys
with socket.create_server(("0.0.0.0", 0)) as server:
    print(server.getsockname()[1], flush=True)
    while True:
        connection, _ = server.accept()
        connection.sendall(b"secret")
        connection.close()
"""
CONNECT = """
import socket, sys
print(socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=30).recv(6).decode())
"""


@pytest.fixture
def network() -> Iterator[PrivateNetwork]:
    with closed_network() as made:
        if isinstance(made, str):
            pytest.skip(f"not run: {made}")
        yield made


def test_who_is_in_it_is_reached_from_there_alone(network: PrivateNetwork) -> None:
    """Although it listens on every interface, as TensorFlow does."""
    server = subprocess.Popen(
        network.joined([sys.executable, "-c", SERVE]), stdout=subprocess.PIPE, text=True
    )
    try:
        assert server.stdout is not None
        port = server.stdout.readline().strip()
        inside = network.joined([sys.executable, "-c", CONNECT, port])
        assert (
            subprocess.run(inside, capture_output=True, text=True, check=True).stdout == "secret\n"
        )
        with (
            pytest.raises(ConnectionRefusedError),
            socket.create_connection(("127.0.0.1", int(port)), timeout=30),
        ):
            pass
    finally:
        server.kill()
        server.communicate()


def test_it_changes_nothing_else(network: PrivateNetwork, tmp_path: object) -> None:
    """The user is the same, files can be written, and exit codes come through."""
    code = "import os, sys; open(sys.argv[1], 'w').write(str(os.getuid())); sys.exit(7)"
    path = f"{tmp_path}/file"
    command = network.joined([sys.executable, "-c", code, path])
    assert subprocess.run(command, check=False).returncode == 7
    with open(path, encoding="ascii") as file:
        assert file.read() == str(os.getuid())


def test_a_holder_that_is_gone_is_told(network: PrivateNetwork) -> None:
    nobody = PrivateNetwork(2**22 - 1)
    ended = subprocess.run(nobody.joined(["true"]), capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "No such file" in ended.stderr
