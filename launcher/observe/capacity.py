"""What the nodes of a cluster offer, what is free of it, and who holds the GPUs."""

import dataclasses
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from launcher import kinds
from launcher.api import resources
from launcher.api.daemon import start
from launcher.errors import DeniedError
from launcher.manifests import labels, quantities
from launcher.observe.reading import conditions, requests, time
from launcher.observe.state import Capacity, Holder, Node

if TYPE_CHECKING:
    from launcher.api.connection import Cluster

Object = dict[str, Any]

_AUTOSCALER_MARKS = (
    "cloud.google.com/gke-nodepool",
    "karpenter.sh/nodepool",
    "eks.amazonaws.com/nodegroup",
    "kubernetes.azure.com/agentpool",
)
"""Labels of nodes that come from a pool which may grow."""


_PRESENT = "status.phase!=Succeeded,status.phase!=Failed"
"""Selects pods that take something of their node."""
_NODE_BY_NODE = 16
"""Of so few nodes the pods are asked for one by one, in a cluster that may have thousands."""


def look(cluster: "Cluster", matters: Callable[[Node], bool] | None = None) -> Capacity:
    """Look at the nodes, and at the pods on them that may be seen: everybody's, or one's own.

    Args:
        cluster: Where to look.
        matters: Tells the nodes of which it is wanted how much is free; None is all of them.

    Raises:
        DeniedError: The nodes may not be seen.
    """
    nodes = cluster.list_all(resources.NODES)
    wanted = nodes if matters is None else [item for item in nodes if matters(_node(item, {}))]
    try:
        pods, hidden = _pods_on(cluster, wanted, len(nodes), everywhere=True), False
    except DeniedError:
        pods, hidden = _pods_on(cluster, wanted, len(nodes), everywhere=False), True
    return dataclasses.replace(read(nodes, pods), others_hidden=hidden)


def _pods_on(
    cluster: "Cluster", wanted: list[Object], of_nodes: int, *, everywhere: bool
) -> list[Object]:
    """List the pods on some nodes, by as few objects as that takes."""
    if len(wanted) > _NODE_BY_NODE or len(wanted) == of_nodes:
        return cluster.list_all(resources.PODS, fields=_PRESENT, everywhere=everywhere)
    reads = [
        start(
            cluster.list_all, resources.PODS, everywhere=everywhere,
            fields=f"spec.nodeName={item['metadata']['name']},{_PRESENT}",
        )
        for item in wanted
    ]  # fmt: skip
    return [pod for read in reads for pod in read.result()]


def read(nodes: list[Object], pods: list[Object]) -> Capacity:
    """Read nodes and pods: what is free, and who holds the GPUs."""
    used: defaultdict[str, defaultdict[str, float]] = defaultdict(lambda: defaultdict(float))
    held: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
    since: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for item in pods:
        spec, status = item.get("spec") or {}, item.get("status") or {}
        node = spec.get("nodeName")
        if not node or status.get("phase") in ("Succeeded", "Failed"):
            continue
        asked = requests(spec)
        for name, amount in {**asked, "pods": 1.0}.items():
            used[node][name] += amount
        if asked.get(labels.GPU):
            owner = _owner(item["metadata"])
            held[owner].append(asked[labels.GPU])
            since[owner].append(item["metadata"].get("creationTimestamp") or "")
    holders = [
        Holder(
            namespace=namespace,
            name=name,
            amount=sum(gpus),
            pods=len(gpus),
            since=time(min(filter(None, since[namespace, name]), default=None)),
        )
        for (namespace, name), gpus in held.items()
    ]
    return Capacity(
        nodes=tuple(_node(item, used[item["metadata"]["name"]]) for item in nodes),
        gpu_holders=tuple(sorted(holders, key=lambda each: (-each.amount, each.name))),
        autoscaled=any(
            mark in (item["metadata"].get("labels") or {})
            for item in nodes
            for mark in _AUTOSCALER_MARKS
        ),
    )


def _owner(metadata: Object) -> tuple[str, str]:
    """Name what a pod belongs to, as its user would call it."""
    own_labels: Mapping[str, str] = metadata.get("labels") or {}
    keys = (labels.JOB, *(kind.pod_label for kind in kinds.IN_CLUSTER))
    name = next((own_labels[key] for key in keys if key in own_labels), metadata["name"])
    return metadata.get("namespace", ""), name


def _node(item: Object, used: Mapping[str, float]) -> Node:
    spec, status = item.get("spec") or {}, item.get("status") or {}
    ready = next((c for c in conditions(status) if c.type == "Ready"), None)
    taints = spec.get("taints") or []
    return Node(
        name=item["metadata"]["name"],
        ready=ready is not None and ready.true,
        cordoned=bool(spec.get("unschedulable")),
        allocatable={k: quantities.parse(v) for k, v in (status.get("allocatable") or {}).items()},
        used=dict(used),
        labels=item["metadata"].get("labels") or {},
        taints=tuple(
            f"{taint['key']}={taint.get('value', '')}:{taint.get('effect', '')}"
            for taint in taints
            if taint.get("effect") in ("NoSchedule", "NoExecute")
        ),
    )
