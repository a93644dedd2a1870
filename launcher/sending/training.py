"""A training job from settings and flags: its backend chosen, described, and introduced."""

from collections.abc import Sequence

from launcher.context import Context
from launcher.describe import training
from launcher.describe.spec import JobSpec
from launcher.describe.training import Training
from launcher.kinds import ClusterKind
from launcher.sending import submit
from launcher.sending.options import SendOptions


def prepare(
    context: Context,
    job_flags: Sequence[str],
    options: SendOptions,
    *,
    name: str = "",
    run: str = "",
) -> JobSpec:
    """Describe a training job and say what it will be; `submit.submit` sends it.

    Args:
        context: Settings, and the cluster if there is one.
        job_flags: Flags of the trainer.
        options: How it is to be sent.
        name: Name of the job; empty for one made from its configuration.
        run: Run directory; empty for the one of that name below the run root.

    Raises:
        UsageError, ConfigError: A setting or a trainer flag cannot work.
        LauncherError: The cluster cannot be asked, or the job is to run here without a dataset.
    """
    settings = context.settings
    choice = submit.choose_backend(settings, options, context)
    in_cluster = isinstance(choice.kind, ClusterKind)
    job = training.prepare(
        settings,
        job_flags,
        name=name,
        run=run,
        namespace=context.namespace if in_cluster else "",
        backend=choice.kind,
        with_facts=options.dry_run != "client",
    )
    if choice.why and options.dry_run != "client":
        context.output.note(str(choice))
    if options.introduces:
        _introduce(job, context)
    return job.spec


def _introduce(job: Training, context: Context) -> None:
    from launcher.describe import summary
    from launcher.describe.cpu_speed import gflops_per_core
    from launcher.describe.estimate import estimate

    output, spec = context.output, job.spec
    where = f" {context.place}" if spec.in_cluster else ""
    output.print(output.style(spec.name, "bold") + where)
    needs = estimate(spec, job.config, job.facts, gflops_per_core(spec))
    output.facts(summary.training_rows(spec, job.config, job.facts, needs))
    output.stdout.flush()
