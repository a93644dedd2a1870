"""`launcher gpus`: which GPUs the cluster has, which are free, and who holds the others."""

import argparse
import datetime
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from launcher.context import Context
from launcher.errors import LauncherError
from launcher.settings import arguments

if TYPE_CHECKING:
    from launcher.api.connection import Cluster
    from launcher.observe.state import Capacity, Node

NAME = "gpus"
HELP = "Show the cluster's GPUs: free, held by whom and for how long, and the queues for them."
EPILOG = """FREE counts nodes that take pods. A node pool that is scaled to nothing shows no GPUs.

examples:
  launcher gpus
  launcher gpus -o wide            # node by node
  launcher gpus -o json | jq '.models[] | select(.free >= 8)'"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare how to show them."""
    arguments.add_output(parser, "wide")


def run(args: argparse.Namespace, context: Context) -> int:
    """Look and print."""
    from launcher.observe import capacity

    cluster, output = context.cluster(), context.output
    seen = capacity.look(cluster, lambda node: bool(_gpus(node)))
    queues, said = _queues(cluster)
    if args.output in arguments.FORMATS:
        output.document(_data(seen, queues), args.output)
        return 0
    nodes = [node for node in seen.nodes if _gpus(node)]
    if not nodes:
        output.note("no node has GPUs" + (" now; its pools may grow" if seen.autoscaled else ""))
    else:
        output.table(["MODEL", "GPUS", "FREE", "NODES", "MOST ON ONE NODE"], _model_rows(nodes))
    if nodes and args.output == "wide":
        output.print()
        output.table(["NODE", "MODEL", "GPUS", "FREE", "STATE"], [_node_row(n) for n in nodes])
    if seen.gpu_holders:
        output.print()
        output.table(["HELD BY", "NAMESPACE", "GPUS", "PODS", "FOR"], _holder_rows(seen))
    if queues:
        output.print()
        output.table(
            ["QUEUE", "RUNNING", "WAITING"],
            [[output.style(q["name"]), str(q["running"]), str(q["waiting"])] for q in queues],
        )
    if seen.others_hidden:
        output.note("pods of other namespaces cannot be seen: what they hold counts as free")
    if said:
        output.note(said)
    return 0


def _gpus(node: "Node") -> int:
    from launcher.manifests import labels

    return int(node.allocatable.get(labels.GPU, 0))


def _free(node: "Node") -> int:
    from launcher.manifests import labels

    return int(node.free(labels.GPU)) if node.usable else 0


def _model(node: "Node") -> str:
    from launcher.manifests import labels

    names = (labels.ACCELERATOR, "nvidia.com/gpu.product", "karpenter.k8s.aws/instance-gpu-name")
    return next((node.labels[name] for name in names if name in node.labels), "unknown")


def _model_rows(nodes: "list[Node]") -> list[list[str]]:
    return [
        [model, str(sum(map(_gpus, of_it))), str(sum(map(_free, of_it))), str(len(of_it)),
         str(max(map(_free, of_it)))]
        for model, of_it in _by_model(nodes).items()
    ]  # fmt: skip


def _by_model(nodes: "list[Node]") -> "dict[str, list[Node]]":
    found: defaultdict[str, list[Node]] = defaultdict(list)
    for node in nodes:
        found[_model(node)].append(node)
    return dict(sorted(found.items()))


def _node_row(node: "Node") -> list[str]:
    from launcher.manifests import labels

    state = "cordoned" if node.cordoned else "ready" if node.ready else "not ready"
    state += ", spot" if node.labels.get(labels.SPOT) == "true" else ""
    return [node.name, _model(node), str(_gpus(node)), str(_free(node)), state]


def _holder_rows(seen: "Capacity") -> list[list[str]]:
    from launcher.manifests import units

    now = datetime.datetime.now(datetime.UTC)
    return [
        [holder.name, holder.namespace, f"{holder.amount:g}", str(holder.pods),
         units.format_seconds((now - holder.since).total_seconds()) if holder.since else "-"]
        for holder in seen.gpu_holders
    ]  # fmt: skip


def _queues(cluster: "Cluster") -> tuple[list[dict[str, Any]], str]:
    """Give the namespace's Kueue queues with their numbers; what cannot be seen is told."""
    from launcher.api import resources
    from launcher.api.errors import KindMissingError

    try:
        items = cluster.list_all(resources.LOCAL_QUEUES)
    except KindMissingError:
        return [], ""
    except LauncherError as error:
        return [], f"queues are not shown: {error}"
    return [
        {
            "name": item["metadata"]["name"],
            "running": int((item.get("status") or {}).get("admittedWorkloads") or 0),
            "waiting": int((item.get("status") or {}).get("pendingWorkloads") or 0),
        }
        for item in items
    ], ""


def _data(seen: "Capacity", queues: list[dict[str, Any]]) -> dict[str, Any]:
    nodes = [node for node in seen.nodes if _gpus(node)]
    return {
        "models": [
            {"model": model, "gpus": sum(map(_gpus, of_it)), "free": sum(map(_free, of_it)),
             "nodes": len(of_it), "most_on_one_node": max(map(_free, of_it))}
            for model, of_it in _by_model(nodes).items()
        ],
        "nodes": [
            {"name": node.name, "model": _model(node), "gpus": _gpus(node), "free": _free(node),
             "usable": node.usable}
            for node in nodes
        ],
        "holders": [
            {"name": holder.name, "namespace": holder.namespace, "gpus": int(holder.amount),
             "pods": holder.pods, "since": holder.since.isoformat() if holder.since else None}
            for holder in seen.gpu_holders
        ],
        "queues": queues,
        "others_hidden": seen.others_hidden,
    }  # fmt: skip
