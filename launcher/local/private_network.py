"""A network of one job's own: its workers reach each other, and nobody reaches them.

TensorFlow's server listens on every interface of the machine, asks nobody for a password, and reads
and writes files for whoever connects. There is no setting for it. So workers that need no other
network get a network namespace with a loopback interface and nothing else. On Linux that takes no
privilege, unless the distribution forbids namespaces to users.
"""

import contextlib
import subprocess
import sys
from collections.abc import Iterator, Sequence

_ANSWER_WITHIN_S = 10.0

# As root a network namespace is enough; anybody else makes it in a user namespace, in which the
# user is the same. Lives until its standard input ends, which it does with whoever started it.
_HOLD = """
import ctypes, fcntl, os, socket, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
NEWNET, NEWUSER = 0x40000000, 0x10000000
uid, gid = os.geteuid(), os.getegid()
if libc.unshare(NEWNET):
    if libc.unshare(NEWUSER | NEWNET):
        sys.exit(os.strerror(ctypes.get_errno()))
    for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"),
                       ("gid_map", f"{gid} {gid} 1")):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)
with socket.socket() as one:
    up = struct.pack("16sh14x", b"lo", 1)  # IFF_UP
    fcntl.ioctl(one, 0x8914, up)  # SIOCSIFFLAGS
print("ready", flush=True)
sys.stdin.read()
"""

_JOIN = """
import ctypes, os, sys
holder, *command = sys.argv[1:]
libc = ctypes.CDLL(None, use_errno=True)
for kind in ("user", "net"):
    path = f"/proc/{holder}/ns/{kind}"
    if os.readlink(path) == os.readlink(f"/proc/self/ns/{kind}"):
        continue
    if libc.setns(os.open(path, os.O_RDONLY), 0):
        sys.exit(f"error: the job's own network: {os.strerror(ctypes.get_errno())}")
os.execvp(command[0], command)
"""


class PrivateNetwork:
    """A network that exists; `closed_network` makes it.

    Args:
        holder: Process id of who keeps it.
    """

    def __init__(self, holder: int) -> None:
        self._holder = holder

    def joined(self, command: Sequence[str]) -> list[str]:
        """Give the command that runs `command` in this network."""
        joins = [sys.executable, "-I", "-S", "-c", _JOIN, str(self._holder)]
        return [*joins, *command]


@contextlib.contextmanager
def closed_network() -> Iterator[PrivateNetwork | str]:
    """Make a network, for as long as the block runs; or give the reason why there can be none."""
    if not sys.platform.startswith("linux"):
        yield "only Linux can give them a network of their own"
        return
    with subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", _HOLD],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # The terminal's Ctrl-C is for the launcher.
    ) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        try:
            if holder.stdout.readline() == "ready\n":
                yield PrivateNetwork(holder.pid)
            else:
                yield f"this machine gives them no network of their own{_reason(holder)}"
        finally:
            holder.stdin.close()
            holder.wait(_ANSWER_WITHIN_S)


def _reason(holder: "subprocess.Popen[str]") -> str:
    assert holder.stderr is not None
    lines = holder.stderr.read().strip().splitlines()
    return f" ({lines[-1]})" if lines else ""
