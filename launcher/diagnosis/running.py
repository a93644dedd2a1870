"""Jobs that train: how fast, what holds them back, and whether they still do."""

from job.contract.wording import many
from job.contract.worker_report import straggler
from launcher.diagnosis.finding import Finding, clip, names, waiting_for
from launcher.manifests import units
from launcher.observe.state import Pod, Progress, State, Time

_LEAST_SILENCE_S = 300.0
"""No step for so long is worth a word: an evaluation or a large checkpoint may take as long."""
_SILENT_STEPS = 20
_SLOW_INPUT = 0.25
_QUIET_START_S = 600.0


def stepping(state: State) -> bool:
    """Whether steps were reported lately, by the workers that run now."""
    progress = state.progress
    if progress is None or state.age_s(progress.time) > _longest_silence_s(progress):
        return False
    started = [pod.main.started for pod in state.pods if pod.running and pod.main]
    return all(moment is None or progress.time >= moment for moment in started)


def _longest_silence_s(progress: Progress) -> float:
    """Say for how long a job may report no step: some minutes, or more where steps are long."""
    return max(_LEAST_SILENCE_S, _SILENT_STEPS * progress.step_s)


def stalled(state: State) -> Finding | None:
    """All workers run, and no step has been reported for long."""
    progress, job = state.progress, state.job
    if not _all_run(state) or progress is None or progress.state == "done":
        return None
    starts = [pod.main.started for pod in state.pods if pod.main and pod.main.started]
    silent_s = state.age_s(max([progress.time, *starts]))
    if silent_s < _longest_silence_s(progress):
        return None
    done = f"step {progress.step:,} of {progress.total_steps:,}"
    usual = f"; a step usually takes {progress.step_s:.3g} s" if progress.step_s else ""
    return Finding(
        situation="stalled",
        level="warning",
        sentence=f"{job.name} runs, but has reported no step for "
        f"{units.format_seconds(silent_s)} ({done}{usual}).",
        evidence=_last_lines(state, 4),
        mend=(
            "an evaluation or a large checkpoint can take minutes; a worker that hangs is noticed "
            "by the others after --peer_timeout_s and the job starts again",
            f"if nothing changes, restart it: launcher suspend {job.name}, then unsuspend",
        ),
    )


def slow(state: State) -> Finding | None:
    """It trains, but the GPUs wait: for one worker, or for input."""
    progress = state.progress
    if not _all_run(state) or progress is None or not stepping(state):
        return None
    return _straggler(state, progress) or _slow_input(state, progress)


def _straggler(state: State, progress: Progress) -> Finding | None:
    """One worker takes longer than the others, who wait for it at every exchange."""
    found = straggler(progress.workers, progress.step_s)
    if found is None:
        return None
    slowest, share = found
    name, worker = f"worker-{slowest}", progress.workers[slowest]
    node = next((pod.node for pod in state.pods if pod.replica == name), "")
    reads = worker.input_wait >= _SLOW_INPUT
    return Finding(
        situation="straggler",
        level="warning",
        sentence=f"{state.job.name} trains at {_rate(progress)}, held back by {name}"
        + (f" on {node}" if node else "")
        + f": the others wait for it {share:.0%} of their time.",
        evidence=(
            _progress_line(state, progress),
            f"{name} is busy for {worker.busy_s:.3g} s of a step of {progress.step_s:.3g} s, "
            f"{worker.input_wait:.0%} of its time waiting for input",
        ),
        mend=(
            "its input is slow: see what else reads and computes on its node"
            if reads
            else "its node may be shared or throttled: have it looked at",
            f"move it: kubectl cordon {node or 'NODE'}, then launcher suspend {state.job.name} "
            "and unsuspend",
        ),
    )


def _slow_input(state: State, progress: Progress) -> Finding | None:
    if progress.input_wait < _SLOW_INPUT:
        return None
    return Finding(
        situation="slow-input",
        level="warning",
        sentence=f"{state.job.name} trains at {_rate(progress)}, but spends "
        f"{progress.input_wait:.0%} of its time waiting for input.",
        evidence=(_progress_line(state, progress),),
        mend=(
            "give the workers more CPUs (--cpus), or shrink the images once: launcher "
            "make-tfrecords -- --shorter_side=256",
            "a first epoch from a bucket is slower: the shards are cached as they come",
        ),
    )


def finishing(state: State) -> Finding | None:
    """Some workers are done, and the others still work."""
    job = state.job
    done = [pod for pod in state.pods if pod.phase == "Succeeded"]
    rest = [pod for pod in state.pods if pod.phase != "Succeeded"]
    if job.over or not done or not all(pod.running for pod in rest):
        return None
    still = f"; {names(rest)} still {'works' if len(rest) == 1 else 'work'}" if rest else ""
    return Finding(
        situation="finishing",
        level="ok",
        sentence=f"{len(done)} of {many(job.workers, 'worker')} of {job.name} "
        f"{'is' if len(done) == 1 else 'are'} done{still}.",
        evidence=_last_lines(state, 2),
    )


def healthy(state: State) -> Finding | None:
    """It runs as it should, or has just begun."""
    progress, job = state.progress, state.job
    if not _all_run(state):
        return None
    if progress is not None and stepping(state):
        return Finding(
            situation="training" if job.component == "train" else "running",
            level="ok",
            sentence=f"{job.name} trains at {_rate(progress)}: step {progress.step:,} of "
            f"{progress.total_steps:,}{_left(progress)}.",
            evidence=(_progress_line(state, progress),),
        )
    training = job.component == "train"
    who = f"The worker of {job.name} runs"
    if job.workers > 1:
        who = f"All {job.workers} workers of {job.name} run"
    reported = f" and {'has' if job.workers == 1 else 'have'} not reported a step yet"
    if state.checkpoint_step is not None:
        reported = f"; the newest checkpoint is that of step {state.checkpoint_step:,}"
    quiet = training and state.age_s(_youngest(state)) > _QUIET_START_S
    return Finding(
        situation="no-step-yet" if training else "running",
        level="warning" if quiet else "ok",
        sentence=f"{who}{reported if training else ''}.",
        evidence=_last_lines(state, 2),
        mend=(f"see what they do: launcher logs -f {job.name}",),
    )


def _last_lines(state: State, pods: int) -> tuple[str, ...]:
    """Quote the last line of some pods."""
    said = [(pod, state.logs.get(pod.name, ())) for pod in state.pods]
    spoken = [(pod, [line for line in lines if line.strip()]) for pod, lines in said]
    return tuple(clip(f"{pod.replica}: {lines[-1]}") for pod, lines in spoken if lines)[:pods]


def _youngest(state: State) -> Time | None:
    return max((pod.created for pod in state.pods if pod.created), default=None)


def _all_run(state: State) -> bool:
    running: list[Pod] = [pod for pod in state.pods if pod.running]
    return (
        not state.job.over
        and bool(running)
        and len(running) >= min(state.job.workers, len(state.pods))
    )


def _rate(progress: Progress) -> str:
    return f"{progress.examples_per_s:,.0f} images/s"


def _left(progress: Progress) -> str:
    """Estimate the rest from the usual time of a step."""
    if progress.step >= progress.total_steps:
        return ", finishing"
    if not progress.step_s:
        return ""
    left_s = progress.step_s * (progress.total_steps - progress.step)
    return f", about {units.format_seconds(left_s)} left"


def _progress_line(state: State, progress: Progress) -> str:
    loss = f", loss {progress.loss:.4f}" if progress.loss is not None else ""
    ago = units.format_seconds(state.age_s(progress.time))
    saved = f", newest checkpoint: step {state.checkpoint_step:,}" if state.checkpoint_step else ""
    return f"step {progress.step:,}{loss}, input wait {progress.input_wait:.0%}, {ago} ago{saved}"


def unclear(state: State) -> Finding:
    """No rule knows better: say what there is."""
    phases = ", ".join(sorted({f"{pod.replica} {pod.phase}" for pod in state.pods}))
    return Finding(
        situation="unclear",
        level="waiting",
        sentence=f"{state.job.name} has {len(state.pods)} of {state.job.workers} pods after "
        f"{waiting_for(state)}" + (f" ({phases})." if phases else "."),
        mend=(f"see everything: launcher status -v {state.job.name}",),
    )
