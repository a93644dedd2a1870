"""Jobs whose pods run: do they find each other, do they take steps, and how fast."""

import re

from launcher import units
from launcher.diagnosis.finding import Finding, clip, many, names, waiting_for
from launcher.state import Pod, Progress, State, Time

STALLED_AFTER_S = 300.0
_SLOW_INPUT = 0.25
_QUIET_START_S = 600.0
_PEERS = re.compile(r"waiting at most [\d.]+ s for (.+)")
_UNRESOLVED = re.compile(
    r"(?i)name or service not known|could not be resolved|does not resolve"
    r"|temporary failure in name resolution|nodename nor servname"
)
_STORAGE = re.compile(
    r"(?i)(gs://|storage|bucket).*(retry|trying again|unreachable|does not answer|timed? ?out)"
    r"|(retry|trying again).*(gs://|storage|bucket)|storage fails since"
)
_STRAGGLER = re.compile(r"(?i)(straggler|slowest worker|waits? for worker).*")


def incomplete(state: State) -> Finding | None:
    """Some workers run, others do not exist yet: all-reduce cannot begin."""
    job = state.job
    running = [pod for pod in state.pods if pod.running]
    if job.over or job.suspended or not running or len(running) >= job.workers:
        return None
    leaving = [pod for pod in state.pods if pod.deleting]
    if leaving:
        return Finding(
            situation="stopping",
            level="waiting",
            sentence=f"{names(leaving)} of {job.name} {'is' if len(leaving) == 1 else 'are'} "
            "stopping (saving a checkpoint first).",
        )
    if len(state.pods) >= job.workers:
        return None
    missing = job.workers - len(state.pods)
    return Finding(
        situation="incomplete",
        level="waiting",
        sentence=f"{len(running)} of {job.workers} workers of {job.name} run and wait for "
        f"{many(missing, 'pod')} that {'does' if missing == 1 else 'do'} not exist (any more).",
        mend=("the controller makes them anew; if that lasts, see its events: launcher status -v",),
    )


def peers(state: State) -> Finding | None:
    """The workers look for each other."""
    running = [pod for pod in state.pods if pod.running]
    if state.job.over or len(running) < 2 or _stepping(state):
        return None
    searching = [(pod, line) for pod in running for line in state.logs.get(pod.name, ())[-15:]
                 if _PEERS.search(line) or _UNRESOLVED.search(line)]  # fmt: skip
    if not searching:
        return None
    unresolved = [line for _, line in searching if _UNRESOLVED.search(line)]
    pods = list({pod.name: pod for pod, _ in searching}.values())
    one = len(pods) == 1
    why = "the names of its peers do not resolve" if one else "their peers' names do not resolve"
    if not unresolved:
        why = "it waits for its peers" if one else "they wait for each other"
    mend = "names resolve once every pod is ready; it takes up to a minute"
    if unresolved and state.age_s(state.job.created) > 180:
        mend = "check the job's headless services (kubectl get services) and the cluster's DNS"
    return Finding(
        situation="peers",
        level="waiting",
        sentence=f"{names(pods)} of {state.job.name} {'has' if one else 'have'} started, but "
        f"{why}.",
        evidence=tuple(clip(f"{pod.replica}: {line}") for pod, line in searching[-3:]),
        mend=(mend, "a NetworkPolicy must let port 2222 through between the job's pods"),
    )


def storage(state: State) -> Finding | None:
    """The workers wait for the bucket."""
    if state.job.over or _stepping(state):
        return None
    found = [
        (pod, line)
        for pod in state.pods
        if pod.running
        for line in state.logs.get(pod.name, ())[-8:]
        if _STORAGE.search(line)
    ]
    if not found:
        return None
    pod, line = found[-1]
    return Finding(
        situation="storage",
        level="warning",
        sentence=f"{pod.replica} of {state.job.name} waits for storage.",
        evidence=(clip(f"{pod.replica}: {line}"),),
        mend=("check that pods reach the bucket; the workers go on trying by themselves",),
    )


def _stepping(state: State) -> bool:
    """Whether steps were reported lately, by the workers that run now."""
    progress = state.progress
    if progress is None or state.age_s(progress.time) > STALLED_AFTER_S:
        return False
    started = [pod.main.started for pod in state.pods if pod.running and pod.main]
    return all(moment is None or progress.time >= moment for moment in started)


def stalled(state: State) -> Finding | None:
    """All workers run, and no step has been reported for long."""
    progress, job = state.progress, state.job
    if not _all_run(state) or progress is None or progress.state == "done":
        return None
    starts = [pod.main.started for pod in state.pods if pod.main and pod.main.started]
    silent_s = state.age_s(max([progress.time, *starts]))
    if silent_s < STALLED_AFTER_S:
        return None
    return Finding(
        situation="stalled",
        level="warning",
        sentence=f"{job.name} runs, but has reported no step for "
        f"{units.format_seconds(silent_s)} (step {progress.step:,} of {progress.total_steps:,}).",
        evidence=_last_lines(state, 4),
        mend=(
            "an evaluation or a large checkpoint can take minutes; a worker that hangs is noticed "
            "by the others after --peer_timeout_s and the job starts again",
            f"if nothing changes, restart it: launcher suspend {job.name}, then unsuspend",
        ),
    )


def slow(state: State) -> Finding | None:
    """It trains, but the GPUs wait: for input, or for one worker."""
    progress = state.progress
    if not _all_run(state) or progress is None or not _stepping(state):
        return None
    if progress.input_wait >= _SLOW_INPUT:
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
    lines = [(pod, line) for pod in state.pods for line in state.logs.get(pod.name, ())[-30:]
             if _STRAGGLER.search(line)]  # fmt: skip
    if lines:
        pod, line = lines[-1]
        return Finding(
            situation="straggler",
            level="warning",
            sentence=f"{state.job.name} trains at {_rate(progress)}, held back by one worker.",
            evidence=(clip(f"{pod.replica}: {line}"), *_nodes(state)),
            mend=("its node may be shared or throttled: have it looked at, or delete its pod",),
        )
    return None


def _nodes(state: State) -> list[str]:
    return [f"{pod.replica} runs on {pod.node}" for pod in state.pods[:8] if pod.node]


def healthy(state: State) -> Finding | None:
    """It runs as it should, or has just begun."""
    progress, job = state.progress, state.job
    if not _all_run(state):
        return None
    if progress is not None and _stepping(state):
        return Finding(
            situation="training" if job.component == "train" else "running",
            level="ok",
            sentence=f"{job.name} trains at {_rate(progress)}: step {progress.step:,} of "
            f"{progress.total_steps:,}{_left(state, progress)}.",
            evidence=(_progress_line(state, progress),),
        )
    quiet = job.component == "train" and state.age_s(_youngest(state)) > _QUIET_START_S
    return Finding(
        situation="no-step-yet" if job.component == "train" else "running",
        level="warning" if quiet else "ok",
        sentence=f"All {many(job.workers, 'worker')} of {job.name} run"
        + (" and have not reported a step yet." if job.component == "train" else "."),
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


def _left(state: State, progress: Progress) -> str:
    """Estimate the rest from the steps of this job so far."""
    begun = state.job.started or state.job.created
    spent = (progress.time - begun).total_seconds() if begun else 0.0
    if progress.step <= 0 or spent <= 0 or state.job.restarts:
        return ""
    left_s = spent / progress.step * (progress.total_steps - progress.step)
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
