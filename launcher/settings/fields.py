"""What can be set for a job, in launcher.yaml or by flags: every default lives here.

`launcher/settings/file.py` finds and reads launcher.yaml; `resolve` merges
built-in default < `defaults:` of the file < profile < flag or `--set`.
"""

import argparse
import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from launcher import kinds
from launcher.settings import file as settings_file
from launcher.settings.values import from_text, from_yaml

BACKENDS = ("auto", *(kind.name for kind in (*kinds.TRAINING, kinds.LOCAL)))


def setting(
    default: Any,
    text: str,
    *,
    metavar: str = "",
    choices: tuple[str, ...] = (),
    flag: str = "",
    example: str = "",
) -> Any:
    """Declare a setting: its default, its help and how its flag looks."""
    metadata = {
        "help": text, "metavar": metavar, "choices": choices, "flag": flag, "example": example,
    }  # fmt: skip
    if isinstance(default, dict):
        return dataclasses.field(default_factory=dict, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything a profile can hold. An empty text or None means: not set."""

    # Where
    context: str = setting("", "context of the kubeconfig", metavar="NAME")
    namespace: str = setting("", "namespace of the job", metavar="NAME")
    kubeconfig: str = setting("", "kubeconfig file", metavar="FILE")
    billing_project: str = setting(
        "",
        "Google Cloud project that pays where a bucket has the requester pay",
        metavar="PROJECT",
    )
    backend: str = setting(
        "auto",
        "what runs the job: tfjob, jobset, local (processes on this machine), or auto: local "
        "without a cluster, jobset for spot nodes and queues, else tfjob; the other one where "
        "the cluster lacks it",
        choices=BACKENDS,
    )
    service_account: str = setting(
        "", "Kubernetes service account of the pods, for storage access", metavar="NAME"
    )
    # What
    image: str = setting(
        "", "container image of the job", metavar="IMAGE",
        example="europe-docker.pkg.dev/my-project/food101/vgg19:0.1.0",
    )  # fmt: skip
    tensorboard_image: str = setting(
        "", "image of TensorBoard in the cluster", metavar="IMAGE",
        example="europe-docker.pkg.dev/my-project/food101/tensorboard:0.1.0",
    )  # fmt: skip
    image_pull_secret: str = setting("", "secret for a private registry", metavar="NAME")
    data: str = setting(
        "",
        "dataset directory, as make-tfrecords writes it",
        metavar="PATH",
        example="gs://my-bucket/food101",
    )
    run_root: str = setting(
        "", "folder of all runs; a job's run directory is RUN_ROOT/NAME", metavar="PATH",
        example="gs://my-bucket/runs",
    )  # fmt: skip
    train: Mapping[str, Any] = setting(
        {}, "defaults for the trainer's flags, for example train.epochs=10", metavar="FLAG=VALUE"
    )
    # Size
    gpus: int | None = setting(None, "GPUs in all (default: 1); 0 means CPU workers", metavar="N")
    workers: int | None = setting(
        None, "worker pods (default: as few as hold the GPUs)", metavar="N"
    )
    gpus_per_worker: int | None = setting(
        None, "GPUs of each worker (default: up to 8)", metavar="G"
    )
    accelerator: str = setting(
        "", "GPU model, as GKE's node label names it, whatever the cloud", metavar="MODEL",
        example="nvidia-l4",
    )  # fmt: skip
    cpus: str = setting("", "CPUs of each worker (default: by GPU model)", metavar="QUANTITY")
    memory: str = setting("", "memory of each worker (default: by GPU model)", metavar="QUANTITY")
    shm: str = setting("", "shared memory of each worker, part of its memory", metavar="QUANTITY")
    cache_size: str = setting(
        "", "disk of each worker for shards (default: from the dataset)", metavar="QUANTITY"
    )
    scratch_size: str = setting("", "disk of each worker for all else", metavar="QUANTITY")
    # Scheduling
    cloud: str = setting(
        "gke", "whose labels and taints mark GPU models and spot nodes: gke, eks or aks",
        choices=("gke", "eks", "aks"),
    )  # fmt: skip
    spot: bool = setting(False, "run on spot nodes (cheaper, may be taken away)")
    flex_start: bool = setting(
        False, "run on GKE's flex-start nodes, which come when there are some, for seven days"
    )
    reservation: str = setting(
        "", "run on the nodes of a reservation of Compute Engine", metavar="[PROJECT/]NAME"
    )
    queue: str = setting("", "Kueue LocalQueue that admits the job", metavar="NAME")
    queue_priority: str = setting(
        "", "Kueue's WorkloadPriorityClass: who is admitted first", metavar="CLASS"
    )
    priority: str = setting("", "priority class of the pods", metavar="CLASS")
    placement: str = setting(
        "prefer-zone",
        "where workers run in relation to each other: any, prefer-zone, zone (all in one, or "
        "none), or kueue:LABEL (kueue-preferred:LABEL) for Kueue's topology aware scheduling",
        metavar="RULE",
    )
    node_selector: Mapping[str, str] = setting({}, "label that nodes must have", metavar="K=V")
    tolerations: tuple[Mapping[str, str], ...] = setting(
        (), "taints that the pods tolerate, as in a pod", metavar="YAML"
    )
    # Life
    max_restarts: int = setting(20, "restarts from the last checkpoint", metavar="N")
    max_duration: str = setting("7d", "longest time the job may run", metavar="TIME")
    ttl: str = setting("2d", "time after which a finished job is removed", metavar="TIME")
    # Extras
    env: Mapping[str, str] = setting({}, "environment variable of the containers", metavar="K=V")
    secret_env: Mapping[str, str] = setting(
        {}, "environment variable from a Kubernetes secret", metavar="K=SECRET/KEY"
    )
    volumes: Mapping[str, str] = setting(
        {},
        "volume of the containers: pvc:NAME[:ro], ephemeral:CLASS[:SIZE], local-ssd, "
        "csi:DRIVER[:KEY=VALUE,...], token:AUDIENCE, configmap:NAME, secret:NAME; at /cache or "
        "/tmp it takes the place of the node's disk",
        metavar="PATH=SOURCE",
        flag="--volume",
    )
    labels: Mapping[str, str] = setting(
        {}, "label of the job and its pods", metavar="K=V", flag="--label"
    )
    annotations: Mapping[str, str] = setting(
        {}, "annotation of the job", metavar="K=V", flag="--annotation"
    )

    @property
    def payer_flags(self) -> list[str]:
        """The job's flag that names who pays for its requests to buckets."""
        return [f"--billing_project={self.billing_project}"] if self.billing_project else []


FIELDS: dict[str, dataclasses.Field[Any]] = {
    field.name: field for field in dataclasses.fields(Settings)
}


def resolve(args: argparse.Namespace, environ: Mapping[str, str]) -> Settings:
    """Merge the settings file, its profile and the flags of a command.

    Flags are found in `args` under the names of the settings, as text; None counts as not given.
    `args.values`, a mapping, has values that were given in Python, typed as in launcher.yaml.

    Raises:
        UsageError: A file, a profile, a key or a value is wrong.
    """
    values = settings_file.read_profile(
        getattr(args, "settings", None), getattr(args, "profile", None), environ, FIELDS
    )
    skipped = getattr(args, "not_from_profile", ())
    typed = {
        name: from_yaml(FIELDS[name], value, where)
        for name, value, where in values
        if name not in skipped
    }
    for name, field in FIELDS.items():
        given = getattr(args, name, None)
        if given is not None:
            _merge(typed, field, from_text(field, given, _flag(field)))
    for name, value in getattr(args, "values", {}).items():
        if name not in FIELDS:
            raise settings_file.unknown("", name, FIELDS)
        _merge(typed, FIELDS[name], from_yaml(FIELDS[name], value, name))
    for override in getattr(args, "overrides", []):
        name, value = settings_file.split_override(override, FIELDS)
        _merge(typed, FIELDS[name], from_text(FIELDS[name], value, f"--set {override}"))
    return Settings(**typed)


def _merge(typed: dict[str, Any], field: dataclasses.Field[Any], value: Any) -> None:
    """Set a value; entries of a mapping are added to those already there."""
    if isinstance(value, Mapping):
        value = {**typed.get(field.name, {}), **value}
    typed[field.name] = value


def _flag(field: dataclasses.Field[Any]) -> str:
    return str(field.metadata["flag"] or "--" + field.name.replace("_", "-"))


def add_flags(parser: argparse._ActionsContainer, *names: str) -> None:
    """Declare a flag for each setting named; unset flags are None, so profiles show through."""
    for name in names:
        field = FIELDS[name]
        metadata = field.metadata
        if field.type is bool:
            parser.add_argument(
                _flag(field), action=argparse.BooleanOptionalAction, default=None,
                help=metadata["help"],
            )  # fmt: skip
            continue
        many = "Mapping" in str(field.type)
        parser.add_argument(
            _flag(field),
            dest=name,
            action="append" if many else "store",
            default=None,
            choices=metadata["choices"] or None,
            metavar=metadata["metavar"] or None,
            help=_help_with_default(field),
        )


def as_flags(args: argparse.Namespace, *, leave_out: tuple[str, ...] = ()) -> list[str]:
    """Write down again which settings were typed, for another command of the launcher."""
    flags = [
        f"--{name}={given}" for name in ("profile", "settings") if (given := _given(args, name))
    ]
    for name, field in FIELDS.items():
        given = _given(args, name)
        if given is None or name in leave_out:
            continue
        flag = _flag(field)
        if isinstance(given, bool):
            flags.append(flag if given else flag.replace("--", "--no-", 1))
        else:
            flags += [f"{flag}={each}" for each in (given if isinstance(given, list) else [given])]
    return flags + [f"--set={override}" for override in getattr(args, "overrides", [])]


def _given(args: argparse.Namespace, name: str) -> Any:
    return getattr(args, name, None)


def _help_with_default(field: dataclasses.Field[Any]) -> str:
    text = str(field.metadata["help"])
    if "Mapping" in str(field.type):
        return f"{text}; may be repeated"
    shown = field.default if isinstance(field.default, str | int) else ""
    return f"{text} (default: {shown})" if shown != "" and "(default" not in text else text
