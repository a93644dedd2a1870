"""The plan of the gradient exchange: which variable travels how, in what pieces, at what cost.

Pure arithmetic on shapes, standard library only: the trainer, TensorBoard, `launcher submit` and
`job.scaling` all print the same plan. `job/distributed/exchange.py` carries it out.

A dense gradient of S bytes costs each of n replicas 2 (n-1)/n S bytes in a ring all-reduce. The
gradient of a fully connected layer is a product of two small factors, inputs [batch, in] and
deltas [batch, out]; gathering those costs (n-1) batch (in + out) numbers and a larger product.
(Sufficient factor broadcasting: Xie et al. 2015; choosing per layer: Zhang et al., Poseidon, 2017.)

Replicas of one worker are linked by NVLink or PCIe, workers by a network. Both exchanges go round
one ring that visits worker after worker, as NCCL's do: every byte passes every link, so the slowest
one sets the pace, and latencies add up: one for each worker on the network, the others within.
"""

import dataclasses
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from job.distributed.exchange_bundles import Bundle, Method, bundle, bundle_bytes

Shape = tuple[int, ...]

MODES = ("auto", "dense", "bfloat16", "factors")
HOP_LATENCY_S = 0.0002
"""Cost of one message between two workers that does not depend on its size."""
LOCAL_HOP_LATENCY_S = 0.00001
"""The same between two GPUs of one worker."""
GATHERS_PER_EXCHANGE = 2
"""`all_gather` first gathers the shapes, then the numbers."""
FLOAT32_LAYERS = ("fc8",)
"""Layers that are computed in float32 whatever the others are computed in (job/model/vgg19.py)."""
DEFAULT_NETWORK_GBPS = 10.0
"""Bandwidth of a network that nobody named or measured: what cloud machines have at least."""
DEFAULT_PRODUCT_GFLOPS = 10_000.0
"""Speed of the factors' product where nobody measured it: a GPU's, with a wide margin."""


@dataclass(frozen=True)
class Link:
    """What the exchange runs on; all workers must plan from the same numbers.

    Attributes:
        network_gbps: What a worker sends to a neighbour, in Gbit/s.
        product_gflops: Speed of the factors' product, in GFLOP/s.
        hop_latency_s: Cost of one message between two workers whatever its size, in seconds.
        local_gbps: What a replica sends to a neighbour in its own worker, in Gbit/s; 0 if nobody
            knows: it then counts as the network.
        local_hop_latency_s: Cost of such a message whatever its size, in seconds.
    """

    network_gbps: float
    product_gflops: float = DEFAULT_PRODUCT_GFLOPS
    hop_latency_s: float = HOP_LATENCY_S
    local_gbps: float = 0.0
    local_hop_latency_s: float = LOCAL_HOP_LATENCY_S

    def gbps(self, workers: int) -> float:
        """Give the bandwidth of the slowest link of a ring over that many workers."""
        if not self.local_gbps:
            return self.network_gbps
        return self.local_gbps if workers == 1 else min(self.network_gbps, self.local_gbps)

    def round_s(self, replicas: int, workers: int) -> float:
        """Give the latencies of one way round the ring, in seconds."""
        if not self.local_gbps:
            return (replicas - 1) * self.hop_latency_s
        within = (replicas - workers) * self.local_hop_latency_s
        return (workers - 1) * self.hop_latency_s + within


@dataclass(frozen=True)
class Cost:
    """What one step of the exchange costs each replica."""

    sent_bytes: float = 0.0
    seconds: float = 0.0

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(self.sent_bytes + other.sent_bytes, self.seconds + other.seconds)


@dataclass(frozen=True)
class VariablePlan:
    """One variable: how it travels, and what that costs beside a dense float32 all-reduce."""

    name: str
    shape: Shape
    method: Method
    dense: Cost
    planned: Cost

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class Plan:
    """The exchange of one training step, the same on every worker.

    Attributes:
        wire_bytes: Bytes of one number of a factor: 4 in float32, 2 in bfloat16.
        variables: In the order of the forward pass.
        bundles: The all-reduces in the order in which they are issued: backwards, so that a
            layer's gradient can travel while those of earlier layers are still computed.
    """

    mode: str
    replicas: int
    workers: int
    per_replica_batch: int
    link: Link
    wire_bytes: int
    variables: tuple[VariablePlan, ...]
    bundles: tuple[Bundle, ...]

    @cached_property
    def factor_names(self) -> tuple[str, ...]:
        """Variables whose gradient is formed from factors and must not be computed locally."""
        return tuple(v.name for v in self.variables if v.method is Method.FACTORS)

    @cached_property
    def dense(self) -> Cost:
        """What a dense float32 exchange of everything would cost."""
        all_dense = (dataclasses.replace(v, method=Method.DENSE) for v in self.variables)
        return sum((v.dense for v in self.variables), Cost()) + _latency(
            self.link,
            self.replicas,
            self.workers,
            len(bundle(all_dense, bundle_bytes(self.replicas))),
            gathers=0,
        )

    @cached_property
    def planned(self) -> Cost:
        """What this plan costs."""
        gathers = GATHERS_PER_EXCHANGE if self.factor_names else 0
        return sum((v.planned for v in self.variables), Cost()) + _latency(
            self.link, self.replicas, self.workers, len(self.bundles), gathers
        )


def plan_exchange(
    shapes: Mapping[str, Shape],
    per_replica_batch: int,
    replicas: int,
    network_gbps: float,
    mode: str = "auto",
    *,
    product_gflops: float = DEFAULT_PRODUCT_GFLOPS,
    compute_dtype: str = "float32",
    hop_latency_s: float = HOP_LATENCY_S,
    workers: int = 0,
    local_gbps: float = 0.0,
    methods: Mapping[str, Method] | None = None,
) -> Plan:
    """Choose for each variable how its gradient travels.

    `auto` takes what is fastest among the ways that lose nothing: dense float32, and factors, in
    bfloat16 where the network computes them in bfloat16. `bfloat16` halves what travels, and
    rounds it. `dense` and `factors` force one way (factors: for fully connected layers).

    Args:
        shapes: Shape of each variable by name, in the order of the forward pass, as
            `vgg19_shapes.layer_shapes` gives them.
        per_replica_batch: Examples of one step on one replica.
        replicas: Replicas of all workers together.
        network_gbps: What a worker can send, in Gbit/s; 0 if nobody knows.
        mode: One of MODES.
        product_gflops: Speed of a matrix product, in GFLOP/s.
        compute_dtype: Type of the network's activations.
        hop_latency_s: Cost of one message between two workers whatever its size, in seconds.
        workers: Workers that share the replicas evenly; 0: each replica is one.
        local_gbps: What a replica can send within its worker, in Gbit/s; 0 if nobody knows.
        methods: How each variable travels, if that is known already.

    Raises:
        ValueError: An unknown mode, or a number that is not positive.
    """
    network_gbps = network_gbps or DEFAULT_NETWORK_GBPS
    if mode not in MODES:
        raise ValueError(f"exchange mode {mode!r} must be one of {', '.join(MODES)}")
    if min(per_replica_batch, replicas, network_gbps, product_gflops) <= 0:
        raise ValueError(
            f"a plan needs positive numbers, not batch {per_replica_batch}, {replicas} replicas, "
            f"{network_gbps:g} Gbit/s, {product_gflops:g} GFLOP/s"
        )
    half = mode == "bfloat16" or (mode == "auto" and compute_dtype == "bfloat16")
    link = Link(network_gbps, product_gflops, hop_latency_s, local_gbps)
    workers = workers or replicas
    planner = _Planner(mode, per_replica_batch, replicas, workers, link, 2 if half else 4)
    variables = planner.variables(shapes, methods or {})
    return Plan(
        mode=mode,
        replicas=replicas,
        workers=workers,
        per_replica_batch=per_replica_batch,
        link=link,
        wire_bytes=planner.wire_bytes,
        variables=variables,
        bundles=bundle(variables, bundle_bytes(replicas)),
    )


def is_fully_connected(name: str, shape: Shape) -> bool:
    """Whether a variable is the weights of a fully connected layer, by slim's names (fc6...)."""
    return name.endswith("/weights") and len(shape) > 1 and layer_name(name).startswith("fc")


def layer_name(variable: str) -> str:
    """Give the name of a variable's layer: conv1_2 of vgg_19/conv1/conv1_2/weights."""
    return variable.split("/")[-2]


def factor_sizes(shape: Shape) -> tuple[int, int]:
    """Give the widths of the two factors: (in, out) of weights (height, width, in, out)."""
    return math.prod(shape[:-1]), shape[-1]


@dataclass(frozen=True)
class _Planner:
    mode: str
    batch: int
    replicas: int
    workers: int
    link: Link
    wire_bytes: int

    def variables(
        self, shapes: Mapping[str, Shape], methods: Mapping[str, Method]
    ) -> tuple[VariablePlan, ...]:
        if methods:
            return tuple(
                self._variable(name, shape, methods[name]) for name, shape in shapes.items()
            )
        factors = {name for name, shape in shapes.items() if self._prefers_factors(name, shape)}
        if self.mode != "factors" and not self._worth_a_gather(shapes, factors):
            factors = set()
        return tuple(
            self._variable(name, shape, Method.FACTORS if name in factors else self._dense(shape))
            for name, shape in shapes.items()
        )

    def _dense(self, shape: Shape) -> Method:
        # Biases are too small to gain anything from rounding them.
        return Method.BFLOAT16 if self.mode == "bfloat16" and len(shape) > 1 else Method.DENSE

    def _prefers_factors(self, name: str, shape: Shape) -> bool:
        if self.mode == "dense" or self.replicas == 1 or not is_fully_connected(name, shape):
            return False
        if self.mode == "auto" and self.wire_bytes == 2 and layer_name(name) in FLOAT32_LAYERS:
            return False  # Rounding its factors would lose something.
        return self.mode == "factors" or self._gain(shape) > 0

    def _gain(self, shape: Shape) -> float:
        other = self._cost(shape, self._dense(shape))
        return other.seconds - self._cost(shape, Method.FACTORS).seconds

    def _worth_a_gather(self, shapes: Mapping[str, Shape], factors: Iterable[str]) -> bool:
        gain = sum(self._gain(shapes[name]) for name in factors)
        gather = _latency(self.link, self.replicas, self.workers, 0, GATHERS_PER_EXCHANGE)
        return gain > gather.seconds

    def _variable(self, name: str, shape: Shape, method: Method) -> VariablePlan:
        dense = self._cost(shape, Method.DENSE)
        return VariablePlan(name, shape, method, dense, self._cost(shape, method))

    def _cost(self, shape: Shape, method: Method) -> Cost:
        others = self.replicas - 1
        flops = 0.0
        if method is Method.FACTORS:
            width_in, width_out = factor_sizes(shape)
            sent: float = others * self.batch * (width_in + width_out) * self.wire_bytes
            # A replica that sends its dense gradient has computed its own share of the product.
            flops = 2 * others * self.batch * width_in * width_out
        else:
            number = 2 if method is Method.BFLOAT16 else 4
            sent = 2 * others / self.replicas * math.prod(shape) * number
        seconds = sent * 8 / (self.link.gbps(self.workers) * 1e9)
        return Cost(sent, seconds + flops / (self.link.product_gflops * 1e9))


def _latency(link: Link, replicas: int, workers: int, reductions: int, gathers: int) -> Cost:
    return Cost(seconds=link.round_s(replicas, workers) * (2 * reductions + gathers))
