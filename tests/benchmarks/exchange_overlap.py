"""How much of the exchange hides behind the backward pass.

    python -m tests.benchmarks.exchange_overlap --link 1

Processes train the full-width VGG19 for a few steps over a link shaped to some Gbit/s. Each way to
exchange is timed twice: `free`, where a bundle travels as soon as its gradients are there, as in
training, and `after`, where all of them wait for the end of the backward pass. `alone` is the step
without any exchange, and `predicted` what `job.scaling` says of so many workers from the speed of
one alone and from what was measured of network and products before.
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

from job.contract.configs import ScalingConfig, TrainConfig
from job.distributed.cluster import read_cluster
from job.distributed.exchange_plan import Link, Plan, plan_exchange
from job.distributed.scaling_table import predict
from job.distributed.strategy import connect
from job.model.shapes import layer_shapes
from tests.multiprocess import call_in_workers
from tests.shaped_network import shaped_network, why_not

CLASSES = 101
SHAPES = layer_shapes(CLASSES, "fc")
MODES = ("dense", "auto")
VARIANTS = [("dense", "after"), ("dense", "free"), ("auto", "after"), ("auto", "free")]
HEADER = ("exchange", "alone s", "after s", "free s", "predicted s", "predicted/s", "hidden")


def measure(rounds: int, batch: int) -> dict[str, Any]:
    """What each worker does: all variants by turns; medians in seconds."""
    config = TrainConfig(data="unused", run="unused", peer_timeout_s=300.0)
    strategy = connect(read_cluster(os.environ), config, ("CPU:0",))
    from job.distributed.exchange import measure_link

    link = measure_link(strategy)
    plans = {mode: make_plan(mode, batch, strategy.num_replicas_in_sync, link) for mode in MODES}
    steps = make_steps(strategy, batch, plans)
    seconds: dict[tuple[str, str], list[float]] = {name: [] for name in steps}
    for step in steps.values():
        step()
    for _ in range(rounds):
        for name, step in steps.items():
            started = time.perf_counter()
            step()
            seconds[name].append(time.perf_counter() - started)
    return {
        "link": link,
        "seconds": {name: statistics.median(values) for name, values in seconds.items()},
    }


def make_plan(mode: str, batch: int, replicas: int, link: Link) -> Plan:
    """Plan from what was measured, as training does."""
    return plan_exchange(
        SHAPES, batch, replicas, link.network_gbps, mode, product_gflops=link.product_gflops
    )


def make_steps(strategy: Any, batch: int, plans: dict[str, Plan]) -> dict[tuple[str, str], Any]:
    """Compile one training step (without the update) for each variant."""
    import tensorflow as tf

    from job.distributed.exchange import exchange
    from job.model.vgg19 import VGG19

    with strategy.scope():
        model = VGG19(CLASSES)

    def step(mode: str, when: str) -> Any:
        plan = plans[mode]

        def replica() -> Any:
            names = [name for name in SHAPES if name not in plan.factor_names]
            with tf.GradientTape() as tape:
                forward = model.forward(tf.random.normal([batch, 224, 224, 3]), training=False)
                loss = tf.reduce_sum(tf.nn.log_softmax(forward.logits)[:, 0])
            wanted = (
                {name: model.variables_by_name[name] for name in names},
                {name: forward.taps[name].outputs for name in plan.factor_names},
            )
            gradients, deltas = tape.gradient(loss, wanted)
            inputs = {name: forward.taps[name].inputs for name in plan.factor_names}
            waits = tf.nest.flatten([gradients, deltas]) if when == "after" else []
            with tf.control_dependencies(waits):
                parts = tf.nest.map_structure(tf.identity, (gradients, inputs, deltas))
            results = exchange(plan, *parts) if when != "alone" else parts[0]
            # Touches every result, so that none is left out.
            return tf.add_n([tf.reshape(result, [-1])[0] for result in results.values()])

        compiled = tf.function(lambda: strategy.run(replica), autograph=False)
        return lambda: compiled().numpy()

    return {name: step(*name) for name in [("dense", "alone"), ("auto", "alone"), *VARIANTS]}


def predicted_s(mode: str, link: Link, workers: int, batch: int, alone_s: float) -> float:
    """Ask `job.scaling` for a step's time, from a step that forms all gradients itself."""
    config = ScalingConfig(
        images_per_s=batch / alone_s,
        per_replica_batch=batch,
        num_classes=CLASSES,
        product_tflops=link.product_gflops / 1e3,
        hop_latency_us=link.hop_latency_s * 1e6,
    )
    return predict(config, workers, link.network_gbps, mode).step_s


def print_table(results: list[dict[str, Any]], batch: int) -> None:
    """Print seconds per step, the slowest worker's, and which share of the exchange was hidden."""
    print("".join(f"{title:>13}" for title in HEADER))
    slowest = {
        name: max(result["seconds"][name] for result in results) for name in results[0]["seconds"]
    }
    for mode in MODES:
        alone, after, free = (slowest[mode, when] for when in ("alone", "after", "free"))
        link, whole = results[0]["link"], slowest["dense", "alone"]
        predicted = predicted_s(mode, link, len(results), batch, whole)
        hidden = (after - free) / (after - alone)
        numbers = (*(f"{number:.2f}" for number in (alone, after, free, predicted)),)
        cells = (mode, *numbers, f"{predicted / free:.2f}", f"{hidden:.0%}")
        print("".join(f"{cell:>13}" for cell in cells))


def main() -> None:
    """Parse the command line, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--link", default="1", choices=["loopback", "1", "10"])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    # Ended from outside, it still ends its processes and removes its networks.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    reason = why_not() if arguments.link != "loopback" else None
    if reason:
        sys.exit(f"skipped: {reason}")
    with contextlib.ExitStack() as stack:
        log_dir = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        keywords: dict[str, Any] = {}
        if arguments.link != "loopback":
            network = stack.enter_context(shaped_network(arguments.workers, int(arguments.link)))
            keywords["prefix"] = network.prefix
            keywords["addresses"] = [f"{host}:2222" for host in network.hosts]
        results = call_in_workers(
            measure,
            num_workers=arguments.workers,
            log_dir=log_dir,
            timeout_s=1800,
            rounds=arguments.rounds,
            batch=arguments.batch,
            **keywords,
        )
    where = arguments.link if arguments.link == "loopback" else f"{arguments.link} Gbit/s"
    link = results[0]["link"]
    print(
        f"{arguments.workers} workers, {where}, {arguments.batch} images each (measured before: "
        f"{link.network_gbps:g} Gbit/s, product {link.product_gflops:g} GFLOP/s)"
    )
    print_table(results, arguments.batch)


if __name__ == "__main__":
    main()
