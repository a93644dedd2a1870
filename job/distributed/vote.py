"""A question to all workers at the same moment: does any of them want this?"""

from typing import Any

import tensorflow as tf

from job.distributed.cluster import Cluster


class Vote:
    """Adds up yes and no over the workers; compiled once, and asked as often as wanted.

    Args:
        strategy: Connects the workers; all of them must ask at the same moment.
        cluster: Who this worker is.
    """

    def __init__(self, strategy: tf.distribute.Strategy, cluster: Cluster) -> None:
        self._alone = cluster.num_workers == 1

        def replica(mine: tf.Tensor) -> tf.Tensor:
            context = tf.distribute.get_replica_context()
            return context.all_reduce(tf.distribute.ReduceOp.SUM, tf.cast(mine, tf.float32))

        @tf.function(autograph=False)  # type: ignore[untyped-decorator]
        def count(mine: tf.Tensor) -> Any:
            return strategy.experimental_local_results(strategy.run(replica, (mine,)))[0]

        self._count = count

    def any(self, mine: bool) -> bool:
        """Whether any worker said yes; the same answer on all of them."""
        if self._alone:
            return mine
        return float(self._count(tf.constant(mine))) > 0
