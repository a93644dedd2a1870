"""What a run's gradient exchange is planned from: its settings, its network, the last attempt."""

import dataclasses
from collections.abc import Mapping

import tensorflow as tf

from job.contract.configs import TrainConfig
from job.contract.errors import ConfigError
from job.distributed.exchange import measure_link
from job.distributed.exchange_bundles import Method
from job.distributed.exchange_plan import DEFAULT_NETWORK_GBPS, Link, Plan, Shape, plan_exchange
from job.model.shapes import DOWNSAMPLING, FC6_WINDOW
from job.run.state import RunState

LEAST_LOCAL_GBPS = 100.0
"""What GPUs of one machine send each other at least, over PCIe."""


def known_link(
    config: TrainConfig,
    strategy: tf.distribute.Strategy,
    kept: RunState | None,
    workers: int,
) -> Link:
    """Give what the plan is made from: given, else kept from the last attempt, else measured.

    A resumed run keeps the numbers, so that it keeps its plan, and with it its bits. The speed of
    a product is never given, and differs a hundredfold between a processor and a GPU.

    Args:
        config: Of the run.
        strategy: Connects the workers; all must call this.
        kept: State of the checkpoint that training goes on from, if there is one.
        workers: Workers that share the replicas evenly.
    """
    replicas = strategy.num_replicas_in_sync
    if replicas == 1:
        return Link(config.network_gbps or DEFAULT_NETWORK_GBPS)
    # What links the devices of one worker is no network that anybody could have named.
    given = config.network_gbps if workers > 1 else 0.0
    if (
        kept is not None
        and (kept.replicas, kept.workers or replicas) == (replicas, workers)
        and kept.network_gbps
        and kept.product_gflops
    ):
        link = Link(given or kept.network_gbps, kept.product_gflops)
    else:
        link = measure_link(strategy, given)
    if workers == replicas:
        return link
    # A ring over all replicas was measured: its slowest link. No worker's own links are slower.
    least = LEAST_LOCAL_GBPS if workers > 1 else 0.0
    return dataclasses.replace(link, local_gbps=max(link.network_gbps, least))


def plan_run(
    config: TrainConfig,
    link: Link,
    *,
    replicas: int,
    workers: int,
    shapes: Mapping[str, Shape],
    compute_dtype: str,
    kept: RunState | None = None,
) -> Plan:
    """Plan the exchange of a run's trainable variables.

    A resumed run keeps its plan, whatever this version of the program would plan, as long as what
    it is for is the same: variables, replicas, batch and the mode that was asked for.

    Raises:
        ConfigError: The settings ask for an exchange that their network cannot have.
    """
    return plan_exchange(
        shapes,
        config.global_batch_size // replicas,
        replicas,
        link.network_gbps,
        exchange_mode(config),
        product_gflops=link.product_gflops,
        compute_dtype=compute_dtype,
        workers=workers,
        local_gbps=link.local_gbps,
        methods=_kept_methods(config, replicas, shapes, kept),
    )


def _kept_methods(
    config: TrainConfig, replicas: int, shapes: Mapping[str, Shape], kept: RunState | None
) -> Mapping[str, Method]:
    mine = (replicas, config.global_batch_size // replicas, exchange_mode(config))
    if (
        kept is None
        or (kept.replicas, kept.per_replica_batch, kept.exchange_mode) != mine
        or kept.exchange.keys() != shapes.keys()
    ):
        return {}
    try:
        return {name: Method(method) for name, method in kept.exchange.items()}
    except ValueError:
        return {}  # Of another version, which knew ways that this one does not.


def exchange_mode(config: TrainConfig) -> str:
    """Give the mode to plan with: factors need a head that sees exactly one position.

    Raises:
        ConfigError: Factors were asked for where the head is a convolution over larger features.
    """
    dense_head = config.head == "fc" and config.image_size_px // DOWNSAMPLING > FC6_WINDOW
    if dense_head and config.exchange in ("factors", "bfloat16"):
        raise ConfigError(
            f"exchange {config.exchange} needs image_size_px below "
            f"{DOWNSAMPLING * (FC6_WINDOW + 1)} with head fc, not {config.image_size_px}; "
            "use --exchange=dense"
        )
    return "dense" if dense_head else config.exchange
