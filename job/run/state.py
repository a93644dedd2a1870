"""Everything that decides the next bit of a run beside its variables: what a restart goes by."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from job.contract.schema import Count, Word


@dataclass(frozen=True, kw_only=True)
class RunState:
    """State of a run at a checkpoint.

    Attributes:
        examples: Training images seen until here, by all replicas; None where nobody counted.
        precision: Arithmetic of the network: float32, bfloat16 or float16; empty if not noted.
        loss_scale: Factor on the loss of the next step.
        steps_without_overflow: Of the loss scale.
        replicas: Replicas that shared each batch.
        workers: Workers that shared these replicas.
        network_gbps: Bandwidth that the exchange was planned for, in Gbit/s.
        product_gflops: Speed of a product that it was planned for, in GFLOP/s.
        per_replica_batch: Images of one step on one replica.
        exchange_mode: Which exchange was asked for.
        exchange: How the gradient of each variable travels, by the variable's name.
        head_is_new: Whether the last layer began with random weights on top of pretrained ones;
            None if not noted.
        machine: What the processor or GPU can do, on which the last bits of sums depend.
    """

    examples: Count | None = None
    precision: Word = ""
    loss_scale: float = 1.0
    steps_without_overflow: Count = 0
    replicas: Count = 0
    workers: Count = 0
    network_gbps: float = 0.0
    product_gflops: float = 0.0
    per_replica_batch: Count = 0
    exchange_mode: Word = ""
    exchange: Mapping[Word, Word] = field(default_factory=dict)
    head_is_new: bool | None = None
    machine: Word = ""

    @classmethod
    def from_numbers(cls, numbers: Mapping[str, float | None]) -> "RunState":
        """Read the state of a checkpoint of before it had a type: names and numbers."""
        found = {name: value for name, value in numbers.items() if value and math.isfinite(value)}
        return cls(
            loss_scale=found.get("loss_scale", 1.0),
            steps_without_overflow=int(found.get("steps_without_overflow", 0)),
            replicas=int(found.get("replicas", 0)),
            workers=int(found.get("workers", 0)),
            network_gbps=found.get("network_gbps", 0.0),
            product_gflops=found.get("product_gflops", 0.0),
        )
