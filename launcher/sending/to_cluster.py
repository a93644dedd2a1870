"""Sending a job to its cluster: the steps that all commands share."""

from typing import Any

from launcher.context import Context
from launcher.describe.spec import JobSpec
from launcher.errors import ConflictError
from launcher.kinds import ClusterKind
from launcher.sending.options import SendOptions
from launcher.settings import arguments

_DELETION_S = 30.0
"""How long an earlier job of that name may take to go."""


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
    there = submission.existing(cluster, manifests[0], patience_s=_DELETION_S)
    if there is not None:
        _report(spec, [there], _already_there(spec, there, options), options, context)
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


def _already_there(spec: JobSpec, there: dict[str, Any], options: SendOptions) -> str:
    """Say of the same job that is there how it is.

    Raises:
        ConflictError: It will not run any more, and nobody waits for how it ended.
    """
    assert isinstance(spec.backend, ClusterKind)
    job, name = spec.backend.read(there), spec.name
    if job.succeeded:
        return "is already there and has succeeded; nothing was sent"
    if not job.failed and not job.cancelled:
        suspended = ", suspended," if job.suspended and not job.queue else ""
        return f"is already there{suspended} with the same spec; nothing was sent"
    how = "has failed" if job.failed else "was cancelled"
    if options.wait or options.follow:
        return f"is already there and {how}; nothing was sent"
    resume = f"go on from its checkpoint: launcher resume {name}; " if job.run else ""
    raise ConflictError(
        f"{job.kind} {name!r} is already there and {how} (launcher why {name}); nothing was sent; "
        f"{resume if spec.kind == 'train' else ''}to start it again: launcher delete {name} first"
    )


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
    from launcher.observe import following, waiting
    from launcher.observe.logs import Selection

    cluster, output = context.cluster(), context.output
    # The tasks of a prediction are many: waiting for it tells in one line how far they all are.
    if options.follow and spec.kind != "predict":
        following.show(following.lines(cluster, spec.name, Selection(), output.note), output)
    ending = waiting.wait(cluster, spec.name, output.progress, timeout_s=options.timeout_s)
    assert ending is not None
    output.note(ending.finding.sentence)
    return ending.exit_code
