"""A docker daemon of the tests' own, that leaves nothing behind on the machine.

It has its own data, socket, and PID and mount namespaces, makes no bridge and no firewall rule,
and ends with whoever started it, however that ends. Its data (layers) stay in the cache.
"""

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tests.cluster import paths
from tests.cluster.waiting import await_condition

NEEDED = {"docker": "docker.io", "dockerd": "docker.io", "unshare": "util-linux"}
"""Programs, and the Debian packages that have them."""

# Runs as process 1 of its namespaces. Standard input ends when whoever started it has ended.
_PROCESS_1 = """
exec 3<&0
# Without this a daemon would share the containerd of the machine, if one runs.
if [ -d /run/containerd ]; then mount -t tmpfs tmpfs /run/containerd; fi
"$@" &
{ cat <&3 >/dev/null; kill -TERM $!; } &
wait $!
"""


class DockerError(Exception):
    """docker or its daemon does not do as it is told."""


@dataclass(frozen=True)
class Docker:
    """The command `docker`, with a daemon to talk to."""

    host: str

    @property
    def environment(self) -> dict[str, str]:
        """What leads docker, and what starts it, to this daemon."""
        ours = {
            "DOCKER_HOST": self.host,
            # What Debian packages is the classic builder alone.
            "DOCKER_BUILDKIT": "0",
        }
        return {k: v for k, v in os.environ.items() if not k.startswith("DOCKER_")} | ours

    def run(self, *arguments: str, stdin: IO[bytes] | None = None, check: bool = True) -> str:
        """Run a command and give what it prints on standard output.

        Raises:
            DockerError: It failed; the message has what it said.
        """
        ended = subprocess.run(
            ["docker", *arguments],
            env=self.environment,
            stdin=stdin or subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if check and ended.returncode:
            raise DockerError(f"docker {' '.join(arguments)}: {ended.stderr.strip()}")
        return ended.stdout

    def has(self, image: str, label: str = "") -> bool:
        """Whether there is an image of this name, with this label."""
        wanted = ["--filter", f"label={label}"] if label else []
        return bool(self.run("images", "--quiet", *wanted, image).strip())


def why_no_docker() -> str:
    """Say why no daemon can run here, or nothing if one can."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "building the images needs Linux and root"
    missing = {package for name, package in NEEDED.items() if shutil.which(name) is None}
    if missing:
        return f"building the images needs: apt-get install -y {' '.join(sorted(missing))}"
    return ""


@contextlib.contextmanager
def docker_daemon() -> Iterator[Docker]:
    """Run a daemon; only one at a time, since they share their data.

    Raises:
        DockerError: It cannot be started; the message ends with what it logged.
    """
    why_not = why_no_docker()
    if why_not:
        raise DockerError(why_not)
    data = paths.cache_dir() / "docker"
    data.mkdir(parents=True, exist_ok=True)
    with (data.parent / "docker.lock").open("w") as lock, tempfile.TemporaryDirectory() as folder:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield from _run(data, Path(folder))


def _run(data: Path, folder: Path) -> Iterator[Docker]:
    docker = Docker(f"unix://{folder}/docker.sock")
    log_file = folder / "log"
    with log_file.open("wb") as log:
        daemon = subprocess.Popen(
            [
                *("unshare", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child"),
                *("sh", "-c", _PROCESS_1, "sh", "dockerd", f"--host={docker.host}"),
                *(f"--data-root={data}", f"--exec-root={folder}/exec", f"--pidfile={folder}/pid"),
                *("--bridge=none", "--iptables=false", "--ip6tables=false"),
                *("--storage-driver=overlay2", "--log-level=warn"),
            ],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    assert daemon.stdin is not None
    try:
        _await_answer(daemon, docker, log_file)
        yield docker
    finally:
        daemon.stdin.close()
        try:
            daemon.wait(timeout=60)
        except subprocess.TimeoutExpired:
            os.killpg(daemon.pid, signal.SIGKILL)
            daemon.wait()


def _await_answer(daemon: "subprocess.Popen[bytes]", docker: Docker, log_file: Path) -> None:
    def answers_or_ended() -> bool:
        if daemon.poll() is not None:
            return True
        with contextlib.suppress(DockerError):
            docker.run("ps")
            return True
        return False

    await_condition("dockerd answers", answers_or_ended, timeout_s=60, seen=lambda: _tail(log_file))
    if daemon.poll() is not None:
        raise DockerError(f"dockerd ended with code {daemon.returncode}:\n{_tail(log_file)}")


def _tail(path: Path) -> str:
    return "\n".join(path.read_text(errors="replace").splitlines()[-20:])
