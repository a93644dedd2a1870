"""What the Dockerfile is based on, where no registry can be reached: Debian's own Python.

The same release of Debian and the same minor version of Python as the official image, with
`python` and `pip` in /usr/local/bin as there, and the certificates that this machine trusts.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.cluster import paths

SUITE = "bookworm"
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
_PACKAGES = "ca-certificates,python3,python3-venv,python3-pip-whl"
_OWN_CERTIFICATES = Path("/usr/local/share/ca-certificates")
_LEFT_OUT = (
    "./var/cache/apt/*", "./var/lib/apt/lists/*", "./var/log/*", "./usr/share/doc/*",
    "./usr/share/man/*", "./usr/share/locale/*", "./usr/share/python-wheels/*",
)  # fmt: skip

# pip comes from Debian's own wheel, with the records by which it can be removed again.
_FINISH = r"""
set -e
update-ca-certificates >/dev/null 2>&1
rm -f /usr/lib/python3*/EXTERNALLY-MANAGED
set -- /usr/share/python-wheels/pip-*.whl
python3 "$1/pip" install --quiet --root-user-action=ignore \
    --no-index --find-links=/usr/share/python-wheels pip setuptools
ln -s /usr/bin/python3 /usr/local/bin/python
python -m pip --version >/dev/null
"""


class BaseError(Exception):
    """The base cannot be made; the message is for the person who runs the tests."""


def key() -> str:
    """Hash all that determines the base, but for the versions that Debian has today."""
    digest = hashlib.sha256(Path(__file__).read_bytes())
    for path in _own_certificates():
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def archive() -> Path:
    """Give the file system of the base as a tar archive; made if it is not there.

    Raises:
        BaseError: It cannot be made here.
    """
    path = paths.cache_dir() / "images" / f"base-{key()}.tar"
    if not path.exists():
        if shutil.which("debootstrap") is None:
            raise BaseError("making the base image needs: apt-get install -y debootstrap")
        print(time.strftime("%H:%M:%S"), "making the base image ...", file=sys.stderr, flush=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        for old in path.parent.glob("base-*.tar"):
            old.unlink()
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            _make(Path(folder) / "root", path)
    return path


def _make(root: Path, path: Path) -> None:
    _must(
        *("debootstrap", "--variant=minbase", f"--include={_PACKAGES}"),
        *(SUITE, str(root), *_mirror()),
    )
    for certificate in _own_certificates():
        shutil.copy(certificate, root / _OWN_CERTIFICATES.relative_to("/"))
    _must("chroot", str(root), "/bin/sh", "-c", _FINISH)
    partial = path.with_suffix(f".{os.getpid()}")
    left_out = [f"--exclude={pattern}" for pattern in _LEFT_OUT]
    _must("tar", "--create", f"--file={partial}", f"--directory={root}", *left_out, ".")
    partial.rename(path)


def _own_certificates() -> list[Path]:
    return sorted(_OWN_CERTIFICATES.rglob("*.crt"))


def _mirror() -> list[str]:
    """Give the mirror that this machine uses; without one, debootstrap knows one."""
    if shutil.which("apt-get") is None:
        return []
    command = ["apt-get", "indextargets", "--format", "$(REPO_URI)"]
    command += ["Created-By: Packages", f"Codename: {SUITE}", "Component: main"]
    text = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    return text.split()[:1]


def _must(*command: str) -> None:
    # pip's settings of this machine name files and folders that are not in the new root.
    clean = {k: v for k, v in os.environ.items() if not k.startswith("PIP_")}
    ended = subprocess.run(
        command,
        env=clean | {"LC_ALL": "C.UTF-8"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if ended.returncode:
        last = "\n".join(ended.stdout.strip().splitlines()[-20:])
        raise BaseError(f"{command[0]} failed:\n{last}")
