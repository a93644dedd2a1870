"""Pods that were taken away: preempted, drained, evicted, lost with their node."""

from job.contract.errors import ExitCode
from launcher.diagnosis.finding import Finding, clip, names, quote
from launcher.observe.state import Pod, State

_DISRUPTION = "DisruptionTarget"
_TAKEN_EVENTS = ("Preempted", "Preempting", "TaintManagerEviction", "NodeShutdown", "Evicted",
                 "Shutdown", "PreemptContainer", "NodeNotReady")  # fmt: skip


def preempted(state: State) -> Finding | None:
    """Pods were taken away: by a more important one, a drain, a spot node, pressure on a node."""
    if state.job.over:
        return None
    evicted = [pod for pod in state.pods if pod.reason == "Evicted"]
    if evicted:
        return _evicted(state, evicted)
    gone = [pod for pod in state.pods if disrupted(pod)]
    if not gone:
        return None
    return Finding(
        situation="preempted",
        level="warning",
        sentence=f"{names(gone)} of {state.job.name} {_were(gone)} taken away ({_why_taken(gone)})"
        f"; {_goes_on(state)}.",
        evidence=_taken_evidence(state, gone),
        mend=("the controller starts new pods by itself; a JobSet restarts all workers together",),
    )


def disrupted(pod: Pod) -> bool:
    """Whether a pod ended because of its node or of somebody's decision, not by itself."""
    condition = pod.condition(_DISRUPTION)
    return (condition is not None and condition.true) or pod.reason in (
        "Evicted", "Preempting", "NodeLost", "Terminated", "Shutdown", "NodeShutdown",
    )  # fmt: skip


def _were(pods: list[Pod]) -> str:
    return "was" if len(pods) == 1 else "were"


def _why_taken(pods: list[Pod]) -> str:
    condition = pods[0].condition(_DISRUPTION)
    reason = condition.reason if condition else pods[0].reason
    return {
        "PreemptionByScheduler": "a job of higher priority needed the place",
        "DeletionByTaintManager": "the node was lost or tainted",
        "DeletionByPodGC": "the node is gone",
        "TerminationByKubelet": "the node is shutting down, as spot nodes do",
        "EvictionByEvictionAPI": "the node is being drained",
        "Terminated": "the node is shutting down, as spot nodes do",
        "Preempting": "a job of higher priority needed the place",
    }.get(reason, reason or "their node went")


def _goes_on(state: State) -> str:
    if state.checkpoint_step is not None:
        return f"training goes on from the checkpoint of step {state.checkpoint_step:,}"
    return "no checkpoint is there yet, so it starts over"


def taken_away(state: State, *, crashed: bool) -> list[Pod] | None:
    """Find pods that were taken away, also if only events tell of them; None if none was.

    Where no worker has `crashed`, a kubelet that stopped a container did so for somebody else.
    """
    gone = [pod for pod in state.pods if disrupted(pod) or (pod.deleting and not state.job.over)]
    if gone:
        return gone
    told = _TAKEN_EVENTS if crashed else (*_TAKEN_EVENTS, "Killing")
    return [] if state.events_of(*told) else None


def _taken_evidence(state: State, gone: list[Pod]) -> tuple[str, ...]:
    lines = [
        clip(f"{pod.replica} on {pod.node}: {pod.reason} {pod.message}")
        for pod in gone[:3]
        if pod.message
    ]
    lines += [quote(event, state) for event in state.events_of(*_TAKEN_EVENTS, "Killing")[:3]]
    lines += [
        clip(f"{pod.replica}: {c.reason}: {c.message}")
        for pod in gone[:3]
        if (c := pod.condition(_DISRUPTION)) is not None
    ]
    return tuple(lines)


def _evicted(state: State, pods: list[Pod]) -> Finding:
    text = pods[0].message
    what, mend = "its node ran short of something", "ask for what it uses: --memory, --cache-size"
    if "ephemeral" in text or "EmptyDir" in text or "emptyDir" in text:
        what = "it wrote more to its disk than it had asked for"
        mend = "give it more disk: --scratch-size, --cache-size"
    elif "memory" in text:
        what, mend = "its node ran out of memory", "ask for more memory: --memory"
    return Finding(
        situation="evicted",
        level="failed" if state.job.over else "warning",
        sentence=f"{names(pods)} of {state.job.name} {_were(pods)} evicted: {what}.",
        evidence=tuple(clip(f"{pod.replica} on {pod.node}: {pod.message}") for pod in pods[:3]),
        mend=(mend, f"then: launcher resume {state.job.name}"),
    )


def graceful_eviction(state: State, gone: list[Pod]) -> Finding:
    """A TFJob failed for good because a pod was moved (kubeflow/trainer issues 1560, 2124)."""
    evicted = [pod for pod in gone if pod.reason == "Evicted"]
    if evicted:
        return _evicted(state, evicted)
    who = names(gone) if gone else "a worker"
    why = f" ({_why_taken(gone)})" if gone else ""
    return Finding(
        situation="tfjob-evicted",
        level="failed",
        sentence=f"{state.job.name} failed because {who} was moved off its node{why}: the training "
        "operator counts a gracefully evicted pod as a failure of the whole TFJob.",
        evidence=_taken_evidence(state, gone),
        mend=(
            f"go on from the newest checkpoint: launcher resume {state.job.name}"
            + (f" (step {state.checkpoint_step:,})" if state.checkpoint_step is not None else ""),
            "a JobSet survives this: launcher resume --backend jobset",
        ),
        exit_code=ExitCode.PREEMPTED,
    )
