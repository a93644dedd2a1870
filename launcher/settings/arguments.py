"""Arguments that several commands share."""

import argparse
from typing import Any

from job.contract import environment

FORMATS = ("json", "yaml")


class _AsJobFlag(argparse.Action):
    """Hands an option of the launcher on to the job, as if it stood after `--`."""

    def __call__(
        self,
        _parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        namespace.job_flags = [*(namespace.job_flags or []), f"{option_string}={values}"]


class _AsNotification(argparse.Action):
    """Hands an address on as an environment variable of the job, or the secret that holds it."""

    def __call__(
        self,
        _parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        _option_string: str | None = None,
    ) -> None:
        name = "env" if "://" in str(values) else "secret_env"
        given = [*(getattr(namespace, name) or []), f"{environment.NOTIFY_URL}={values}"]
        setattr(namespace, name, given)


def add_common(parser: argparse.ArgumentParser) -> None:
    """Declare what every command takes: which settings, which cluster, which namespace."""
    group = parser.add_argument_group("settings and cluster")
    group.add_argument("--profile", metavar="NAME", help="profile of launcher.yaml to use")
    group.add_argument(
        "--settings", metavar="FILE", help="settings file (default: the nearest launcher.yaml)"
    )
    group.add_argument(
        "--set",
        metavar="PATH=VALUE",
        action="append",
        default=[],
        dest="overrides",
        help="any setting, for example --set env.TF_CPP_MIN_LOG_LEVEL=1; may be repeated",
    )
    group.add_argument("--context", metavar="NAME", help="context of the kubeconfig")
    group.add_argument("-n", "--namespace", metavar="NAME", help="namespace of the job")
    group.add_argument("--kubeconfig", metavar="FILE", help="kubeconfig file")
    group.add_argument(
        "--billing-project",
        metavar="PROJECT",
        help="Google Cloud project that pays where a bucket has the requester pay",
    )


def add_output(
    parser: argparse._ActionsContainer,
    *more: str,
    default: str | None = None,
    flags: tuple[str, ...] = ("-o", "--output"),
) -> None:
    """Declare `-o`: json, yaml and the formats named."""
    formats = (*FORMATS, *more)
    parser.add_argument(
        *flags,
        dest="output",
        choices=formats,
        default=default,
        metavar="FORMAT",
        help=f"print as {', '.join(formats[:-1])} or {formats[-1]}",
    )


def add_where(parser: argparse.ArgumentParser) -> None:
    """Declare `--where`, for commands that take a selection of runs."""
    parser.add_argument(
        "--where", metavar="CONDITION", action="append", default=[],
        help="only runs for which it holds, as 'learning_rate>0.001' or 'name~a-*'; may be "
        "repeated",
    )  # fmt: skip


def accept_job_flags(parser: argparse.ArgumentParser, config_class: type[Any]) -> None:
    """Take flags after `--` as `args.job_flags`, to be parsed by `job.contract.flags.parse`."""
    parser.set_defaults(job_flags=[], job_config=config_class)


def add_training(parser: argparse.ArgumentParser) -> None:
    """Declare what describes a training job: `submit`, `render` and `diff` take the same."""
    from job.contract.configs import TrainConfig
    from launcher.settings import fields

    what = parser.add_argument_group("what to run")
    what.add_argument("--name", help="name of the job (default: from its configuration)")
    fields.add_flags(what, "image", "data")
    what.add_argument("--run", metavar="PATH", help="run directory (default: RUN_ROOT/NAME)")
    what.add_argument(
        "--then", metavar="STEPS", action=_AsJobFlag, dest="job_flags",
        help="what the first worker does once training has ended well: evaluate, export, or both "
        "with a comma",
    )  # fmt: skip
    fields.add_flags(what, "run_root", "backend")
    size = parser.add_argument_group("how big")
    fields.add_flags(
        size, "gpus", "workers", "gpus_per_worker", "accelerator", "cpus", "memory", "shm",
        "cache_size", "scratch_size",
    )  # fmt: skip
    where = parser.add_argument_group("where and how long")
    fields.add_flags(
        where, "cloud", "spot", "flex_start", "reservation", "queue", "queue_priority", "priority",
        "placement", "node_selector", "service_account",
        "image_pull_secret", "max_restarts", "max_duration", "ttl",
    )  # fmt: skip
    extras = parser.add_argument_group("extras")
    fields.add_flags(extras, "env", "secret_env", "volumes", "labels", "annotations")
    extras.add_argument(
        "--notify", metavar="URL", action=_AsNotification, dest="secret_env",
        help="tell this address once when the run is done or has failed for good (JSON that "
        "Slack shows): a URL, or SECRET/KEY of a Kubernetes secret that holds it",
    )  # fmt: skip
    accept_job_flags(parser, TrainConfig)


SIZES = (
    "gpus",
    "workers",
    "gpus_per_worker",
    "cpus",
    "memory",
    "shm",
    "cache_size",
    "scratch_size",
)
"""Settings that a profile holds for training: other jobs take them from flags only."""


def add_task(parser: argparse.ArgumentParser, *what_names: str) -> None:
    """Declare what describes a job of independent tasks, with some settings beside the rest."""
    from launcher.settings import fields

    what = parser.add_argument_group("job")
    what.add_argument("--name", help="name of the job (default: from its configuration)")
    what.add_argument(
        "--backend", choices=("auto", "job", "local"), default="auto", dest="task_backend",
        help="a Job in the cluster, local processes, or auto: local without a cluster",
    )  # fmt: skip
    fields.add_flags(what, *what_names)
    fields.add_flags(
        what, "accelerator", "cpus", "memory", "cache_size", "scratch_size", "cloud", "spot",
        "flex_start", "reservation", "queue", "queue_priority", "priority", "node_selector",
        "service_account", "image_pull_secret", "max_restarts", "max_duration", "ttl", "env",
        "secret_env", "volumes", "labels", "annotations",
    )  # fmt: skip
    parser.set_defaults(not_from_profile=SIZES)


def add_sending(
    parser: argparse.ArgumentParser, *, output_flags: tuple[str, ...] = ("-o", "--output")
) -> None:
    """Declare what to do with a job once it is described."""
    group = parser.add_argument_group("how to send it")
    group.add_argument(
        "--dry-run", choices=("client", "server"),
        help="client: print the manifest; server: let the cluster check it; keep nothing",
    )  # fmt: skip
    group.add_argument(
        "--skip-checks", metavar="NAME[,NAME]", default="",
        help="checks to leave out, by the names that `launcher check` prints, or `all`",
    )  # fmt: skip
    group.add_argument("--wait", action="store_true", help="wait for the end; exit with its cause")
    group.add_argument(
        "--timeout", default="", metavar="TIME",
        help="with --wait: give up waiting after 30m, 12h, 7d; the job goes on",
    )  # fmt: skip
    group.add_argument("--follow", action="store_true", help="show the logs until the end")
    add_output(group, "name", flags=output_flags)
