"""Pods without a node: which resource is missing, who holds it, and whether nodes will come."""

import re

from job.contract.wording import many
from launcher.describe import clouds
from launcher.diagnosis.finding import Finding, clip, names, quote, waiting_for
from launcher.manifests import labels, quantities, units
from launcher.observe.state import Capacity, Job, Node, Pod, State

_INSUFFICIENT = re.compile(r"(\d+) Insufficient ([\w./-]*\w)")
_TAINT = re.compile(r"untolerated taint(?:\(s\)|s)? ?\{([^}]*)\}")
_CLAIM = re.compile(r'persistentvolumeclaim "([^"]+)" not found')
_NOT_THE_CAUSE = re.compile(r",? (no new claims to deallocate|preemption: )")
_SHOWN_HOLDERS = 4
_GROWING = ("TriggeredScaleUp",)
_NOT_GROWING = ("NotTriggerScaleUp", "FailedScaleUp")


def unschedulable(state: State) -> Finding | None:
    """The scheduler finds no node for some pods."""
    if state.job.over:
        return None
    waiting = [pod for pod in state.pods if pod.phase == "Pending" and not pod.node]
    if not waiting:
        return None
    message = _scheduler_says(state, waiting) or (state.gang.message if state.gang else "")
    if not message and not state.gang:
        return _not_looked_at(state, waiting)
    for explain in (_claim, _resources, _placement, _gang):
        finding = explain(state, waiting, message)
        if finding:
            return finding
    return _finding(state, waiting, message, "unschedulable", f"the scheduler says: {message}")


def _scheduler_says(state: State, waiting: list[Pod]) -> str:
    for pod in waiting:
        condition = pod.condition("PodScheduled")
        if condition and not condition.true and condition.message:
            return clip(condition.message)
    mine = {pod.name for pod in waiting}
    events = [e for e in state.events_of("FailedScheduling") if e.name in mine]
    return clip(events[0].message) if events else ""


def _not_looked_at(state: State, waiting: list[Pod]) -> Finding | None:
    """Nobody has tried: a gate (Kueue), or another scheduler (a gang) that is not there."""
    gated = [
        p for p in waiting if (c := p.condition("PodScheduled")) and c.reason == "SchedulingGated"
    ]
    if gated:
        return Finding(
            situation="gated",
            level="waiting",
            sentence=f"{names(gated)} of {state.job.name} may not be scheduled yet: a scheduling "
            "gate is set on them (Kueue removes it on admission).",
        )
    if state.age_s(waiting[0].created) < 30:
        return None
    return Finding(
        situation="scheduler-silent",
        level="warning",
        sentence=f"{many(len(waiting), 'pod')} of {state.job.name} have been waiting for "
        f"{waiting_for(state)} and no scheduler has looked at them.",
        mend=("check that the scheduler named in the pods' schedulerName is running",),
    )


def _claim(state: State, waiting: list[Pod], message: str) -> Finding | None:
    match = _CLAIM.search(message)
    if match:
        why = f"the volume claim {match[1]!r} does not exist in namespace {state.job.namespace!r}"
        return _finding(state, waiting, message, "volume-missing", why, "create the claim")
    if "unbound immediate PersistentVolumeClaims" in message:
        why = "their volume claim is not bound to a volume yet"
        return _finding(
            state, waiting, message, "volume-unbound", why, "see why: kubectl describe pvc"
        )
    return None


def _resources(state: State, waiting: list[Pod], message: str) -> Finding | None:
    short = [match[2] for match in _INSUFFICIENT.finditer(message)]
    if not short:
        return None
    resource = labels.GPU if labels.GPU in short else short[0]
    needs = state.job.resources.get(resource, 0.0)
    why = f"each needs {quantities.show(resource, needs)}"
    level = "waiting"
    if state.capacity:
        most, total, nodes = _free(state.capacity, state.job, resource)
        largest = max((node.allocatable[resource] for node in nodes), default=0.0)
        if needs > largest > 0:
            why += f", and the largest node that the job may use has {largest:g}"
        else:
            why += f", and {_offer(resource, most, total, nodes)}"
            if state.capacity.others_hidden and most >= needs:
                why += ", less what pods of other namespaces hold, which you may not see"
        if needs > largest and not state.capacity.autoscaled:
            level = "failed"
    mend = _ways_out(state, resource, never=level == "failed")
    return _finding(state, waiting, message, "unschedulable", why, *mend, level=level)


def _ways_out(state: State, resource: str, *, never: bool) -> list[str]:
    """Say what helps: less, other nodes, or patience where that can help."""
    gpu = resource == labels.GPU
    flags = "--gpus, --gpus-per-worker" if gpu else "--cpus, --memory, --workers"
    if never:
        return [
            f"ask for less ({flags}), or have nodes added that offer it",
            *(["train on CPUs: --gpus 0"] if gpu else []),
        ]
    queue = [] if state.job.queue else ["let it wait in order instead: --queue (Kueue)"]
    return [f"wait until it is free, or ask for less: {flags}", *queue]


def _free(capacity: Capacity, job: Job, resource: str) -> tuple[float, float, list[Node]]:
    """Give the most that is free on one node, what is free in all, and the nodes that could do."""
    nodes = [node for node in capacity.nodes if suits(node, job) and node.allocatable.get(resource)]
    free = [node.free(resource) for node in nodes if node.usable]
    return max(free, default=0.0), sum(free), nodes


def suits(node: Node, job: Job) -> bool:
    """Whether a node has the labels that the job selects, and no taint that keeps it away."""
    if any(node.labels.get(key) != value for key, value in job.selector.items()):
        return False
    if job.node_terms and not any(
        all(node.labels.get(key) in values for key, values in term) for term in job.node_terms
    ):
        return False
    keys = [taint.partition("=")[0] for taint in node.taints]
    # Clusters add the toleration for the GPU taint to pods that ask for GPUs.
    tolerated = {*job.tolerates, *([labels.GPU] if job.resources.get(labels.GPU) else [])}
    return "*" in tolerated or all(key in tolerated for key in keys)


def _offer(resource: str, most: float, total: float, nodes: list[Node]) -> str:
    if not nodes:
        return f"no node that the job may use has any {resource}"
    if not total:
        return f"none is free on the {many(len(nodes), 'node')} that have any"
    at_most = quantities.show(resource, most)
    return f"at most {at_most} is free on one node ({total:g} in all on {many(len(nodes), 'node')})"


def wanted_labels(job: Job) -> str:
    """Write the labels that a node must have: a=b, c=d or c=e."""
    texts = [f"{key}={value}" for key, value in job.selector.items()]
    ways = [
        " and ".join(" or ".join(f"{key}={value}" for value in values) for key, values in term)
        for term in job.node_terms
    ]
    return ", ".join([*texts, *([" or ".join(ways)] if ways else [])])


def _other_cloud(state: State) -> list[str]:
    """Say that the job looks for the labels of another cloud than its nodes have."""
    nodes = state.capacity.nodes if state.capacity else ()
    cloud = clouds.of_nodes(("", node.labels) for node in nodes)
    wanted = {*state.job.selector, *(key for term in state.job.node_terms for key, _ in term)}
    if cloud is None or any(key.startswith(cloud.marks) for key in wanted):
        return []
    others = [each for each in clouds.ALL.values() if any(k.startswith(each.marks) for k in wanted)]
    return [f"the nodes are {cloud.phrase}'s: submit with --cloud {cloud.name}"] if others else []


def _placement(state: State, waiting: list[Pod], message: str) -> Finding | None:
    selector = wanted_labels(state.job)
    taint = _TAINT.search(message)
    if "didn't match Pod's node affinity/selector" in message and selector:
        has = state.capacity and any(suits(node, state.job) for node in state.capacity.nodes)
        why = f"no node has the labels {selector}" if not has else f"only nodes with {selector} may"
        return _finding(
            state, waiting, message, "no-such-node", why, *_other_cloud(state),
            "see the nodes' labels: kubectl get nodes --show-labels",
            "choose an --accelerator or node selector that the cluster has",
        )  # fmt: skip
    if taint:
        return _finding(
            state, waiting, message, "tainted", f"the nodes keep them away by a taint {taint[1]!r}",
            "tolerate it in launcher.yaml (tolerations), if the job may run there",
        )  # fmt: skip
    if "didn't match pod topology spread" in message or "pod affinity" in message:
        return _finding(
            state, waiting, message, "placement", "no zone has room for all of them together",
            "place them anywhere: --placement any",
        )  # fmt: skip
    if "were unschedulable" in message:
        why = "the nodes that could take them are cordoned"
        return _finding(state, waiting, message, "cordoned", why, "wait for the maintenance to end")
    return None


def _gang(state: State, waiting: list[Pod], message: str) -> Finding | None:
    if state.gang is None:
        return None
    why = f"its gang scheduler places all {state.job.workers} of them or none"
    return _finding(
        state, waiting, message or "nothing yet", "gang", why,
        "wait until there is room for all of them, or ask for fewer: --gpus",
        f"see the group: kubectl describe podgroup {state.job.name}",
    )  # fmt: skip


def _finding(
    state: State,
    waiting: list[Pod],
    message: str,
    situation: str,
    why: str,
    *mend: str,
    level: str = "waiting",
) -> Finding:
    job = state.job
    growing, autoscaler = _autoscaler(state)
    have = "has" if len(waiting) == 1 else "have"
    sentence = f"{len(waiting)} of {job.workers} workers of {job.name} {have} no node after "
    since = min((pod.created for pod in waiting if pod.created), default=None)
    sentence += f"{units.format_seconds(state.age_s(since))}: {why}."
    if growing:
        sentence += " The cluster is adding nodes."
    running = [pod for pod in state.pods if pod.running]
    evidence = [
        f"scheduler: {_NOT_THE_CAUSE.split(message)[0]}",
        *_holders(state),
        *autoscaler,
    ]
    if state.gang:
        evidence.append(clip(f"PodGroup: {state.gang.phase} {state.gang.message}"))
    if running:
        evidence.append(
            f"{names(running)} already run and wait for the others, holding their resources"
        )
    return Finding(
        situation=situation,
        level="failed" if level == "failed" and not growing else "waiting",
        sentence=sentence,
        evidence=tuple(evidence),
        mend=mend,
    )


def _holders(state: State) -> list[str]:
    if not state.capacity or not state.job.resources.get(labels.GPU):
        return []
    others = [
        holder
        for holder in state.capacity.gpu_holders
        if (holder.namespace, holder.name) != (state.job.namespace, state.job.name)
    ]
    shown = [
        f"{holder.namespace}/{holder.name} {holder.amount:g} in {many(holder.pods, 'pod')}"
        for holder in others[:_SHOWN_HOLDERS]
    ]
    more = len(others) - len(shown)
    text = "; ".join(shown) + (f"; and {more} more" if more else "")
    if state.capacity.others_hidden:
        seen = f"in this namespace by {text}, and " if shown else ""
        return [f"GPUs are held {seen}by whoever else: you may not see pods of other namespaces"]
    return [f"GPUs are held by {text}"] if shown else ["nobody else holds a GPU"]


def _autoscaler(state: State) -> tuple[bool, list[str]]:
    """Give whether nodes are coming, and the autoscaler's own words."""
    events = state.events_of(*_GROWING, *_NOT_GROWING)
    if not events:
        return False, []
    return events[0].reason in _GROWING, [f"autoscaler: {quote(events[0], state)}"]
