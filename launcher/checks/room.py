"""Does the job fit: into the quota, the limits, the nodes?"""

import math
from collections.abc import Iterator

from launcher import kinds
from launcher.api import resources
from launcher.checks.result import Result, Subject, failed, ok, unknown, warning
from launcher.diagnosis.scheduling import suits, wanted_labels
from launcher.errors import DeniedError
from launcher.manifests import labels, quantities
from launcher.observe import capacity
from launcher.observe.state import Capacity, Job, Node

_SHOWN_HOLDERS = 3
_HIDDEN = ", if pods of other namespaces, which you may not see, leave the room"


def quota(subject: Subject) -> Iterator[Result]:
    """All workers together against every ResourceQuota of the namespace."""
    job = subject.job
    if job is None:
        return
    quotas = subject.cluster.list_all(resources.RESOURCE_QUOTAS)
    problems = False
    for item in quotas:
        status = item.get("status") or {}
        for key, text in (status.get("hard") or {}).items():
            needs = _needs(job, key)
            hard = quantities.parse(text)
            used = quantities.parse((status.get("used") or {}).get(key, "0"))
            if needs is None or needs + used <= hard:
                continue
            problems = True
            resource = key.removeprefix("requests.").removeprefix("limits.")
            text = (
                f"quota {item['metadata']['name']!r} allows {quantities.show(resource, hard)}, "
                f"{used / hard if hard else 1:.0%} of it is used, and the job needs "
                f"{quantities.show(resource, needs)}"
            )
            if needs > hard:
                yield failed(text, "ask for less, or have the quota raised")
            else:
                yield warning(text, "its pods wait until some is free: launcher list")
    if not problems:
        yield ok("the namespace's quota has room" if quotas else "there is no quota")


def _needs(job: Job, key: str) -> float | None:
    """What a job takes of a quota's resource; None if the quota is about something else."""
    if key in ("pods", "count/pods"):
        return float(job.workers)
    if key.startswith("count/"):
        own = kinds.of_object(job.kind).resource.collection
        return 1.0 if key == f"count/{own}" else None
    resource = key.removeprefix("requests.").removeprefix("limits.")
    amount = job.resources.get(resource)
    return None if amount is None else amount * job.workers


def limits(subject: Subject) -> Iterator[Result]:
    """One worker against every LimitRange of the namespace."""
    job = subject.job
    if job is None:
        return
    ranges = subject.cluster.list_all(resources.LIMIT_RANGES)
    entries = [entry for item in ranges for entry in item["spec"].get("limits") or []]
    problems = False
    for entry in entries:
        if entry.get("type") not in ("Container", "Pod"):
            continue
        for which, too in (("max", "more"), ("min", "less")):
            for resource, text in (entry.get(which) or {}).items():
                bound, amount = quantities.parse(text), job.resources.get(resource)
                if amount is None or (amount <= bound if which == "max" else amount >= bound):
                    continue
                problems = True
                yield failed(
                    f"a worker asks for {quantities.show(resource, amount)}, {too} than the "
                    f"namespace's LimitRange allows ({quantities.show(resource, bound)})",
                    f"change {_size_flags(job)}",
                )
    if not problems:
        yield ok("a worker is within the namespace's limits" if entries else "there are no limits")


def room(subject: Subject) -> Iterator[Result]:
    """All workers against the nodes: fits now, fits if nodes come, or can never fit."""
    job = subject.job
    if job is None:
        return
    try:
        found = capacity.look(subject.cluster, lambda node: suits(node, job))
    except DeniedError as error:
        yield unknown(f"whether it fits cannot be seen: {str(error).partition('; ')[0]}")
        return
    nodes = [node for node in found.nodes if node.usable and suits(node, job)]
    now = sum(_workers(node, job, empty=False) for node in nodes)
    at_best = sum(_workers(node, job, empty=True) for node in nodes)
    yield _verdict(subject, job, found, now, at_best)


def _workers(node: Node, job: Job, *, empty: bool) -> int:
    """How many workers a node has room for: now, or if nobody else were there."""
    rooms = [
        (node.allocatable.get(name, 0.0) if empty else node.free(name)) / amount
        for name, amount in {**job.resources, "pods": 1.0}.items()
        if amount > 0
    ]
    return math.floor(min(rooms, default=0.0) + 1e-9)


def _verdict(subject: Subject, job: Job, found: Capacity, now: int, at_best: int) -> Result:
    one = ", ".join(
        quantities.show(name, amount)
        for name, amount in sorted(job.resources.items(), key=lambda item: "gpu" not in item[0])
    )
    if now >= job.workers:
        all_of_them = "the worker fits" if job.workers == 1 else f"all {job.workers} workers fit"
        return ok(f"{all_of_them} now ({one} each){_HIDDEN if found.others_hidden else ''}")
    what = f"{now} of {job.workers} workers fit now ({one} each)"
    queued = bool(subject.spec and subject.spec.scheduling.queue)
    if at_best >= job.workers:
        return warning(what + _held(found, job), "it waits until enough is free")
    if found.autoscaled or queued:
        return warning(
            f"{what}, {at_best} if nobody else were there",
            "it starts if the cluster's autoscaler adds nodes; launcher why shows its answer",
        )
    if _no_gpus(found, job):
        return failed(
            f"it can never fit: no node has a GPU ({one} each)",
            "use CPUs with --gpus 0, or add nodes with GPUs (and their device plugin)",
        )
    return failed(
        f"it can never fit: {at_best} of {job.workers} workers would, if nobody else were there "
        f"({one} each{_largest(found, job)})",
        f"ask for less: {_size_flags(job)}",
    )


def _size_flags(job: Job) -> str:
    """Name the flags of the job's command that say how large a worker is."""
    if job.component == "train":
        return "--gpus, --gpus-per-worker, --cpus, --memory"
    return "--gpus, --cpus, --memory" if job.resources.get(labels.GPU) else "--cpus, --memory"


def _no_gpus(found: Capacity, job: Job) -> bool:
    wanted = bool(job.resources.get(labels.GPU)) and bool(found.nodes)
    return wanted and not any(node.allocatable.get(labels.GPU) for node in found.nodes)


def _largest(found: Capacity, job: Job) -> str:
    nodes = [node for node in found.nodes if suits(node, job)]
    if not found.nodes:
        return "; the cluster has no nodes"
    if not nodes:
        wanted = wanted_labels(job)
        return f"; no node has the labels {wanted}" if wanted else "; no node may be used"
    gpus = max(node.allocatable.get(labels.GPU, 0.0) for node in nodes)
    return f"; the largest node has {gpus:g} GPUs" if job.resources.get(labels.GPU) else ""


def _held(found: Capacity, job: Job) -> str:
    if not job.resources.get(labels.GPU) or not found.gpu_holders:
        return ""
    shown = [
        f"{holder.namespace}/{holder.name} {holder.amount:g}"
        for holder in found.gpu_holders[:_SHOWN_HOLDERS]
    ]
    more = len(found.gpu_holders) - len(shown)
    return f"; GPUs are held by {', '.join(shown)}" + (f" and {more} more" if more else "")
