"""YAML files of a person's machine: launcher.yaml and kubeconfigs."""

from typing import Any

from job.contract import plain_yaml
from launcher.errors import UsageError
from launcher.manifests import yaml_text


def load(path: str, what: str) -> Any:
    """Parse the one YAML document in a file.

    Raises:
        UsageError: It cannot be read, or is no such YAML; the message begins with `what` it is.
    """
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read(plain_yaml.MOST_CHARACTERS + 1)
    except UnicodeDecodeError as error:
        raise UsageError(f"{what} {path} cannot be read: it is no text in UTF-8") from error
    except OSError as error:
        raise UsageError(f"{what} {path} cannot be read: {error.strerror}") from error
    return yaml_text.load(text, path)
