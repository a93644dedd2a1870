"""Jobs that are over, or start again: who ended them, and whether it can go better."""

import dataclasses
import math

from job.contract.environment import WORKER_PORT
from job.contract.errors import ExitCode, exit_meaning, restart_may_help
from job.contract.wording import many
from launcher import kinds
from launcher.diagnosis import disruption, running
from launcher.diagnosis.crash import Crash, first_crash, remembered_crash
from launcher.diagnosis.finding import Finding, clip, names, quote
from launcher.manifests import quantities, units
from launcher.observe import phase
from launcher.observe.state import State

_LATELY_S = 300.0
_WHY_KILLED = {
    True: ("137 is how the kernel ends a process, most often for want of memory: --memory",)
}
_REMEDIES = {
    1: ("the traceback above tells where; with a fix in the image, launcher resume goes on from "
        "the newest checkpoint",),
    ExitCode.BAD_CONFIG: ("correct the flag and submit again: python -m job.train --help",),
    ExitCode.BAD_DATA: ("make the dataset anew (launcher make-tfrecords), or leave the damaged "
                        "file out",),
    ExitCode.INPUT_MISSING: ("check --data, --init_checkpoint and --run (launcher check)",),
    ExitCode.DIVERGED: ("lower --learning_rate or --clip_norm, or lengthen --warmup_steps, and "
                        "resume from the newest checkpoint",),
    ExitCode.NO_SPACE: ("give the workers more disk: --scratch-size, --cache-size",),
    ExitCode.DENIED: ("let the job's service account read the dataset and write the run directory "
                      "(see k8s/README.md, Workload Identity)",),
    ExitCode.PEER_LOST: ("look at the worker that was lost first: "
                         "launcher logs {name} --previous",),
    ExitCode.CLUSTER_NOT_FORMED: ("see why the other workers did not come: launcher status -v; "
                                  f"a NetworkPolicy must let port {WORKER_PORT} through between "
                                  "them",),
    ExitCode.STORAGE_UNREACHABLE: ("check that pods reach the bucket (NetworkPolicy, firewall, "
                                   "Private Google Access), then resume",),
    134: ("an abort inside TensorFlow; often a GPU driver or memory problem",),
    139: ("a crash inside native code; try another image or node, and tell the maintainers",),
}  # fmt: skip


def succeeded(state: State) -> Finding | None:
    """The job is done."""
    job = state.job
    if not job.succeeded:
        return None
    took = ""
    if job.finished and (job.started or job.created):
        begun = job.started or job.created
        assert begun is not None
        took = f" after {units.format_seconds((job.finished - begun).total_seconds())}"
    numbers = units.format_metrics(state.metrics)
    steps = f", {state.progress.step:,} steps" if state.progress else ""
    evidence = [f"best evaluation: {numbers}"] if numbers else []
    evidence += [f"run directory: {job.run}"] if job.run else []
    return Finding(
        situation="succeeded",
        level="ok",
        sentence=f"{job.name} succeeded{took}{steps}.",
        evidence=tuple(evidence),
        mend=(f"look at it: launcher tensorboard {job.name}",) if job.component == "train" else (),
    )


_PREDICTION_REMEDIES: dict[int, str] = {
    ExitCode.BAD_CONFIG: "correct the flag: python -m job.predict --help",
    ExitCode.BAD_DATA: "export the model again if it is the model that is damaged",
    ExitCode.INPUT_MISSING: "check --model and --images",
}


def failed(state: State) -> Finding | None:
    """The job is over and has failed."""
    finding = _failed(state)
    if finding is None or state.job.component != "predict":
        return finding
    return _of_prediction(finding, state)


def _of_prediction(finding: Finding, state: State) -> Finding:
    """Say which tasks failed, and how to do what they left, where training would be resumed."""
    job = state.job
    evidence = list(finding.evidence)
    if job.failed_indexes:
        evidence.append(f"failed for good: index {job.failed_indexes} of 0-{job.workers - 1}")
    if done := state.prediction:
        evidence.append(f"{done.images:,} of {done.total_images:,} images are in finished parts")
    remedy = _PREDICTION_REMEDIES.get(finding.exit_code or 0)
    mend = [remedy] if remedy else [text for text in finding.mend if "launcher resume" not in text]
    mend.append("do what is missing: launcher predict --resume, with --model, --images and "
                "--output as before")  # fmt: skip
    return dataclasses.replace(finding, evidence=tuple(evidence), mend=tuple(mend))


def _failed(state: State) -> Finding | None:
    condition = state.job.failed
    if condition is None:
        return None
    text = f"{condition.reason} {condition.message}"
    crash = first_crash(state) or remembered_crash(state)
    if "deadline" in text.lower():
        return _deadline(state)
    permanent = crash is not None and not restart_may_help(crash.exit_code)
    if not permanent:
        taken = disruption.taken_away(state, crashed=crash is not None)
        if taken is not None and kinds.of_object(state.job.kind).fails_on_eviction:
            return disruption.graceful_eviction(state, taken)
    if crash is not None:
        return _crashed(state, crash, spent="backoff limit" in text or "MaxRestarts" in text)
    if "backoff limit" in text or "MaxRestarts" in text:
        return _restarts_spent(state)
    why = clip(condition.message or condition.reason).rstrip(".")
    return Finding(
        situation="failed",
        level="failed",
        sentence=f"{state.job.name} failed: {why}.",
        evidence=tuple(quote(event, state) for event in state.events if event.warning)[-4:],
        mend=(f"what the workers said last: launcher logs {state.job.name}",),
    )


def restarting(state: State) -> Finding | None:
    """Workers ended badly and are started again, or are about to be."""
    job = state.job
    crash = None if job.over else first_crash(state)
    if crash is None:
        return None
    if crash.exit_code == ExitCode.PREEMPTED or disruption.disrupted(crash.pod):
        return disruption.preempted(state) or _crashed(state, crash, spent=False)
    return _crashed(state, crash, spent=False)


def tasks_failed(state: State) -> Finding | None:
    """Tasks have failed for good while others go on."""
    job = state.job
    lost = [pod for pod in state.pods if phase.gave_up(job, pod)]
    if job.over or not job.failed_indexes:
        return None
    crash = first_crash(dataclasses.replace(state, pods=tuple(lost)))
    ended = f": {crash.pod.replica} ended {_how(crash)}" if crash else ""
    return Finding(
        situation="tasks-failed",
        level="warning",
        sentence=f"index {job.failed_indexes} of {job.name} failed for good{ended}; the other "
        "tasks go on.",
        evidence=_crash_evidence(state, crash) if crash else (),
        mend=(f"see why: launcher logs {job.name} --replica {lost[0].replica}",) if lost else (
            f"see which pods are left: launcher status {job.name}",),
        exit_code=crash.exit_code if crash else None,
    )  # fmt: skip


def restarted(state: State) -> Finding | None:
    """A worker has ended badly a moment ago and its pod is a new one, which has not trained yet."""
    crash = None if state.job.over else remembered_crash(state)
    if crash is None or state.age_s(crash.when) > _LATELY_S or running.stepping(state):
        return None
    return _crashed(state, crash, spent=False)


def _deadline(state: State) -> Finding:
    limit = state.job.deadline_s
    shown = f" of {units.format_seconds(limit)}" if limit else ""
    return Finding(
        situation="deadline-exceeded",
        level="failed",
        sentence=f"{state.job.name} was stopped because it reached its longest duration{shown}.",
        evidence=(_how_far(state),) if state.progress else (),
        mend=(f"go on with more time: launcher resume {state.job.name} --max-duration 7d",),
    )


def _how_far(state: State) -> str:
    progress = state.progress
    assert progress is not None
    return f"it had done {progress.step:,} of {progress.total_steps:,} steps"


def _restarts_spent(state: State, said: str = "") -> Finding:
    """The controller has counted the restarts, or the job itself, which `said` why it ended."""
    job = state.job
    told = tuple(quote(event, state) for event in state.events if event.warning)[-4:]
    return Finding(
        situation="restarts-spent",
        level="failed",
        sentence=f"{job.name} failed after {many(job.max_restarts or job.restarts, 'restart')}: no "
        "more are allowed.",
        evidence=(clip(said), *_WHY_KILLED.get("137" in said, ())) if said else told,
        mend=(f"see the last attempts: launcher logs {job.name}",
              f"then go on with more: launcher resume {job.name} --max-restarts 50"),
    )  # fmt: skip


def _crashed(state: State, crash: Crash, *, spent: bool) -> Finding:
    job, pod = state.job, crash.pod
    over = job.over or not restart_may_help(crash.exit_code)
    if crash.exit_code == ExitCode.RESTARTS_SPENT:
        return _restarts_spent(state, crash.said)
    if crash.exit_code == ExitCode.TIME_UP:
        return _deadline(state)
    if crash.reason == "OOMKilled":
        return _out_of_memory(state, crash)
    sentence = f"{pod.replica} of {job.name} ended {_how(crash)}."
    if not over:
        sentence += " It is started again."
    if spent:
        sentence += f" All {job.max_restarts} restarts are used up."
    which = " --previous" if crash.when else ""  # Its pod is a new one already.
    mend = _REMEDIES.get(crash.exit_code, (f"see its log: launcher logs {{name}}{which}",))
    return Finding(
        situation=_situation(crash.exit_code, spent=spent),
        level="failed" if over else "warning",
        sentence=sentence,
        evidence=_crash_evidence(state, crash),
        mend=tuple(each.format(name=job.name) for each in mend),
        exit_code=crash.exit_code,
    )


def _how(crash: Crash) -> str:
    meaning = f" ({exit_meaning(crash.exit_code)})"
    if crash.exit_code == 1:  # says nothing that the error itself does not say better
        meaning = "" if crash.said else " (an unexpected error)"
    said = f": {crash.said}" if crash.said else ""
    return f"with exit code {crash.exit_code}{meaning}{said}".rstrip(".")


def _situation(code: int, *, spent: bool) -> str:
    if spent:
        return "restarts-spent"
    known = {int(each) for each in ExitCode}
    return f"exit-{ExitCode(code).name.lower().replace('_', '-')}" if code in known else "crashed"


def _crash_evidence(state: State, crash: Crash) -> tuple[str, ...]:
    lines = [f"at {frame}" for frame in crash.where]
    if crash.followers:
        codes = sorted({str(each.exit_code) for each in crash.followers if each.exit_code})
        lines.append(
            f"{names(crash.followers)} ended after it (exit code {', '.join(codes) or 'unknown'}): "
            "follow-on errors"
        )
    if crash.exit_code == ExitCode.PEER_LOST:
        lines.append("every worker that is still known ended because of another one")
    # A Job counts failed pods; where none may be started again, none of them was a restart.
    if state.job.restarts and state.job.max_restarts != 0:
        lines.append(f"restarts so far: {phase.restarts(state.job)}")
    if state.checkpoint_step is not None:
        lines.append(f"newest checkpoint: step {state.checkpoint_step:,}")
    return tuple(lines)


def _out_of_memory(state: State, crash: Crash) -> Finding:
    job, name = state.job, crash.pod.replica
    text = job.limits.get("memory", "")
    limit = quantities.parse(text) if text else 0.0
    shown = quantities.show("memory", limit) if limit else "its memory limit"
    peak = _memory_peak(state, name)
    told = f"; the highest it reported was {quantities.show('memory', peak)}" if peak else ""
    if peak and state.progress:
        told += f", by step {state.progress.step:,}"
    return Finding(
        situation="oom-killed",
        level="failed" if job.over else "warning",
        sentence=f"{name} of {job.name} was killed for using more than its {shown}{told}"
        + ("." if job.over else "; it is started again and will meet the same limit."),
        evidence=_crash_evidence(state, crash),
        mend=(
            "give the workers more: --memory"
            + (f" {_more_than(limit)}" if limit else "")
            + "; /dev/shm and files in memory count too",
            "or use less: a smaller --global_batch_size, more --accumulate_steps, smaller --shm",
        ),
        exit_code=crash.exit_code,
    )


def _memory_peak(state: State, replica: str) -> int:
    """Find what a worker last reported as the most that it had used; 0 if it never did."""
    reports = state.progress.workers if state.progress else ()
    index = replica.rpartition("-")[2]
    known = index.isdecimal() and int(index) < len(reports)
    return int(reports[int(index)].memory_peak_bytes) if known else 0


def _more_than(limit_bytes: float) -> str:
    """Propose half as much again, in whole GiB."""
    return f"{math.ceil(1.5 * limit_bytes / units.GIB)}Gi"
