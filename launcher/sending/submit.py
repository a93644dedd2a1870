"""Sending a job that has been described: the last steps that all commands share."""

import argparse
from contextlib import suppress
from typing import Any

from job.contract.exit_codes import ExitCode
from launcher.api import kubeconfig
from launcher.context import Context
from launcher.describe.spec import JobSpec
from launcher.errors import UsageError
from launcher.settings import arguments

_KINDS = {"tfjob": "tfjob.kubeflow.org", "jobset": "jobset.jobset.x-k8s.io", "job": "job.batch"}


def has_cluster(args: argparse.Namespace, context: Context) -> bool:
    """Whether there is a cluster to send to, or one to be assumed for a client's dry run."""
    if args.dry_run == "client":
        return True
    return kubeconfig.is_configured(context.settings.kubeconfig, context.environ)


def run_here(spec: JobSpec, args: argparse.Namespace, context: Context) -> int:
    """Run a job as processes on this machine; gives their exit code."""
    from launcher import backends

    if args.dry_run:
        raise UsageError(f"--dry-run {args.dry_run} needs a cluster's backend; this one is local")
    if spec.secret_env:
        raise UsageError("--secret-env needs a cluster; export the variable for the local backend")
    context.output.stdout.flush()
    code = int(backends.load("local").submit(spec, context))
    # Whoever reads may be gone by now (`| head`); the code tells the cause all the same.
    with suppress(BrokenPipeError):
        if code == 0:
            context.output.print(f"done: {spec.output}")
        elif code == ExitCode.PREEMPTED:
            where = spec.output if "/" in spec.output else f"./{spec.output}"
            context.output.note(f"go on from its checkpoint: launcher resume {where}")
    return code


def send(spec: JobSpec, args: argparse.Namespace, context: Context) -> int:
    """Check, create, say what was made and what to do next; follow it if asked to."""
    from launcher.manifests.render import render

    manifests = render(spec)
    if args.dry_run == "client":
        output_format = args.output if args.output in arguments.FORMATS else "yaml"
        context.output.documents(manifests, output_format)
        return 0
    from launcher import backends
    from launcher.checks import preflight
    from launcher.sending import submission

    cluster = context.cluster()
    there = submission.existing(cluster, manifests[0])
    if there is not None:
        _report(
            spec, [there], "is already there with the same spec; nothing was sent", args, context
        )
        return _follow(spec, args, context)
    skip = tuple(name for name in args.skip_checks.split(",") if name)
    preflight.require(spec, manifests, cluster, context.output, skip=skip)
    dry_run = args.dry_run == "server"
    created = backends.load(spec.backend).submit(cluster, manifests, dry_run=dry_run)
    if dry_run:
        _report(spec, created, "accepted by the server (dry run; nothing is kept)", args, context)
        return 0
    _report(spec, created, "created", args, context)
    return _follow(spec, args, context)


def _report(
    spec: JobSpec, objects: list[Any], what: str, args: argparse.Namespace, context: Context
) -> None:
    output = context.output
    name = f"{_KINDS[spec.backend]}/{spec.name}"
    if args.output == "name":
        output.print(name)
    elif args.output:
        output.documents(objects, args.output)
    else:
        output.print(f"{name} {what}")
        if not (args.wait or args.follow or args.dry_run):
            _say_next(spec, args, context)


def _say_next(spec: JobSpec, args: argparse.Namespace, context: Context) -> None:
    option = f" -n {spec.namespace}" if args.namespace else ""
    commands = {
        "status": "how it is doing",
        "logs -f": "what it says",
        "why": "what it waits for, if it does not start",
    }
    if spec.kind == "train":
        commands["tensorboard"] = "its curves"
    texts = {f"launcher {verb} {spec.name}{option}": why for verb, why in commands.items()}
    context.output.print("next:")
    for text, why in texts.items():
        context.output.print(f"  {text:<{max(map(len, texts))}}   {why}")


def _follow(spec: JobSpec, args: argparse.Namespace, context: Context) -> int:
    if not (args.follow or args.wait):
        return 0
    from launcher.commands import logs, wait

    # The tasks of a prediction are many: waiting for it tells in one line how far they all are.
    if args.follow and spec.kind != "predict":
        logs.follow(spec.name, context)
    return wait.until_done(spec.name, context, args.timeout)
