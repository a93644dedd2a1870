"""launcher.yaml: where it is and what its profiles say.

profile: team          # used without --profile; optional
defaults:              # for every profile; optional
  image: registry.example/food101:0.1.0
profiles:
  team:
    namespace: vision
    accelerator: nvidia-l4
"""

import difflib
import os
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from launcher.errors import NotFoundError, UsageError
from launcher.settings import yaml_file
from launcher.settings.values import shown

FILE_NAME = "launcher.yaml"
USER_FOLDER = "food101-vgg19"
_TOP_LEVEL = ("profile", "defaults", "profiles")


def find(explicit: str | None, environ: Mapping[str, str]) -> str | None:
    """Find the settings file: the one named, the nearest one upwards, the user's, or none.

    Upwards ends at the root of the repository; outside of one, only this folder is looked at, or
    whoever may write into a folder above would decide.

    Raises:
        NotFoundError: The file named does not exist.
    """
    if explicit:
        if not os.path.isfile(explicit):
            raise NotFoundError(
                f"settings file {explicit} does not exist; `launcher init` writes one"
            )
        return explicit
    candidates = [os.path.join(folder, FILE_NAME) for folder in _folders()]
    candidates.append(user_file(environ))
    return next((path for path in candidates if os.path.isfile(path)), None)


def _folders() -> list[str]:
    """Name this folder and those above it, up to the root of the repository it is in."""
    here = os.getcwd()
    folders = [here]
    while not os.path.exists(os.path.join(folders[-1], ".git")):
        above = os.path.dirname(folders[-1])
        if above == folders[-1]:
            return [here]
        folders.append(above)
    return folders


def user_file(environ: Mapping[str, str]) -> str:
    """Name the settings file in the user's configuration folder."""
    base = environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    return os.path.join(base, USER_FOLDER, FILE_NAME)


def read_profile(
    explicit: str | None, profile: str | None, environ: Mapping[str, str], known: Collection[str]
) -> list[tuple[str, Any, str]]:
    """Give (setting, value, where it stands) of a profile over the file's defaults.

    Args:
        explicit: The file that `--settings` names, if any.
        profile: The profile that `--profile` names, if any.
        environ: The environment, which says where a user's configuration is.
        known: The names of all settings.

    Raises:
        NotFoundError: No such file or profile.
        UsageError: The file is not what it should be, or holds an unknown key.
        DeniedError: The file was found, not named, and what it says needs trust.
    """
    path = find(explicit, environ)
    if path is None:
        if profile:
            raise NotFoundError(
                f"profile {profile!r}: there is no {FILE_NAME} here or above; "
                "`launcher init` writes one"
            )
        return []
    content = read(path)
    values = _values(content, profile, path, known)
    if not explicit and path != user_file(environ):
        from launcher.settings import trust

        trust.check(
            trust.claims_of(path, content), {name for name, value, _ in values if value}, environ
        )
    return values


def _values(
    content: dict[str, Any], profile: str | None, path: str, known: Collection[str]
) -> list[tuple[str, Any, str]]:
    chosen = profile or content.get("profile")
    defaults = _settings_of(content.get("defaults"), "defaults", path, known)
    values = {name: (value, where) for name, value, where in defaults}
    if chosen is not None:
        profiles = content.get("profiles") or {}
        if chosen not in profiles:
            raise NotFoundError(
                f"{path} has no profile {chosen!r}"
                + _nearest(str(chosen), [str(p) for p in profiles])
            )
        section = _settings_of(profiles[chosen], f"profiles.{chosen}", path, known)
        for name, value, where in section:
            if isinstance(value, dict) and isinstance(values.get(name, (None,))[0], dict):
                value = {**values[name][0], **value}
            values[name] = (value, where)
    return [(name, value, where) for name, (value, where) in values.items()]


def unknown(where: str, name: str, known: Collection[str]) -> UsageError:
    """Make the error for a setting that there is not; it says what is near."""
    return UsageError(f"{where}unknown setting {name!r}" + _nearest(name, known))


def split_override(override: str, known: Collection[str]) -> tuple[str, str]:
    """Take `--set` apart: `env.A=b` is the entry A of env, `image=x` is image.

    Raises:
        UsageError: There is no `=`, or no such setting.
    """
    path, separator, value = override.partition("=")
    name, dot, entry = path.partition(".")
    if not separator:
        raise UsageError(f"--set {override!r} must be PATH=VALUE")
    if name not in known:
        raise unknown(f"--set {override!r}: ", name, known)
    return name, f"{entry}={value}" if dot else value


def read(path: str) -> dict[str, Any]:
    """Read a settings file: its top level is checked, its settings are not.

    Raises:
        UsageError: It cannot be read, or is not what it should be.
    """
    content = yaml_file.load(path, "settings file")
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise UsageError(f"{path} must hold {', '.join(_TOP_LEVEL)}, not {shown(content)}")
    for key in content:
        if key not in _TOP_LEVEL:
            raise UsageError(f"{path}: unknown key {key!r}" + _nearest(str(key), _TOP_LEVEL))
    if not isinstance(content.get("profiles") or {}, dict):
        raise UsageError(f"{path}: profiles must map names to settings")
    if not isinstance(content.get("profile"), str | None):
        raise UsageError(f"{path}: profile must name one, not {shown(content['profile'])}")
    return content


def _settings_of(
    section: Any, where: str, path: str, known: Collection[str]
) -> Iterator[tuple[str, Any, str]]:
    if section is None:
        return
    if not isinstance(section, dict):
        raise UsageError(f"{path}: {where} must map settings to values, not {shown(section)}")
    for name, value in section.items():
        if name not in known:
            raise UsageError(
                f"{path}: {where}: unknown setting {name!r}" + _nearest(str(name), known)
            )
        if value is not None:
            yield name, value, f"{path}: {where}.{name}"


def _nearest(word: str, known: Collection[str]) -> str:
    close = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(sorted(known))}"
