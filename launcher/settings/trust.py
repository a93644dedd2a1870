"""Whether a launcher.yaml that was found, not named, may decide where a command goes.

A cloned repository brings a launcher.yaml. A kubeconfig that it names can run a program to log in
(an exec plugin), a context of it sends jobs to another cluster, and its environment reaches local
processes: such a file is used only after `launcher trust`, as direnv does it. A file of another
user is not used at all before that, as git's safe.directory has it.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from launcher.errors import DeniedError, LauncherError

SENSITIVE = ("kubeconfig", "context", "env")
_FOLDER = "food101-vgg19"
_MOST_BYTES = 1 << 20


@dataclass(frozen=True)
class Claims:
    """What a settings file asks to be trusted with."""

    path: str
    """Its real path."""
    settings: Mapping[str, Any]
    """Its sensitive settings by where they stand: {"profiles.team.context": "prod"}."""
    foreign: bool
    """Whether it, or a link on the way to it, belongs to another user."""
    digest: str
    """Changes when what must be trusted changes, and with nothing else."""


def claims_of(path: str, content: Mapping[str, Any]) -> Claims:
    """Find what a settings file asks to be trusted with; `content` is what it holds."""
    profiles = content.get("profiles")
    sections: dict[str, Any] = {"defaults": content.get("defaults")}
    if isinstance(profiles, dict):
        sections |= {f"profiles.{name}": section for name, section in profiles.items()}
    found = {
        f"{where}.{name}": section[name]
        for where, section in sections.items()
        if isinstance(section, dict)
        for name in SENSITIVE
        if section.get(name)
    }
    foreign = _is_foreign(path)
    told = json.dumps(content if foreign else found, sort_keys=True, default=str)
    return Claims(
        path=os.path.realpath(path),
        settings=found,
        foreign=foreign,
        digest=hashlib.sha256(told.encode("utf-8", "surrogatepass")).hexdigest(),
    )


def _is_foreign(path: str) -> bool:
    return any(status.st_uid != os.getuid() for status in (os.lstat(path), os.stat(path)))


def check(claims: Claims, used: set[str], environ: Mapping[str, str]) -> None:
    """Refuse a file whose claims are used and not trusted.

    Args:
        claims: What the file asks for.
        used: The settings that it gives to this command.
        environ: Tells where what is trusted is noted down.

    Raises:
        DeniedError: It is not trusted; the message says why that is needed and how it is done.
    """
    wanted = [name for name in SENSITIVE if name in used]
    if not (claims.foreign or wanted) or is_trusted(claims, environ):
        return
    if claims.foreign:
        why = "belongs to another user"
    else:
        why = f"sets {' and '.join(wanted)}, which can run programs or send jobs elsewhere"
    raise DeniedError(
        f"{claims.path} {why}, and you have not trusted it; look at it, then `launcher trust` (or "
        "name it: --settings FILE)"
    )


def is_trusted(claims: Claims, environ: Mapping[str, str]) -> bool:
    """Whether the user has trusted exactly this."""
    return _noted(environ).get(claims.path) == claims.digest


def trust(claims: Claims, environ: Mapping[str, str]) -> None:
    """Note down that the user trusts this.

    Raises:
        LauncherError: It cannot be noted down.
    """
    _note({**_noted(environ), claims.path: claims.digest}, environ)


def forget(path: str, environ: Mapping[str, str]) -> bool:
    """Trust a file no longer; False if it was not trusted.

    Raises:
        LauncherError: It cannot be noted down.
    """
    noted = _noted(environ)
    was = noted.pop(os.path.realpath(path), None) is not None
    if was:
        _note(noted, environ)
    return was


def notes_file(environ: Mapping[str, str]) -> str:
    """Name the file that says what is trusted."""
    base = environ.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share")
    return os.path.join(base, _FOLDER, "trusted.json")


def _noted(environ: Mapping[str, str]) -> dict[str, str]:
    """Read what is trusted; what is no such note trusts nothing."""
    path = notes_file(environ)
    try:
        if os.stat(path).st_uid != os.getuid():
            return {}
        with open(path, "rb") as file:
            found = json.loads(file.read(_MOST_BYTES))
    except (OSError, ValueError, RecursionError):
        return {}
    return {str(key): str(value) for key, value in found.items()} if type(found) is dict else {}


def _note(noted: Mapping[str, str], environ: Mapping[str, str]) -> None:
    path = notes_file(environ)
    half = f"{path}.{os.getpid()}"
    try:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        with open(half, "w", encoding="utf-8") as file:
            json.dump(noted, file, indent=1, sort_keys=True)
        os.replace(half, path)
    except OSError as error:
        raise LauncherError(f"{path} cannot be written: {error.strerror}") from error
