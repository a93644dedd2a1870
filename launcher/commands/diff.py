"""`launcher diff`: what would change against a job that runs or ran."""

import argparse
import dataclasses
from typing import TYPE_CHECKING, Any

from launcher.context import Context
from launcher.errors import NotFoundError
from launcher.settings import arguments

if TYPE_CHECKING:
    from launcher.describe.training import Training

NAME = "diff"
HELP = "Show how a job would differ from one that runs or ran."
EPILOG = """Without JOB the one of the same name is compared. A job that is gone from the cluster is
compared by its run directory's configuration. Ends with 1 if something differs.

examples:
  launcher diff vgg19-4f2a1c --gpus 16 -- --epochs=10
  launcher diff --name nightly --spot"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the job to compare with, and what describes the new one."""
    parser.add_argument("job", metavar="JOB", nargs="?", help="name of the job to compare with")
    arguments.add_training(parser)


def run(args: argparse.Namespace, context: Context) -> int:
    """Print the differences; 0 if there are none."""
    from launcher.describe import backend_choice, training
    from launcher.manifests.render import render

    settings = context.settings
    cluster = context.cluster()
    choice = backend_choice.for_training(
        settings, has_cluster=True, serves=lambda kind: cluster.serves(kind.resource)
    )
    backend = backend_choice.in_cluster(choice)
    other = args.job or args.name or ""
    job = training.prepare(
        settings, args.job_flags, name=args.name or other, run=args.run or "",
        namespace=context.namespace, backend=backend, with_facts=False,
    )  # fmt: skip
    found = _against_cluster(other or job.spec.name, render(job.spec)[0], context)
    if found is None:
        found = _against_run(other or job.spec.name, job, context)
    for line in found:
        context.output.print(context.output.style(line, "yellow"))
    if not found:
        context.output.note("no difference")
    return 1 if found else 0


def _against_cluster(name: str, manifest: dict[str, object], context: Context) -> list[str] | None:
    """Compare with the object of that name, of whatever kind; None if there is none."""
    from launcher import kinds
    from launcher.manifests.differences import differences

    cluster = context.cluster()
    for kind in kinds.TRAINING:
        there = cluster.find(kind.resource, name)
        if there is None:
            continue
        if there["kind"] != manifest["kind"]:
            return [f"kind: {there['kind']} -> {manifest['kind']}"]
        return differences(there.get("spec"), manifest["spec"])
    return None


def _against_run(name: str, job: "Training", context: Context) -> list[str]:
    """Compare with the configuration in the run directory of a job that is gone."""
    from job import storage
    from job.contract import layout, schema
    from job.contract.errors import JobError

    path = layout.config_file(job.config.run)
    try:
        earlier = schema.read(storage.read_bytes(path), dict[str, Any], what=path)
    except JobError as error:
        raise NotFoundError(
            f"there is no job {name!r} in namespace {context.namespace!r}, and {path} cannot be "
            f"read either: {error}"
        ) from error
    return [
        f"{key}: {earlier.get(key)!r} -> {value!r}"
        for key, value in dataclasses.asdict(job.config).items()
        if earlier.get(key) != value and key not in ("cache_dir", "cache_size_gb")
    ]
