"""`launcher top`: what the replicas of a job use."""

import argparse
from typing import Any

from launcher.api.errors import KindMissingError
from launcher.context import Context
from launcher.errors import NotFoundError
from launcher.settings import arguments

NAME = "top"
HELP = "Show CPU, memory and GPUs of a job's replicas."
EPILOG = "CPU and memory come from the cluster's metrics API; the number behind is the limit."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the job."""
    parser.add_argument("name", help="name of the job")
    arguments.add_output(parser)


def run(args: argparse.Namespace, context: Context) -> int:
    """Print the table."""
    from launcher.api import resources
    from launcher.manifests import labels
    from launcher.observe import gather, reading

    cluster, output = context.cluster(), context.output
    kind, item = gather.find(cluster, args.name)
    job = kind.read(item)
    selector = kind.pods_of(job)
    pods = [reading.pod(each) for each in cluster.list_all(resources.PODS, labels=selector)]
    if not pods:
        raise NotFoundError(f"{job.name} has no pods; `launcher why {job.name}` says why")
    try:
        used = _used(cluster.list_all(resources.POD_METRICS, labels=selector))
    except KindMissingError:
        used = {}
        output.note("what they use is not known: the cluster has no metrics server")
    rows: list[dict[str, Any]] = [
        {
            "replica": pod.replica, "node": pod.node,
            "cpu": used.get(pod.name, {}).get("cpu"), "cpu_limit": pod.resources.get("cpu"),
            "memory": used.get(pod.name, {}).get("memory"),
            "memory_limit": pod.resources.get("memory"),
            "gpus": int(pod.resources.get(labels.GPU, 0)),
        }
        for pod in sorted(pods, key=lambda pod: (len(pod.replica), pod.replica))
    ]  # fmt: skip
    if args.output:
        output.document(rows, args.output)
        return 0
    output.table(
        ["REPLICA", "CPU", "MEMORY", "GPUS", "NODE"],
        [
            [
                row["replica"], _share(row["cpu"], row["cpu_limit"], 1.0, "cores"),
                _share(row["memory"], row["memory_limit"], 2.0**30, "GiB"), str(row["gpus"]),
                output.style(row["node"] or "-"),
            ]
            for row in rows
        ],
    )  # fmt: skip
    return 0


def _used(metrics: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    from launcher.manifests import quantities

    return {
        item["metadata"]["name"]: {
            name: sum(
                quantities.parse(container.get("usage", {}).get(name, "0"))
                for container in item.get("containers") or []
            )
            for name in ("cpu", "memory")
        }
        for item in metrics
    }


def _share(used: float | None, limit: float | None, unit: float, word: str) -> str:
    """Write `3.2 of 12 cores (27%)`."""
    if used is None:
        return f"- of {limit / unit:.3g} {word}" if limit else "-"
    if not limit:
        return f"{used / unit:.1f} {word}"
    return f"{used / unit:.1f} of {limit / unit:.3g} {word} ({used / limit:.0%})"
