"""What all workers of a run must hold in common, checked and shared over the strategy itself."""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from job.contract.errors import ConfigError
from job.distributed.cluster import Cluster
from job.model import precision
from job.model.precision import Precision

_BUFFER_CHARACTERS = 16_384


def agree(strategy: tf.distribute.Strategy, cluster: Cluster, facts: Mapping[str, Any]) -> None:
    """Make sure that every worker was started for the same run.

    Args:
        strategy: Connects the workers.
        cluster: Who this worker is.
        facts: What must be the same everywhere, as JSON or as dataclasses of it.

    Raises:
        ConfigError: A worker differs from the first one; it and the differences are named. It is
            raised on all workers, so that all of them end.
    """
    if cluster.num_workers == 1:
        return
    mine = _flatten(facts)
    texts = _gather_texts(strategy, json.dumps(mine, sort_keys=True))
    first = json.loads(texts[0])
    for worker in range(1, cluster.num_workers):
        # Replicas are numbered worker by worker, the same number on each.
        other = json.loads(texts[worker * len(texts) // cluster.num_workers])
        if other != first:
            differing = [
                f"{name} is {first.get(name)!r} on worker 0 and {other.get(name)!r} on it"
                for name in sorted(first.keys() | other.keys())
                if first.get(name) != other.get(name)
            ]
            raise ConfigError(
                f"worker {worker} was started for another run: {'; '.join(differing)}; "
                "give all workers the same flags and data"
            )


def from_chief(strategy: tf.distribute.Strategy, cluster: Cluster, value: int) -> int:
    """Give every worker the first one's value."""
    if cluster.num_workers == 1:
        return value
    values = _all_gather(strategy, np.array([value], np.int64))
    return int(values[0])


def same_precision(asked_for: str, strategy: tf.distribute.Strategy, cluster: Cluster) -> Precision:
    """Choose on the first worker for all: two machines may measure differently."""
    measured = cluster.is_chief or asked_for != "auto"
    own = precision.choose(asked_for).name if measured else precision.NAMES[0]
    number = from_chief(strategy, cluster, precision.NAMES.index(own))
    return precision.choose(precision.NAMES[number])


def _flatten(facts: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in facts.items():
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            flat |= dataclasses.asdict(value)
        else:
            flat[name] = value
    return flat


def _gather_texts(strategy: tf.distribute.Strategy, text: str) -> list[str]:
    codes = np.frombuffer(text.encode("utf-32-le"), np.int32)
    if len(codes) > _BUFFER_CHARACTERS:
        raise ConfigError(f"the configuration is too long: {len(codes)} characters")
    padded = np.zeros((1, _BUFFER_CHARACTERS), np.int32)
    padded[0, : len(codes)] = codes
    gathered = _all_gather(strategy, padded)
    return [row[row != 0].tobytes().decode("utf-32-le") for row in gathered]


def _all_gather(strategy: tf.distribute.Strategy, mine: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Concatenate every replica's array along the first axis, in the order of the replicas."""

    @tf.function  # type: ignore[untyped-decorator]
    def gather() -> Any:
        def replica() -> tf.Tensor:
            return tf.distribute.get_replica_context().all_gather(tf.constant(mine), axis=0)

        return strategy.experimental_local_results(strategy.run(replica))[0]

    result: npt.NDArray[Any] = gather().numpy()
    return result
