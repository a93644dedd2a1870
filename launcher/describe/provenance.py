"""Where a job comes from: hashes of its configuration and the revision of the working directory."""

import dataclasses
import getpass
import hashlib
import json
import os
import subprocess
from typing import Any

from launcher import version
from launcher.describe.spec import Provenance
from launcher.settings.fields import FIELDS, Settings
from launcher.settings.file import find

_GIT_TIMEOUT_S = 2
_WHERE = ("context", "namespace", "kubeconfig")


def config_hash(config: Any) -> str:
    """Hash a job's configuration without its output: the same hash trains the same model."""
    values = dataclasses.asdict(config)
    for name in (
        "run", "output", "resume", "overwrite", "take_over", "cache_dir", "cache_size_gb",
        "storage_deadline_s", "then", "billing_project",
    ):  # fmt: skip
        values.pop(name, None)
    return _short_hash(values, 12)


def run_id(output: str) -> str:
    """Name a run directory by a hash that fits into a label; jobs that resume it share it."""
    return _short_hash(output, 12)


def name_for(kind_prefix: str, *parts: Any) -> str:
    """Make a job's name that is the same for the same job: submitting twice is one job."""
    return f"{kind_prefix}-{_short_hash(parts, 6)}"


def _short_hash(values: Any, length: int) -> str:
    text = json.dumps(values, sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:length]


def describe(settings: Settings) -> Provenance:
    """Collect what goes into a job's annotations for people to find their way back."""
    return Provenance(
        launcher_version=version.VERSION,
        git_revision=_own_revision(),
        submitted_by=_user(),
        settings_json=_settings_json(settings),
    )


def _user() -> str:
    """Name who types, as this machine knows them; nothing if it does not."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # A user id without a name, as in many containers.
        return ""


def _own_revision() -> str:
    """Give the revision of the user's project, else of the product's checkout; or nothing.

    The project is the checkout that has the settings file in it. Whatever other repository
    somebody stands in has nothing to do with the job.
    """
    here, product = checkout("."), os.path.dirname(os.path.dirname(version.__file__))
    settings_file = find(None, os.environ)
    in_project = here and settings_file and os.path.realpath(settings_file).startswith(f"{here}/")
    if in_project or here == os.path.realpath(product):
        return git_revision(here)
    return git_revision(product) if checkout(product) == os.path.realpath(product) else ""


def checkout(folder: str) -> str:
    """Give the top of the git checkout that a folder is in; empty if it is in none."""
    return _git(folder, "rev-parse", "--show-toplevel")


def git_revision(folder: str) -> str:
    """Give the commit of a checkout, with `-dirty` if files differ; or nothing."""
    return _git(folder, "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*")


def _git(folder: str, *words: str) -> str:
    try:
        answer = subprocess.run(
            ["git", *words],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=_GIT_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return answer.stdout.strip() if answer.returncode == 0 else ""


def _settings_json(settings: Settings) -> str:
    """Write the settings that are not at their default, without where they were sent to.

    Of environment variables the names alone: annotations are read by many who may not see secrets,
    and the values stand in the pod's template, where `launcher resume` finds them.
    """
    given: dict[str, Any] = {
        name: value
        for name in FIELDS
        if name not in _WHERE and (value := getattr(settings, name)) != _default(name)
    }
    if "env" in given:
        given["env"] = sorted(given["env"])
    return json.dumps(given, sort_keys=True, separators=(",", ":"))


def _default(name: str) -> Any:
    field = FIELDS[name]
    return {} if field.default is dataclasses.MISSING else field.default
