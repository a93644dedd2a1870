"""`--then=evaluate,export`: what follows training in the same allocation, by its first worker.

Training itself runs as a child, so that its GPUs are free for what follows. Started again after an
interruption, training finds that it is complete, and the steps that are done are passed over.
"""

import dataclasses
import logging
import os
import sys
import time
from collections.abc import Mapping

from job import storage
from job.contract import environment, flags, layout
from job.contract.configs import EvaluateConfig, ExportConfig, TrainConfig
from job.contract.errors import DataError, ExitCode, JobError, restart_may_help
from job.contract.follow_up import parse_names
from job.contract.follow_up_file import (
    DONE,
    FAILED,
    FORMAT,
    RUNNING,
    WAITING,
    FollowUps,
    FollowUpStep,
)
from job.contract.progress_file import MAX_BYTES, RunProgress
from job.distributed.cluster import read_cluster
from job.process.sequence import Sequencer
from job.storage import documents
from job.training import notification

_log = logging.getLogger(__name__)
_OF_THE_CLUSTER = ("TF_CONFIG", "JOBSET_NAME", "REPLICATED_JOB_NAME", "NUM_WORKERS")
"""Variables that speak of other workers; what follows is done by one process."""


def leads(config: TrainConfig, environ: Mapping[str, str] = os.environ) -> bool:
    """Whether this process has something to do after training."""
    wanted = bool(config.then or environ.get(environment.NOTIFY_URL))
    return wanted and read_cluster(environ).is_chief


def train_then(config: TrainConfig, environ: Mapping[str, str] = os.environ) -> int:
    """Train, do what follows, tell NOTIFY_URL; gives the code of what ended badly, or 0."""
    sequencer = Sequencer()
    url = environ.get(environment.NOTIFY_URL, "")
    trains = {name: environ[name] for name in environ if name != environment.NOTIFY_URL}
    with sequencer.handling_signals():
        code = sequencer.run(_train_command(config), trains)
        if not code:
            alone = {name: trains[name] for name in trains if name not in _OF_THE_CLUSTER}
            code = _follow(config, sequencer, alone)
        if url:
            notification.send(url, config.run, code)
        return code


def _train_command(config: TrainConfig) -> list[str]:
    trains = dataclasses.replace(config, then="")
    return [sys.executable, "-m", "job.train", *flags.to_args(trains)]


def _follow(config: TrainConfig, sequencer: Sequencer, environ: Mapping[str, str]) -> int:
    trained = _trained_step(config.run)
    before = _read(config.run)
    names = parse_names(config.then)
    if not names:
        return ExitCode.DONE
    ups = FollowUps(
        steps=tuple(
            _earlier(before, name)
            if before.done(name, trained)
            else FollowUpStep(name=name, output=_output(config, name), trained_step=trained)
            for name in names
        )
    )
    for number, name in enumerate(names):
        step = ups.steps[number]
        if step.state == DONE:
            _log.info("%s is done already: %s", name, step.output)
            continue
        ups = _note(config.run, ups.having(dataclasses.replace(step, state=RUNNING, began=_now())))
        _log.info("next: %s into %s", name, step.output)
        code = sequencer.run(_command(config, name), environ)
        ups = _note(config.run, ups.having(_ended(ups.steps[number], code)))
        if code:
            return code
    return ExitCode.DONE


def _ended(step: FollowUpStep, code: int) -> FollowUpStep:
    """Say how a step ended; one that a restart will do again waits for it."""
    state = DONE if code == 0 else WAITING if restart_may_help(code) else FAILED
    return dataclasses.replace(step, state=state, ended=_now(), exit_code=code)


def _command(config: TrainConfig, name: str) -> list[str]:
    """Give the command that a person would type for a step."""
    if name == "evaluate":
        step: EvaluateConfig | ExportConfig = EvaluateConfig(
            data=config.data,
            run=config.run,
            cache_dir=config.cache_dir,
            cache_size_gb=config.cache_size_gb,
            storage_deadline_s=config.storage_deadline_s,
            billing_project=config.billing_project,
        )
    else:
        step = ExportConfig(
            run=config.run,
            output=_output(config, name),
            overwrite=True,  # Of an earlier state of training, or of an attempt that was cut off.
            storage_deadline_s=config.storage_deadline_s,
            billing_project=config.billing_project,
        )
    return [sys.executable, "-m", f"job.{name}", *flags.to_args(step)]


def _output(config: TrainConfig, name: str) -> str:
    return layout.report_dir(config.run) if name == "evaluate" else layout.model_dir(config.run)


def _earlier(before: FollowUps, name: str) -> FollowUpStep:
    return next(step for step in before.steps if step.name == name)


def _trained_step(run: str) -> int | None:
    try:
        progress = documents.read(layout.progress_file(run), RunProgress, max_bytes=MAX_BYTES)
    except JobError:
        return None
    return progress.step


def _read(run: str) -> FollowUps:
    path = layout.follow_up_file(run)
    try:
        return documents.read(path, FollowUps, formats=(FORMAT,))
    except storage.NotFoundError:
        return FollowUps()
    except DataError as error:
        _log.warning("%s: what was done before is done again", error)
        return FollowUps()


def _note(run: str, ups: FollowUps) -> FollowUps:
    """Tell others; that it cannot be told keeps nothing from being done."""
    try:
        documents.write(layout.follow_up_file(run), ups)
    except (JobError, OSError) as error:
        _log.warning("%s could not be written: %s", layout.follow_up_file(run), error)
    return ups


def _now() -> float:
    return round(time.time(), 3)
