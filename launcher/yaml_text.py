"""YAML in and out, with the fast safe loader and no surprises."""

from typing import Any

import yaml

from launcher.errors import UsageError

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Dumper(yaml.SafeDumper):
    """Never writes anchors and indents lists as people do."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - PyYAML's signature
        return True


def load(text: str, source: str) -> Any:
    """Parse one YAML document.

    Raises:
        UsageError: The text is not YAML; the message names `source` and the line.
    """
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506 - a safe loader
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{source}:{mark.line + 1}" if mark else source
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise UsageError(f"{where}: not valid YAML: {problem}") from error


def dump(data: Any) -> str:
    """Write plain data as one YAML document, in the order of its keys."""
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)


def dump_all(documents: list[Any]) -> str:
    """Write several documents, separated by `---`."""
    return "---\n".join(dump(document) for document in documents)
