"""A private machine on this one: processes, mounts and a network that the host does not share.

Everything the cluster consists of runs in one PID, one mount and one network namespace. When
their process 1 ends, all of it is gone, however it ended: no process, no mount, no firewall rule
and no bridge is left. One cable (a veth pair) leads out, with an address at each end.
"""

import contextlib
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.cluster import cgroups, paths
from tests.cluster.control_plane import SERVICE_NETWORK
from tests.cluster.waiting import await_condition

_PID1 = Path(__file__).with_name("pid1.py")
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_CABLES = 200
# Python warns of a process that is forgotten while it runs; these may outlive who started them.
_STARTED: list["subprocess.Popen[bytes]"] = []


# $0 is the file for the number of the process group; the rest is the command.
_START_AND_RESTART = """
echo $$ > "$0"
while :; do "$@"; echo "ended with code $?; it is started again"; sleep 1; done
"""


class MachineError(Exception):
    """The machine, or a process in it, does not do as it is told."""


@dataclass(frozen=True)
class Machine:
    """A running machine; whoever knows its folder can use it."""

    folder: Path
    pid: int
    """Of its process 1, as the host counts."""
    address: str
    """Where the host finds it."""

    @property
    def host_address(self) -> str:
        """Where it finds the host."""
        return self.address.rpartition(".")[0] + ".1"

    def start(
        self, name: str, command: Sequence[str | Path], env: Mapping[str, str] | None = None
    ) -> None:
        """Start a process under a name; all it prints goes to its log.

        If it ends by itself it is started again, as systemd and the kubelet do on a real machine:
        kube-scheduler, for one, ends when it finds its cache wrong after an outage.
        """
        pid_file, log_file = self._pid_file(name), self.log_file(name)
        with log_file.open("ab") as log:
            subprocess.run(
                [
                    # Nobody here waits for its end: the machine's own process 1 does.
                    *("setsid", "--fork", *self._enter()),
                    *("setsid", "sh", "-c", _START_AND_RESTART, str(pid_file)),
                    *map(str, command),
                ],
                env={"PATH": _PATH, "HOME": "/root"} | dict(env or {}),
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                check=True,
            )
        await_condition(f"{name} has a process id", lambda: _number(pid_file), timeout_s=20)

    def stop(self, name: str, number: signal.Signals = signal.SIGTERM) -> None:
        """End a process and wait until it is gone."""
        pid = _number(self._pid_file(name))
        if pid and self.runs(name):
            self.run("kill", f"-{number.value}", "--", f"-{pid}", check=False)
        await_condition(f"{name} is gone", lambda: not self.runs(name), timeout_s=60)
        self._pid_file(name).unlink(missing_ok=True)

    def runs(self, name: str) -> bool:
        """Whether the process of this name is there."""
        pid = _number(self._pid_file(name))
        return bool(pid) and Path(f"/proc/{self.pid}/root/proc/{pid}").is_dir()

    def run(self, *command: str | Path, check: bool = True, stdin: str = "") -> str:
        """Run a command in the machine and give what it prints.

        Raises:
            MachineError: It failed; the message has what it said.
        """
        ended = subprocess.run(
            [*self._enter(), *map(str, command)],
            env={"PATH": _PATH, "HOME": "/root"},
            cwd="/",
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
        )
        if check and ended.returncode:
            raise MachineError(f"{' '.join(map(str, command))}: {ended.stderr.strip()}")
        return ended.stdout

    def log_file(self, name: str) -> Path:
        """Where a process of this name writes."""
        return self.folder / "logs" / f"{name}.log"

    def log_tail(self, name: str, lines: int = 20) -> str:
        """Give the end of what it has printed."""
        path = self.log_file(name)
        text = path.read_text(errors="replace") if path.exists() else ""
        return "\n".join(text.splitlines()[-lines:])

    def _pid_file(self, name: str) -> Path:
        return self.folder / "pids" / name

    def _enter(self) -> list[str]:
        return ["nsenter", f"--target={self.pid}", "--mount", "--net", "--pid", "--"]


def create(folder: Path, *, keep: bool) -> Machine:
    """Make a machine.

    Args:
        folder: Does not exist yet; holds all that the machine writes.
        keep: Whether it goes on when this process ends; otherwise it ends with it, even when this
            process is killed.

    Raises:
        MachineError: It cannot be made here.
    """
    sweep()
    for name in ("logs", "pids"):
        (folder / name).mkdir(parents=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        pid = _start_pid1(folder, lock.fileno(), keep)
    try:
        address = _lay_cable(pid)
        cgroups.create(cgroups.name_of(folder))
    except BaseException:
        os.kill(pid, signal.SIGKILL)
        raise
    machine = Machine(folder, pid, address)
    (folder / "machine.json").write_text(json.dumps({"pid": pid, "address": address}))
    return machine


def attach(folder: Path) -> Machine | None:
    """Give the machine of a folder, or None if none runs there."""
    with contextlib.suppress(FileNotFoundError):
        if not _is_dead(folder):
            return Machine(folder, **json.loads((folder / "machine.json").read_text()))
    return None


def destroy(folder: Path) -> None:
    """End a machine with all that runs in it, and remove its folder."""
    machine = attach(folder)
    if machine:
        with contextlib.suppress(ProcessLookupError):
            os.kill(machine.pid, signal.SIGKILL)
    if folder.is_dir():
        await_condition(f"the machine in {folder} is gone", lambda: _is_dead(folder), timeout_s=60)
        _remove(folder)


def sweep() -> None:
    """Remove what machines have left whose starter was killed."""
    root = paths.state_root()
    root.mkdir(parents=True, exist_ok=True)
    for folder in root.iterdir():
        with contextlib.suppress(FileNotFoundError):
            if _is_dead(folder):
                _remove(folder)


def _start_pid1(folder: Path, lock: int, keep: bool) -> int:
    """Start process 1; it holds the lock, and the other end of its stdin holds it."""
    lifeline, held = os.pipe()
    with (folder / "logs" / "pid1.log").open("wb") as log:
        unshare = subprocess.Popen(
            [
                *("unshare", "--mount", "--net", "--pid", "--fork", "--mount-proc"),
                *("--kill-child", sys.executable, "-S", str(_PID1), str(folder)),
            ],
            env={"PATH": _PATH},
            cwd="/",
            # A kept machine holds its own lifeline.
            pass_fds=[lock, held] if keep else [lock],
            stdin=lifeline,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,
        )
    _STARTED.append(unshare)
    os.close(lifeline)
    if keep:
        os.close(held)
    # Otherwise `held` stays open for as long as this process lives, and closes however it ends.
    assert unshare.stdout is not None
    with unshare.stdout as said:
        if said.readline() != b"ready\n":
            unshare.kill()
            raise MachineError(
                "no machine of its own can be made here: "
                + (folder / "logs" / "pid1.log").read_text().strip()
            )
    return int(Path(f"/proc/{unshare.pid}/task/{unshare.pid}/children").read_text())


def _lay_cable(pid: int) -> str:
    """Join the machine and the host by a veth pair; give the machine's address."""
    for number in range(_CABLES):
        cable = ("link", "add", f"food101-{number}", "type", "veth", "peer", "name", "eth0")
        if _ip(*cable, "netns", str(pid)):
            break
    else:
        raise MachineError(f"`ip link add` fails, or there are {_CABLES} clusters already")
    network = f"10.213.{number}"
    inside = ("nsenter", f"--target={pid}", "--net", "--", "ip")
    _must("ip", "addr", "add", f"{network}.1/30", "dev", f"food101-{number}")
    _must("ip", "link", "set", f"food101-{number}", "up")
    _must(*inside, "addr", "add", f"{network}.2/30", "dev", "eth0")
    _must(*inside, "link", "set", "eth0", "up")
    _must(*inside, "link", "set", "lo", "up")
    # Service addresses must have a route before kube-proxy's rules turn them into a pod's. It is
    # the only one: whatever is not in the cluster is unreachable, and is known to be at once.
    _must(*inside, "route", "add", SERVICE_NETWORK, "dev", "eth0")
    return f"{network}.2"


def _is_dead(folder: Path) -> bool:
    with (folder / "lock").open("r") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def _remove(folder: Path) -> None:
    cgroups.remove(cgroups.name_of(folder))
    shutil.rmtree(folder, ignore_errors=True)


def _ip(*arguments: str) -> bool:
    return subprocess.run(["ip", *arguments], capture_output=True, check=False).returncode == 0


def _must(*command: str) -> None:
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise MachineError(f"{' '.join(command)}: {ended.stderr.strip()}")


def _number(path: Path) -> int:
    with contextlib.suppress(FileNotFoundError, ValueError):
        return int(path.read_text())
    return 0
