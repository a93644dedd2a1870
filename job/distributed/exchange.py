"""Carries out the plan of `job/distributed/exchange_plan.py` with TensorFlow's own collectives.

Everything here runs in the replica function, on every replica in the same order. The gather of
the factors is issued first and the bundles follow from the last layer to the first, so that each
can travel as soon as the backward pass has brought it.
"""

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from job.distributed.exchange_bundles import Bundle, Method, Piece, bundle_bytes
from job.distributed.exchange_plan import Link, Plan, VariablePlan, factor_sizes

Tensors = Mapping[str, tf.Tensor]
_MEASUREMENTS = 5
_PRODUCT_ROWS, _PRODUCT_WIDTH = 64, 2048


def exchange(plan: Plan, gradients: Tensors, inputs: Tensors, deltas: Tensors) -> dict[str, Any]:
    """Sum the gradients of all replicas; call it in the replica function.

    Args:
        plan: Made from the same numbers on every worker.
        gradients: This replica's float32 gradient of each variable that travels dense.
        inputs: Inputs [batch, in] of each layer in `plan.factor_names`, by its weights' name.
        deltas: Derivatives [batch, out] of the loss by the layer's outputs, by the same name.

    Returns:
        The sum over all replicas by name, float32, in the plan's order, the same everywhere.

    Raises:
        ValueError: Gradients or factors do not fit the plan.
    """
    _check(plan, gradients, inputs, deltas)
    if plan.replicas == 1:
        return dict(gradients)
    reduced = _gather_factors(plan, inputs, deltas) | _reduce_bundles(plan, gradients)
    return {variable.name: reduced[variable.name] for variable in plan.variables}


def _check(plan: Plan, gradients: Tensors, inputs: Tensors, deltas: Tensors) -> None:
    factors = set(plan.factor_names)
    dense = {variable.name for variable in plan.variables} - factors
    for kind, given, planned in (
        ("gradients", gradients, dense),
        ("inputs", inputs, factors),
        ("deltas", deltas, factors),
    ):
        differing = sorted(given.keys() ^ planned)
        if differing:
            raise ValueError(
                f"{kind} do not fit the plan, which has {len(planned)} of them, not {len(given)}; "
                f"the first that differs is {differing[0]}"
            )


def _gather_factors(plan: Plan, inputs: Tensors, deltas: Tensors) -> dict[str, tf.Tensor]:
    layers = [variable for variable in plan.variables if variable.method is Method.FACTORS]
    if not layers:
        return {}
    # One gather for all layers: each is [batch, width], side by side.
    gather = _gather_bfloat16 if plan.wire_bytes == 2 else _gather_float32
    everyone = gather(
        tf.concat([given[layer.name] for layer in layers for given in (inputs, deltas)], axis=1),
        plan.replicas,
    )
    widths = [width for layer in layers for width in factor_sizes(layer.shape)]
    columns = iter(tf.split(everyone, widths, axis=1))
    return {layer.name: _product(layer, next(columns), next(columns)) for layer in layers}


def _gather_float32(own: tf.Tensor, replicas: int) -> tf.Tensor:
    everyone = tf.distribute.get_replica_context().all_gather(tf.cast(own, tf.float32), axis=0)
    return tf.ensure_shape(everyone, [replicas * own.shape[0], own.shape[1]])


def _gather_bfloat16(own: tf.Tensor, replicas: int) -> tf.Tensor:
    # all_gather takes no bfloat16, so two of them travel as the bits of one float32.
    rows, width = own.shape
    even = tf.pad(tf.cast(own, tf.bfloat16), [[0, 0], [0, width % 2]])
    pairs = tf.bitcast(tf.reshape(even, [rows, -1, 2]), tf.float32)
    everyone = tf.bitcast(_gather_float32(pairs, replicas), tf.bfloat16)
    flat = tf.reshape(everyone, [replicas * rows, -1])
    return tf.cast(flat[:, :width], tf.float32)


def _product(layer: VariablePlan, inputs: tf.Tensor, deltas: tf.Tensor) -> tf.Tensor:
    return tf.reshape(tf.matmul(inputs, deltas, transpose_a=True), layer.shape)


def _reduce_bundles(plan: Plan, gradients: Tensors) -> dict[str, tf.Tensor]:
    arrived: dict[str, list[tf.Tensor]] = {}
    flat = {name: tf.reshape(gradient, [-1]) for name, gradient in gradients.items()}
    for bundle in plan.bundles:
        for piece, part in _reduce(bundle, flat):
            arrived.setdefault(piece.name, []).append(part)
    shapes = {variable.name: variable.shape for variable in plan.variables}
    return {
        name: tf.reshape(tf.concat(parts, axis=0), shapes[name]) for name, parts in arrived.items()
    }


def _reduce(bundle: Bundle, flat: Tensors) -> list[tuple[Piece, tf.Tensor]]:
    parts = [flat[piece.name][piece.start : piece.stop] for piece in bundle.pieces]
    together = tf.concat(parts, axis=0)
    if bundle.method is Method.BFLOAT16:
        together = tf.cast(together, tf.bfloat16)
    context = tf.distribute.get_replica_context()
    total = tf.cast(context.all_reduce(tf.distribute.ReduceOp.SUM, together), tf.float32)
    parts = tf.split(total, [piece.size for piece in bundle.pieces])
    return list(zip(bundle.pieces, parts, strict=True))


def measure_link(strategy: tf.distribute.Strategy, network_gbps: float = 0.0) -> Link:
    """Measure what a plan needs to know; every worker must call it, and gets the same numbers.

    Args:
        strategy: Connects the workers.
        network_gbps: What is known of the network; 0 measures it.

    Takes about half a second on a network of 1 Gbit/s. Measured anew, the numbers differ a
    little: a run that must resume bit for bit keeps them with its checkpoints.
    """
    return Link(
        network_gbps=network_gbps or _measure_network(strategy),
        product_gflops=_measure_product(strategy),
    )


def _measure_network(strategy: tf.distribute.Strategy) -> float:
    replicas = strategy.num_replicas_in_sync
    size = bundle_bytes(replicas)
    seconds = _median_seconds(lambda: _sum_over_replicas(strategy, lambda: tf.ones([size // 4])))
    sent_bits = 2 * (replicas - 1) / replicas * size * 8
    return _rounded(sent_bits / _mean_over_replicas(strategy, seconds) / 1e9)


def _measure_product(strategy: tf.distribute.Strategy) -> float:
    rows = tf.ones([_PRODUCT_ROWS, _PRODUCT_WIDTH])
    seconds = _median_seconds(lambda: tf.matmul(rows, rows, transpose_a=True))
    operations = 2 * _PRODUCT_ROWS * _PRODUCT_WIDTH**2
    return _rounded(operations / _mean_over_replicas(strategy, seconds) / 1e9)


def _mean_over_replicas(strategy: tf.distribute.Strategy, value: float) -> float:
    """Give one number everywhere, unlike each worker's own."""
    mine = tf.constant(value / strategy.num_replicas_in_sync)
    return float(_compiled(lambda: _sum_over_replicas(strategy, lambda: tf.identity(mine)))())


def _sum_over_replicas(strategy: tf.distribute.Strategy, make: Callable[[], tf.Tensor]) -> Any:
    def replica() -> tf.Tensor:
        context = tf.distribute.get_replica_context()
        return context.all_reduce(tf.distribute.ReduceOp.SUM, make())

    return strategy.experimental_local_results(strategy.run(replica))[0]


def _compiled(compute: Callable[[], tf.Tensor]) -> Callable[[], tf.Tensor]:
    return tf.function(compute, autograph=False)  # type: ignore[no-any-return]


def _median_seconds(computation: Callable[[], tf.Tensor]) -> float:
    compute = _compiled(computation)
    compute().numpy()  # Traces, and opens connections.
    seconds = []
    for _ in range(_MEASUREMENTS):
        started = time.perf_counter()
        compute().numpy()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


def _rounded(value: float) -> float:
    return float(f"{max(value, 0.01):.2g}")
