"""`launcher resume`: a new job that goes on with a run."""

import argparse
from typing import TYPE_CHECKING

from launcher.context import Context
from launcher.errors import ConflictError, UsageError
from launcher.settings import arguments

if TYPE_CHECKING:
    from launcher.describe.resumption import Earlier

NAME = "resume"
HELP = "Start a new job that goes on from a run's newest checkpoint."
EPILOG = """Everything is as it was, unless it is given anew: size, backend, limits, trainer flags
after --. What changes is told before anything is sent. RUN is the name of a job, or a run
directory if the job is gone.

examples:
  launcher resume vgg19-4f2a10
  launcher resume vgg19-4f2a10 --gpus 16 --backend jobset
  launcher resume vgg19-4f2a10 -- --epochs=40
  launcher resume gs://my-bucket/runs/vgg19-4f2a10"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the run, and what may be otherwise."""
    parser.add_argument("what", metavar="RUN", help="name of a job, or a run directory")
    arguments.add_training(parser)
    arguments.add_sending(parser)


def run(args: argparse.Namespace, context: Context) -> int:
    """Say where it goes on and what changes, then send it."""
    from launcher.describe import resumption, summary, training
    from launcher.describe.cpu_speed import gflops_per_core
    from launcher.describe.estimate import estimate
    from launcher.kinds import ClusterKind
    from launcher.sending import submit
    from launcher.sending.options import from_args

    if args.run:
        raise UsageError("resume writes into the same run directory; leave --run out")
    earlier, old_name = _earlier(args, context)
    settings = resumption.with_flags(earlier.settings, args, context.settings)
    run_dir = earlier.config.run
    options = from_args(args)
    choice = submit.choose_backend(settings, options, context)
    in_cluster = isinstance(choice.kind, ClusterKind)
    asks = in_cluster and options.dry_run != "client"
    job = training.prepare(
        settings,
        resumption.trainer_flags(earlier.config, args.data, args.job_flags),
        name=args.name or _free_name(old_name, context, asks=asks),
        run=run_dir,
        namespace=context.namespace if in_cluster else "",
        backend=choice.kind,
        with_facts=options.dry_run != "client",
    )
    if choice.why and options.dry_run != "client":
        context.output.note(str(choice))
    if options.introduces:
        output = context.output
        _, where = resumption.where_it_goes_on(run_dir)
        output.print(f"{output.style(job.spec.name, 'bold')} goes on {output.style(where)}")
        for line in resumption.changes(earlier, settings, job):
            output.print(f"  {output.style('changed', 'yellow')}   {output.style(line)}")
        needs = estimate(job.spec, job.config, job.facts, gflops_per_core(job.spec))
        output.facts(summary.training_rows(job.spec, job.config, job.facts, needs))
        output.stdout.flush()
    return submit.submit(job.spec, options, context)


def _earlier(args: argparse.Namespace, context: Context) -> "tuple[Earlier, str]":
    """Find what the run was made from, and the name of its job."""
    from launcher.describe import resumption
    from launcher.observe import run_paths

    found = run_paths.find(args.what, context)
    if found.job is None:
        if found.said is not None:
            context.output.note(f"from {found.run}: {found.said}")
        name = args.what.rstrip("/").rpartition("/")[2]
        return resumption.from_run(found.run, context.settings), name
    kind, item = found.job
    job = kind.read(item)
    if job.component != "train":
        raise UsageError(f"{job.name} is no training job ({job.component}); submit it again")
    if job.suspended and not job.cancelled and not job.over:
        raise ConflictError(f"{job.name} is suspended; let it go on: launcher unsuspend {job.name}")
    if not job.over and not job.cancelled:
        raise ConflictError(
            f"{job.name} is not over, and two jobs must not write into one run directory; stop it "
            f"first: launcher cancel {job.name}"
        )
    return resumption.from_object(item, kind.pod_spec(item)), job.name


def _free_name(old: str, context: Context, *, asks: bool) -> str:
    from launcher.describe import resumption
    from launcher.observe import gather

    taken = {job.name for job in gather.list_jobs(context.cluster())} if asks else set()
    return resumption.next_name(old, taken | {old})
