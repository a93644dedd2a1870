"""Jobs whose pods have begun, but not to train: they lack a worker, each other, or storage."""

import re

from job.contract.environment import WORKER_PORT
from job.contract.wording import many
from launcher.diagnosis.finding import Finding, clip, names
from launcher.diagnosis.running import stepping
from launcher.observe.state import State

_STEP = re.compile(r"step [\d,]+/")
_PEERS = re.compile(r"waiting at most [\d.]+ s for (.+)")
_UNRESOLVED = re.compile(
    r"(?i)name or service not known|could not be resolved|does not resolve"
    r"|temporary failure in name resolution|nodename nor servname"
)
_STORAGE = re.compile(
    r"(?i)(gs://|storage|bucket).*(retry|trying again|unreachable|does not answer|timed? ?out)"
    r"|(retry|trying again).*(gs://|storage|bucket)|storage fails since"
)


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
    if state.job.over or len(running) < 2 or stepping(state):
        return None
    said = [line for pod in running for line in state.logs.get(pod.name, ())[-15:]]
    if any(_STEP.match(line) for line in said):  # only the chief goes on to speak
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
        mend=(mend, f"a NetworkPolicy must let port {WORKER_PORT} through between the job's pods"),
    )


def storage(state: State) -> Finding | None:
    """The workers wait for the bucket."""
    if state.job.over or stepping(state):
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
