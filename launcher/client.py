"""The launcher from Python: `from launcher import Client`, in a notebook or another program.

The methods call the functions that the commands of the same names call. They print nothing and
know no exit codes: what a command says on the way goes to the logger `launcher` (notes and the
progress of waiting as INFO, warnings as WARNING, results for a terminal as DEBUG), and what goes
wrong is raised, as a class of `launcher.errors` or of `job.contract.errors`.
"""

import argparse
import io
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from job.contract.errors import exit_meaning
from launcher.context import Context
from launcher.errors import LauncherError, NotFoundError, UsageError
from launcher.logged_output import LOG, LoggedOutput

if TYPE_CHECKING:
    from launcher.api.log_lines import Line
    from launcher.describe.spec import JobSpec
    from launcher.diagnosis.finding import Finding
    from launcher.observe.answers import Status
    from launcher.observe.waiting import Ending
    from launcher.runs.record import RunRecord
    from launcher.sending.options import SendOptions


@dataclass(frozen=True, kw_only=True)
class Sent:
    """A job that was sent, or has run here.

    Attributes:
        name: Of the job, for the other methods.
        output: The run directory of a training job, else where the results are written.
        in_cluster: Whether it goes on in a cluster; a job of this machine is over already.
    """

    name: str
    output: str
    in_cluster: bool


class Client:
    """A person's settings and a cluster.

    Args:
        profile: Profile of launcher.yaml; empty for the one that it names.
        settings_file: Which launcher.yaml; empty for the nearest one, as the commands find it.
        settings: Settings of launcher.yaml by their names, for example namespace="team"; they
            override the profile's. `launcher.settings.fields.Settings` has them all.

    Every method raises:
        LauncherError: Of its classes DeniedError, UnreachableError, NotFoundError, UsageError.
        JobError: Storage cannot be read, or a flag of a job is wrong.
    """

    def __init__(self, *, profile: str = "", settings_file: str = "", **settings: Any) -> None:
        self._profile = profile
        self._settings_file = settings_file
        self._given = settings
        self._context = self._context_with({})

    def _context_with(self, settings: Mapping[str, Any]) -> Context:
        args = argparse.Namespace(
            profile=self._profile or None,
            settings=self._settings_file or None,
            values={**self._given, **settings},
        )
        return Context(args, output=LoggedOutput(), environ=os.environ, stdin=io.StringIO())

    def submit(
        self,
        *,
        name: str = "",
        run: str = "",
        train: Mapping[str, object] | None = None,
        skip_checks: Sequence[str] = (),
        **settings: Any,
    ) -> Sent:
        """Check a training job and send it; without a cluster it runs here until it ends.

        Args:
            name: Of the job; by default made from its configuration.
            run: Its run directory; by default RUN_ROOT/NAME.
            train: Flags of the trainer, for example {"epochs": 10}.
            skip_checks: Names of checks to leave out; "all" for every one.
            settings: Settings of this job alone, for example gpus=8.

        Raises:
            ConflictError: Another job of that name is there, or this one and it has ended badly.
            LauncherError: A check has failed, or a job of this machine: with its cause.
        """
        from launcher.sending import training
        from launcher.sending.options import SendOptions

        context, options = self._context_with(settings), SendOptions(skip_checks=(*skip_checks,))
        spec = training.prepare(context, _flags(train), options, name=name, run=run)
        return _send(spec, options, context)

    def predict(
        self,
        model: str,
        images: str,
        output: str,
        *,
        name: str = "",
        tasks: int | None = None,
        gpus: int = 0,
        resume: bool = False,
        predict: Mapping[str, object] | None = None,
        skip_checks: Sequence[str] = (),
        **settings: Any,
    ) -> Sent | None:
        """Classify images with an exported model; without a cluster it runs here until it ends.

        Args:
            model: The exported model.
            images: Folder, bucket prefix, glob, list, dataset or archive.
            output: Predictions directory to write.
            name: Of the job; by default made from its configuration.
            tasks: How many share the work; by default from the number of images.
            gpus: One for each task; 0 for CPUs.
            resume: Share what failed tasks left undone among new ones.
            predict: Flags of the prediction, for example {"format": "parquet"}.
            skip_checks: Names of checks to leave out; "all" for every one.
            settings: Settings of this job alone; backend is auto, job or local.

        Returns:
            What was sent; None if the output is complete already.

        Raises:
            LauncherError: A check has failed, or a job of this machine: with its cause.
        """
        from job.contract import flags
        from job.contract.configs import PredictConfig
        from launcher.sending import prediction
        from launcher.sending.options import SendOptions
        from launcher.sending.tasks import Request

        backend = settings.pop("backend", "auto")
        if backend not in ("auto", "job", "local"):
            raise UsageError(f"backend must be one of auto, job, local, not {backend!r}")
        context, options = self._context_with(settings), SendOptions(skip_checks=(*skip_checks,))
        paths = {"model": model, "images": images, "output": output}
        typed = [*context.settings.payer_flags, *_flags(paths), *_flags(predict)]
        spec = prediction.prepare(
            flags.parse(PredictConfig, typed),
            Request(name=name, backend=backend, options=options),
            context,
            task_count=tasks,
            gpus=gpus,
            resume=resume,
        )
        return None if spec is None else _send(spec, options, context)

    def wait(self, job: str, *, timeout_s: float = math.inf) -> "Ending":
        """Wait until a job in the cluster is over; lost connections are waited out.

        Args:
            job: Its name.
            timeout_s: The longest time, in seconds.

        Returns:
            Whether it succeeded, and the cause; a job that failed is no error here.

        Raises:
            NotFoundError: There is no such job (any more).
            TimedOutError: It is not over yet.
        """
        from launcher.observe import waiting

        ending = waiting.wait(self._context.cluster(), job, LOG.info, timeout_s=timeout_s)
        if ending is None:
            raise NotFoundError(f"{job} is gone")
        return ending

    def status(self, run_or_job: str) -> "Status":
        """Tell how a job is doing, or a run whose job is gone or ran on this machine.

        Raises:
            NotFoundError: There is neither such a job nor such a run.
        """
        from launcher.observe import answers, run_paths

        return answers.status(run_paths.find(run_or_job, self._context), self._context)

    def why(self, run_or_job: str) -> "Finding":
        """Say what a job or a run waits for, or why it ended.

        Raises:
            NotFoundError: There is neither such a job nor such a run.
        """
        from launcher.observe import answers, run_paths

        return answers.why(run_paths.find(run_or_job, self._context), self._context).finding

    def logs(
        self,
        run_or_job: str,
        *,
        follow: bool = False,
        replicas: Sequence[str] = (),
        tail: int | None = None,
        attempt: int | None = None,
    ) -> "Iterator[Line]":
        """Yield what all replicas write, merged; of a job that is gone, what its run has kept.

        Args:
            run_or_job: Name of a job, or a run directory.
            follow: Go on until the job is over; it must be in a cluster.
            replicas: Only these, as worker-0 or 0.
            tail: Only the last lines of each replica.
            attempt: Only those of the Nth start, from the run directory.

        Raises:
            NotFoundError: There are no such logs.
            UsageError: There is no job to follow.
        """
        from launcher.observe import following, merged_logs, run_paths
        from launcher.observe.logs import Selection

        selection = Selection(replicas=tuple(replicas), tail=tail)
        found = run_paths.find(run_or_job, self._context)
        if not follow:
            return merged_logs.until_now(found, self._context, selection, attempt=attempt)
        if attempt is not None:
            raise UsageError("follow shows what comes; attempt shows what was")
        cluster, name = following.cluster_of(found, self._context), run_or_job
        return following.lines(cluster, name, selection, self._context.output.note)

    def runs(
        self, root: str = "", *, where: Sequence[str] = (), sort_by: str = "started"
    ) -> "list[RunRecord]":
        """Read all runs of a folder or a bucket, as `launcher runs` shows them.

        Args:
            root: The folder; by default the run root of the settings.
            where: Conditions that must hold, for example "learning_rate>0.001".
            sort_by: Fact or setting to sort by, the largest number first.

        Raises:
            NotFoundError: There are none at all.
            UsageError: A condition is none, or about a name that no run has.
        """
        from launcher.runs import choice

        folder = choice.root_of(root, self._context.settings)
        return choice.selected(folder, list(where), self._context, sort_by)


def _flags(values: Mapping[str, object] | None) -> list[str]:
    """Write flags of a job as they are typed; what is None is left out."""
    return [
        f"--{name}={str(value).lower() if isinstance(value, bool) else value}"
        for name, value in (values or {}).items()
        if value is not None
    ]


def _send(spec: "JobSpec", options: "SendOptions", context: Context) -> Sent:
    from launcher.sending import submit

    code = submit.submit(spec, options, context)
    if code:
        said = context.output.last_error if isinstance(context.output, LoggedOutput) else ""
        raise LauncherError(f"{spec.name} ended: {said or exit_meaning(code)} (exit code {code})")
    return Sent(name=spec.name, output=spec.output, in_cluster=spec.in_cluster)
