"""Before there are pods: suspended, queued, refused, or nobody takes care of the job."""

import re

from job.contract.wording import many
from launcher import kinds
from launcher.diagnosis.finding import Finding, clip, quote, waiting_for
from launcher.kinds import ClusterKind
from launcher.manifests import labels
from launcher.observe.state import Event, State

_NOTICED_AFTER_S = 45.0
_CREATION_EVENTS = (
    "FailedCreatePod", "FailedCreate", "JobCreationFailed", "HeadlessServiceCreationFailed",
    "FailedCreateService",
)  # fmt: skip
_QUOTA = re.compile(r"exceeded quota: ([^,]+), requested: (.*?), used: (.*?), limited: (.*)")
_POD_SECURITY = re.compile(r'violates PodSecurity "([^"]+)": (.*)')
_SERVICE_ACCOUNT = re.compile(r'(?:serviceaccount|service account) "?([\w./-]+)"? not found')
_PRIORITY = re.compile(r"no PriorityClass with name (\S+) was found")
_WEBHOOK = re.compile(r'admission webhook "([^"]+)" denied the request: ?(.*)')
_LIMIT_RANGE = re.compile(
    r"forbidden: \[?((?:maximum|minimum) [\w.-]+ usage per (?:Pod|Container).*)"
)
_MORE_QUOTA = re.compile(r"([\w./-]+) in flavor ([\w.-]+), ([\w.]+) more needed")


def suspended(state: State) -> Finding | None:
    """Somebody has suspended the job, or cancelled it; Kueue's jobs are told of by `queued`."""
    job = state.job
    if job.cancelled:
        return Finding(
            situation="cancelled",
            level="failed",
            sentence=f"{job.name} was cancelled{_kept(state)}.",
            mend=(
                f"go on from its checkpoint: launcher resume {job.name}",
                f"remove it: launcher delete {job.name}",
            ),
        )
    on_hold = state.workload is not None and not state.workload.active
    if on_hold or (job.suspended and not job.queue):
        return Finding(
            situation="suspended",
            level="waiting",
            sentence=f"{job.name} is suspended and has no pods{_kept(state)}.",
            mend=(f"let it go on: launcher unsuspend {job.name}",),
        )
    return None


def _kept(state: State) -> str:
    if state.checkpoint_step is None:
        return ""
    return f"; its checkpoint of step {state.checkpoint_step:,} is kept"


def kueue_ignores(state: State) -> Finding | None:
    """The job names a queue, but Kueue has made no Workload for it: facts of Kueue 0.19."""
    job = state.job
    if not job.queue or state.kueue_handles is not False:
        return None
    if state.queue and not state.queue.exists:
        return Finding(
            situation="queue-missing",
            level="failed",
            sentence=f"the queue {job.queue!r} does not exist in namespace {job.namespace!r}, so "
            f"{job.name} will never be admitted.",
            mend=(
                "see which there are: kubectl get localqueues",
                f"submit to one of them: launcher delete {job.name}, then submit with --queue",
            ),
        )
    if state.pods or state.age_s(job.created) < _NOTICED_AFTER_S:
        return None
    return Finding(
        situation="kueue-ignores-kind",
        level="failed",
        sentence=f"Kueue does not handle {job.kind}s here: after {waiting_for(state)} it has made "
        f"no Workload for {job.name}, which stays suspended for ever.",
        evidence=(f"queue {job.queue!r} is there; no Workload is owned by {job.name}",),
        mend=_mend_ignored(kinds.of_object(job.kind)),
    )


def _mend_ignored(kind: ClusterKind) -> tuple[str, ...]:
    other = kinds.alternative(kind)
    switch = f"switch {kind.queue_framework} on in Kueue's configuration"
    if other is None or kind.queued_by_default:
        return (f"have the administrator {switch}",)
    return (
        f"submit it as {other.phrase}, which Kueue handles by default: --backend {other.name}",
        f"or have the administrator {switch}",
    )


def queued(state: State) -> Finding | None:
    """Kueue holds the job back: no quota yet, a check, or an eviction."""
    job, workload = state.job, state.workload
    if workload is None or workload.condition("Admitted") or job.over or not job.suspended:
        return None
    queue = f"queue {job.queue!r}"
    if state.queue and state.queue.cluster_queue:
        queue += f" (ClusterQueue {state.queue.cluster_queue!r})"
    reserved = workload.condition("QuotaReserved", true=False)
    reason = reserved.message if reserved else ""
    if state.queue and not state.queue.active:
        sentence = f"{job.name} waits in {queue}, which is stopped: {state.queue.message}."
    elif workload.condition("QuotaReserved"):
        sentence = f"{job.name} has its quota in {queue} and waits for admission checks."
    else:
        sentence = f"{job.name} waits in {queue}{_place(state)}{_missing_quota(reason)}."
    evidence = [f"Kueue: {clip(reason)}"] if reason else []
    evicted = workload.condition("Evicted")
    if evicted:
        evidence.append(f"it ran before and was evicted ({evicted.reason}): {evicted.message}")
    never = "maximum capacity" in reason or (reserved and reserved.reason == "ExceedsMaxQuota")
    if never:
        sentence = f"{job.name} asks for more than {queue} can ever give{_missing_quota(reason)}."
    return Finding(
        situation="exceeds-queue" if never else "queued",
        level="failed" if never else "waiting",
        sentence=sentence,
        evidence=tuple(evidence),
        mend=(
            f"{_ask_for_less(state)} or submit to another --queue",
            "see the queue: kubectl get workloads",
        ),
    )


def _ask_for_less(state: State) -> str:
    if state.job.resources.get(labels.GPU):
        return "ask for fewer GPUs (--gpus)"
    return "ask for less (--workers, --cpus, --memory)"


def _place(state: State) -> str:
    workload = state.workload
    if workload is None or workload.position is None:
        return f" for {waiting_for(state)}"
    ahead = workload.position - 1
    if ahead == 0:
        return " as the first in line"
    return (
        f" at position {workload.position} of {workload.pending} ({many(ahead, 'job')} before it)"
    )


def _missing_quota(reason: str) -> str:
    match = _MORE_QUOTA.search(reason)
    return f": {match[3]} more {match[1]} must become free in flavor {match[2]}" if match else ""


def refused_pods(state: State) -> Finding | None:
    """The cluster does not let the controller create the pods."""
    if state.job.over or len(state.pods) >= state.job.workers or state.job.suspended:
        return None
    events = state.events_of(*_CREATION_EVENTS)
    if not events:
        return None
    event = events[0]
    for explain in (_quota, _security, _service_account, _priority, _webhook, _limit_range):
        finding = explain(event, state)
        if finding:
            return finding
    return _refusal(
        event, state, "creation-failed", f"its pods cannot be created: {clip(event.message)}",
        "mend what the message names, then wait: the controller tries again",
    )  # fmt: skip


def _refusal(event: Event, state: State, situation: str, why: str, *mend: str) -> Finding:
    return Finding(
        situation=situation,
        level="failed",
        sentence=f"{state.job.name} has {len(state.pods)} of {state.job.workers} pods: {why}.",
        evidence=(quote(event, state),),
        mend=mend,
    )


def _quota(event: Event, state: State) -> Finding | None:
    match = _QUOTA.search(event.message)
    if not match:
        return None
    return _refusal(
        event, state, "quota-exceeded",
        f"the quota {match[1]!r} of namespace {state.job.namespace!r} is used up (each pod asks "
        f"for {match[2]}; used {match[3]} of {match[4]})",
        f"free some (launcher list shows your jobs), {_ask_for_less(state)}, or have the quota "
        "raised",
        f"see it: kubectl describe quota {match[1]} -n {state.job.namespace}",
    )  # fmt: skip


def _security(event: Event, state: State) -> Finding | None:
    match = _POD_SECURITY.search(event.message)
    if not match:
        return None
    return _refusal(
        event, state, "pod-security",
        f"Pod Security {match[1]!r} of the namespace forbids them ({match[2]})",
        "the launcher's own manifests satisfy `restricted`: look for what was added to them",
    )  # fmt: skip


def _service_account(event: Event, state: State) -> Finding | None:
    match = _SERVICE_ACCOUNT.search(event.message)
    if not match:
        return None
    name = match[1].rpartition("/")[2]
    return _refusal(
        event, state, "service-account-missing",
        f"the service account {name!r} does not exist in namespace {state.job.namespace!r}",
        "create it: launcher setup, or name another: --service-account",
    )  # fmt: skip


def _priority(event: Event, state: State) -> Finding | None:
    match = _PRIORITY.search(event.message)
    if not match:
        return None
    return _refusal(
        event, state, "priority-class-missing", f"there is no priority class {match[1]!r}",
        "see which there are: kubectl get priorityclasses; then submit with --priority",
    )  # fmt: skip


def _webhook(event: Event, state: State) -> Finding | None:
    match = _WEBHOOK.search(event.message)
    if not match:
        return None
    return _refusal(
        event, state, "admission-denied", f"the policy {match[1]!r} refuses them: {clip(match[2])}",
        "ask the platform team what the policy wants, or change the setting it names",
    )  # fmt: skip


def _limit_range(event: Event, state: State) -> Finding | None:
    match = _LIMIT_RANGE.search(event.message)
    if not match:
        return None
    return _refusal(
        event, state, "limit-range",
        f"the namespace's LimitRange forbids them: {clip(match[1]).rstrip(']')}",
        "ask for what it allows (--cpus, --memory), or have it changed",
    )  # fmt: skip


def unattended(state: State) -> Finding | None:
    """No controller has said a word about the job."""
    job = state.job
    if job.conditions or state.pods or job.suspended or state.events:
        return None
    if state.age_s(job.created) < _NOTICED_AFTER_S:
        return None
    controller = kinds.of_object(job.kind).controller.name
    return Finding(
        situation="controller-silent",
        level="failed",
        sentence=f"{controller} has taken no note of {job.name} in {waiting_for(state)}: it is "
        "probably not running.",
        mend=("ask the administrator to look at it (kubectl get pods -A | grep -i operator)",),
    )
