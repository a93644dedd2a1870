"""The questions of `launcher init`: what the cluster offers, what the user answers, the file."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from launcher import kinds
from launcher.context import Context
from launcher.errors import LauncherError, UsageError
from launcher.manifests import labels, names, yaml_text
from launcher.settings.fields import FIELDS
from launcher.settings.values import from_text

if TYPE_CHECKING:
    from launcher.api.connection import Cluster

_CHECKS: dict[str, Callable[[str], None]] = {
    "image": names.check_image,
    "namespace": names.check_namespace,
}


def _anything(_: str) -> None:
    """Take any value of the setting's type."""


def look(cluster: "Cluster") -> dict[str, list[str]]:
    """Name the GPU models, queues, service accounts and kinds of jobs that a cluster has.

    What one may not see is left out.
    """
    from launcher.api import resources

    def names_of(resource: resources.Resource) -> list[str]:
        return sorted(item["metadata"]["name"] for item in cluster.list_all(resource))

    def accelerators() -> list[str]:
        nodes = cluster.list_all(resources.NODES)
        found = (node["metadata"].get("labels", {}).get(labels.ACCELERATOR) for node in nodes)
        return sorted({name for name in found if name})

    def backends() -> list[str]:
        return [kind.name for kind in kinds.TRAINING if cluster.serves(kind.resource)]

    looks: dict[str, Callable[[], list[str]]] = {
        "accelerator": accelerators,
        "queue": lambda: names_of(resources.LOCAL_QUEUES),
        "service_account": lambda: names_of(resources.SERVICE_ACCOUNTS),
        "backend": backends,
    }
    found = {}
    for name, ask_cluster in looks.items():
        try:
            found[name] = ask_cluster()
        except LauncherError:
            continue
    return found


def ask(
    wanted: Sequence[str],
    answers: Mapping[str, Any],
    found: Mapping[str, Sequence[str]],
    context: Context,
) -> dict[str, Any]:
    """Ask for each setting that has no answer yet; an empty line takes the default or none."""
    complete = dict(answers)
    for name in wanted:
        if name in complete:
            continue
        field = FIELDS[name]
        offered = found.get(name)
        hint = f" (there: {', '.join(offered)})" if offered else ""
        hint += f" (e.g. {field.metadata['example']})" if field.metadata["example"] else ""
        while True:
            context.output.stderr.write(
                f"{name}: {field.metadata['help']}{context.output.style(hint)}\n> "
            )
            context.output.stderr.flush()
            line = context.stdin.readline()
            if not line:
                raise UsageError("no more answers: the input ended")
            if not line.strip():
                break
            try:
                complete[name] = from_text(field, line.strip(), name)
                _CHECKS.get(name, _anything)(complete[name])
            except UsageError as error:
                context.output.note(str(error))
                continue
            if offered and complete[name] not in (*offered, *field.metadata["choices"]):
                context.output.note(f"the cluster has no {line.strip()!r} now; taken as it is")
            break
    return complete


def file_text(profile: str, answers: Mapping[str, Any]) -> str:
    """Write launcher.yaml with one profile; every setting under its own explanation."""
    lines = [
        "# Settings of `launcher`: flag > --set > profile > defaults. Any setting of",
        "# `launcher submit --help` can stand here, with _ for -.",
        yaml_text.dump({"profile": profile}).rstrip(),
        "profiles:",
        "  " + yaml_text.dump({profile: None}).rstrip().removesuffix(" null"),
    ]
    for name, value in answers.items():
        lines.append(f"    # {FIELDS[name].metadata['help']}")
        lines += ["    " + line for line in yaml_text.dump({name: value}).rstrip().splitlines()]
    missing = [name for name in ("image", "data", "run_root") if name not in answers]
    for name in missing:
        field = FIELDS[name]
        lines.append(f"    # {field.metadata['help']}")
        lines.append(f"    # {name}: {field.metadata['example']}")
    if not answers:
        lines[4] += " {}"
    return "\n".join(lines) + "\n"
