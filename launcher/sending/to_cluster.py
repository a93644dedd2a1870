"""Sending a job to its cluster: the steps that all commands share."""

from typing import Any

from launcher.context import Context
from launcher.describe.spec import JobSpec
from launcher.kinds import ClusterKind
from launcher.sending.options import SendOptions
from launcher.settings import arguments


def submit(spec: JobSpec, options: SendOptions, context: Context) -> int:
    """Check, create, say what was made and what to do next; follow it if asked to."""
    from launcher.manifests.render import render

    manifests = render(spec)
    if options.dry_run == "client":
        output_format = options.output if options.output in arguments.FORMATS else "yaml"
        context.output.documents(manifests, output_format)
        return 0
    from launcher.checks import preflight
    from launcher.sending import submission

    cluster = context.cluster()
    there = submission.existing(cluster, manifests[0])
    if there is not None:
        what = "is already there with the same spec; nothing was sent"
        _report(spec, [there], what, options, context)
        return _follow(spec, options, context)
    preflight.require(spec, manifests, cluster, context.output, skip=options.skip_checks)
    dry_run = options.dry_run == "server"
    created = submission.submit(cluster, manifests, dry_run=dry_run, warn=context.output.warn)
    if dry_run:
        what = "accepted by the server (dry run; nothing is kept)"
        _report(spec, created, what, options, context)
        return 0
    _report(spec, created, "created", options, context)
    return _follow(spec, options, context)


def _report(
    spec: JobSpec, objects: list[Any], what: str, options: SendOptions, context: Context
) -> None:
    output = context.output
    name = f"{_kind(spec)}/{spec.name}"
    if options.output == "name":
        output.print(name)
    elif options.output:
        output.documents(objects, options.output)
    else:
        output.print(f"{name} {what}")
        if not (options.wait or options.follow or options.dry_run):
            _say_next(spec, options, context)


def _kind(spec: JobSpec) -> str:
    assert isinstance(spec.backend, ClusterKind)
    return spec.backend.resource.qualified


def _say_next(spec: JobSpec, options: SendOptions, context: Context) -> None:
    option = f" -n {spec.namespace}" if options.namespace else ""
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


def _follow(spec: JobSpec, options: SendOptions, context: Context) -> int:
    if not (options.follow or options.wait):
        return 0
    from launcher.commands import logs, wait

    # The tasks of a prediction are many: waiting for it tells in one line how far they all are.
    if options.follow and spec.kind != "predict":
        logs.follow(spec.name, context)
    return wait.until_done(spec.name, context, options.timeout)
