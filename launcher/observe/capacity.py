"""What the nodes of a cluster offer, what is free of it, and who holds the GPUs."""

import dataclasses
from collections import defaultdict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from launcher import kinds
from launcher.api import resources
from launcher.api.daemon import start
from launcher.errors import DeniedError
from launcher.manifests import labels, quantities
from launcher.observe.reading import conditions, requests
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


def look(cluster: "Cluster") -> Capacity:
    """Look at the nodes and at all pods that may be seen: everybody's, or the namespace's own.

    Raises:
        DeniedError: The nodes may not be seen.
    """
    nodes = start(cluster.list_all, resources.NODES)
    try:
        pods, hidden = cluster.list_all(resources.PODS, everywhere=True), False
    except DeniedError:
        pods, hidden = cluster.list_all(resources.PODS), True
    return dataclasses.replace(read(nodes.result(), pods), others_hidden=hidden)


def read(nodes: list[Object], pods: list[Object]) -> Capacity:
    """Read nodes and pods: what is free, and who holds the GPUs."""
    used: defaultdict[str, defaultdict[str, float]] = defaultdict(lambda: defaultdict(float))
    held: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
    for item in pods:
        spec, status = item.get("spec") or {}, item.get("status") or {}
        node = spec.get("nodeName")
        if not node or status.get("phase") in ("Succeeded", "Failed"):
            continue
        asked = requests(spec)
        for name, amount in {**asked, "pods": 1.0}.items():
            used[node][name] += amount
        if asked.get(labels.GPU):
            held[_owner(item["metadata"])].append(asked[labels.GPU])
    holders = [
        Holder(namespace=namespace, name=name, amount=sum(gpus), pods=len(gpus))
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
