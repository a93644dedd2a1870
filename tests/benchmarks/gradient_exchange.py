"""How long one exchange of VGG19's gradients takes, and how many bytes it sends.

    python -m tests.benchmarks.gradient_exchange --workers 2 4 --links loopback 1 10

Real processes on this machine, over loopback and over links shaped to some Gbit/s. The gradients
are those of the full-width network with 101 classes, 32 images per replica. All variants take
turns within one run; the numbers are medians over the rounds and the slowest worker's.

    dense      as TensorFlow does it: one `all_reduce` of the list of gradients
    chunked    dense, in bundles of 4 MB for each worker
    bfloat16   the same, rounded to bfloat16
    planned    `--exchange=auto`: factors where they are faster, everything in float32
    planned16  `--exchange=bfloat16`: factors where they are faster, everything in bfloat16

The time of the planned variants includes the product of the gathered factors, although the dense
ones have had to compute their own share of that product before the exchange began.
"""

import argparse
import contextlib
import os
import signal
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from job.contract.configs import TrainConfig
from job.distributed.cluster import read_cluster
from job.distributed.exchange_plan import Plan, factor_sizes, is_fully_connected, plan_exchange
from job.distributed.strategy import connect
from job.model.shapes import layer_shapes
from tests.multiprocess import call_in_workers
from tests.shaped_network import shaped_network, why_not
from tests.socket_bytes import sent_bytes

SHAPES = layer_shapes(101, "fc")
BATCH = 32
VARIANTS = ("dense", "chunked", "bfloat16", "planned", "planned16")
HEADER = (
    *("variant", "MB sent", "MB planned", "s", "s predicted", "predicted/s"),
    *("fewer bytes", "less time"),
)


def measure(rounds: int) -> dict[str, Any]:
    """What each worker does: all variants by turns, timed, with their bytes counted."""
    config = TrainConfig(data="unused", run="unused", peer_timeout_s=300.0)
    strategy = connect(read_cluster(os.environ), config, ("CPU:0",))
    from job.distributed.exchange import measure_link

    link = measure_link(strategy)
    plans = make_plans(strategy.num_replicas_in_sync, link.network_gbps, link.product_gflops)
    steps = make_steps(strategy, plans)
    seconds: dict[str, list[float]] = {name: [] for name in VARIANTS}
    sent: dict[str, list[int]] = {name: [] for name in VARIANTS}
    for step in steps.values():
        step()
    for _ in range(rounds):
        for name, step in steps.items():
            before, started = sent_bytes(), time.perf_counter()
            step()
            seconds[name].append(time.perf_counter() - started)
            sent[name].append(sent_bytes() - before)
    return {
        "link": link,
        "seconds": {name: statistics.median(values) for name, values in seconds.items()},
        "sent": {name: statistics.median(values) for name, values in sent.items()},
    }


def make_plans(replicas: int, network_gbps: float, product_gflops: float) -> dict[str, Plan]:
    """Plan each variant; `dense` is not carried out as planned, but costs what `chunked` does."""

    def plan(mode: str, gflops: float = product_gflops) -> Plan:
        return plan_exchange(SHAPES, BATCH, replicas, network_gbps, mode, product_gflops=gflops)

    never = 1e-9  # With products that slow, nothing travels as factors.
    return {
        "dense": plan("dense"),
        "chunked": plan("dense"),
        "bfloat16": plan("bfloat16", never),
        "planned": plan("auto"),
        "planned16": plan("bfloat16"),
    }


def make_steps(strategy: Any, plans: dict[str, Plan]) -> dict[str, Any]:
    """Compile a function for each variant that exchanges the same numbers."""
    import tensorflow as tf

    from job.distributed.exchange import exchange

    random = np.random.default_rng(0)
    gradients = {
        name: tf.constant(random.standard_normal(shape, np.float32))
        for name, shape in SHAPES.items()
    }
    factors: list[dict[str, Any]] = [{}, {}]
    for name, shape in SHAPES.items():
        if is_fully_connected(name, shape):
            for side, width in zip(factors, factor_sizes(shape), strict=True):
                side[name] = tf.constant(random.standard_normal((BATCH, width), np.float32))

    def reduce_dense(*given: Any) -> list[Any]:
        context = tf.distribute.get_replica_context()
        return list(context.all_reduce("SUM", [tf.identity(g) for g in given[0].values()]))

    def compiled(name: str) -> Any:
        plan = plans[name]

        def replica(*given: Any) -> Any:
            results = reduce_dense(*given) if name == "dense" else exchange(plan, *given).values()
            # Touches every result, so that none is left out.
            return tf.add_n([tf.reshape(result, [-1])[0] for result in results])

        step = tf.function(lambda given: strategy.run(replica, given), autograph=False)
        dense = {n: g for n, g in gradients.items() if n not in plan.factor_names}
        inputs, deltas = ({n: side[n] for n in plan.factor_names} for side in factors)
        return lambda: step((dense, inputs, deltas)).numpy()

    return {name: compiled(name) for name in VARIANTS}


def run(link: str, num_workers: int, rounds: int) -> None:
    """Measure on one kind of link and print the table."""
    with contextlib.ExitStack() as stack:
        log_dir = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        keywords: dict[str, Any] = {}
        if link != "loopback":
            network = stack.enter_context(shaped_network(num_workers, int(link)))
            keywords["prefix"] = network.prefix
            keywords["addresses"] = [f"{host}:2222" for host in network.hosts]
        results = call_in_workers(
            measure,
            num_workers=num_workers,
            log_dir=log_dir,
            timeout_s=1800,
            rounds=rounds,
            **keywords,
        )
    print_table(link, num_workers, results)


def print_table(link: str, num_workers: int, results: list[dict[str, Any]]) -> None:
    """Print what was sent and how long it took, beside what the plan said."""
    measured = results[0]["link"]
    where = link if link == "loopback" else f"{link} Gbit/s"
    plans = make_plans(num_workers, measured.network_gbps, measured.product_gflops)
    print(
        f"\n{num_workers} workers, {where} (measured before: {measured.network_gbps:g} Gbit/s, "
        f"product {measured.product_gflops:g} GFLOP/s)"
    )
    print("".join(f"{title:>13}" for title in HEADER))
    seconds = {name: max(r["seconds"][name] for r in results) for name in VARIANTS}
    sent = {name: max(r["sent"][name] for r in results) for name in VARIANTS}
    for name in VARIANTS:
        planned = plans[name].planned
        row = (
            name,
            f"{sent[name] / 1e6:.1f}",
            f"{planned.sent_bytes / 1e6:.1f}",
            f"{seconds[name]:.3f}",
            f"{planned.seconds:.3f}",
            f"{planned.seconds / seconds[name]:.2f}" if name != "dense" else "",
            f"{sent['dense'] / sent[name]:.1f}x",
            f"{seconds['dense'] / seconds[name]:.1f}x",
        )
        print("".join(f"{cell:>13}" for cell in row), flush=True)


def main() -> None:
    """Parse the command line and measure one combination after the other."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, nargs="+", default=[2, 4])
    parser.add_argument(
        "--links", nargs="+", default=["loopback", "1", "10"], choices=["loopback", "1", "10"]
    )
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    # Ended from outside, it still ends its processes and removes its networks.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    for link in arguments.links:
        reason = why_not() if link != "loopback" else None
        if reason:
            print(f"skipped {link} Gbit/s: {reason}", file=sys.stderr)
            continue
        for num_workers in arguments.workers:
            run(link, num_workers, arguments.rounds)


if __name__ == "__main__":
    main()
