"""What a training job will need and take, before it runs: memory, traffic, time. Pure.

Everything here is arithmetic on the network's shapes. It assumes, says what it assumes, and is
right within a factor of about two; the job's own log has the measured numbers.
"""

import math
from dataclasses import dataclass

from job.contract.configs import TrainConfig
from job.distributed.exchange_bundles import Method
from job.distributed.exchange_plan import Cost, Plan, plan_exchange
from job.distributed.machines import MACHINES
from job.distributed.plan_table import links_in_words
from job.model.shapes import conv_layers, head_layers, layer_shapes
from job.training.schedule import total_steps
from launcher.describe import accelerators, sizing
from launcher.describe.cpu_speed import CLOUD_GFLOPS
from launcher.describe.dataset_facts import DatasetFacts
from launcher.describe.spec import JobSpec
from launcher.manifests import units

_GPU_RESERVED_BYTES = round(1.5 * units.GIB)
"""CUDA context, cuDNN workspace and fragmentation."""
_CPU_RESERVED_BYTES = round(0.7 * units.GIB)
"""Python, TensorFlow and the input pipeline."""
_UTILISATION = 0.35
_STEP_OVERHEAD_S = 0.01
"""What a step costs beside arithmetic; all that counts for tiny networks."""
_ONE_MACHINE_GBPS = 100.0
"""GPUs of one machine over PCIe; NVLink is several times faster."""
_CPU_NETWORK_GBPS = 10.0
_BACKWARD_COST = 3
"""Forward and backward pass cost three forward passes (Kaplan et al., 2020, appendix)."""


@dataclass(frozen=True)
class Estimate:
    """A job's needs. `assumptions` are sentences to be shown beside the numbers."""

    steps: int
    replicas: int
    per_replica_batch: int
    memory_bytes: int
    """Of one GPU, or of one CPU worker."""
    memory_limit_bytes: int | None
    """What there is, where it is known."""
    compute_s: float
    """One step without its exchange."""
    exchange_s: float
    """One step's exchange of gradients; nothing of it overlaps with arithmetic here."""
    exchange: str
    """The plan of the exchange, in words; empty for one replica."""
    assumptions: tuple[str, ...]


def estimate(
    spec: JobSpec, config: TrainConfig, facts: DatasetFacts, cpu_gflops: float = CLOUD_GFLOPS
) -> Estimate:
    """Estimate a job.

    Args:
        spec: The job.
        config: Its trainer's configuration.
        facts: Its dataset's.
        cpu_gflops: Speed of one CPU core where there are no GPUs, in GFLOP/s.
    """
    gpus = spec.resources.gpus
    replicas = spec.workers * max(gpus, 1)
    per_replica = config.global_batch_size // replicas
    sixteen_bit = gpus > 0 and config.precision != "float32"
    memory = sizing.training_memory_bytes(config, per_replica, value_bytes=2 if sixteen_bit else 4)
    rate, assumption = _rate(spec, config, cpu_gflops)
    plan = _plan(spec, config, facts, per_replica, replicas, rate) if replicas > 1 else None
    return Estimate(
        steps=total_steps(config, facts.train_examples),
        replicas=replicas,
        per_replica_batch=per_replica,
        memory_bytes=memory + (_GPU_RESERVED_BYTES if gpus else _CPU_RESERVED_BYTES),
        memory_limit_bytes=_memory_limit(spec),
        compute_s=_STEP_OVERHEAD_S + per_replica * flops_per_image(config, facts.classes) / rate,
        exchange_s=plan.planned.seconds if plan else 0.0,
        exchange=plan_in_words(plan) if plan else "",
        assumptions=(
            assumption,
            *([links_in_words(plan)] if plan else []),
            "input that keeps up",
        ),
    )


def _plan(
    spec: JobSpec,
    config: TrainConfig,
    facts: DatasetFacts,
    per_replica: int,
    replicas: int,
    rate: float,
) -> Plan:
    half = spec.resources.gpus > 0 and config.precision != "float32"
    return plan_exchange(
        layer_shapes(facts.classes, config.head, config.width_multiplier),
        per_replica,
        replicas,
        config.network_gbps or _network_gbps(spec),
        config.exchange,
        product_gflops=rate / 1e9,
        compute_dtype="bfloat16" if half else "float32",
        workers=spec.workers,
        local_gbps=_local_gbps(spec),
    )


def _network_gbps(spec: JobSpec) -> float:
    if spec.workers == 1:
        return _ONE_MACHINE_GBPS
    if not spec.resources.gpus:
        return _CPU_NETWORK_GBPS
    return accelerators.describe(spec.scheduling.accelerator).network_gbps


def _local_gbps(spec: JobSpec) -> float:
    """Give what links the GPUs of one worker: NVLink or PCIe."""
    known = MACHINES.get(spec.scheduling.accelerator)
    return known.local_gbps if known else _ONE_MACHINE_GBPS


def plan_in_words(plan: Plan) -> str:
    """Say which layers travel how, and what that saves."""
    ways = {Method.FACTORS: "as factors", Method.BFLOAT16: "in bfloat16", Method.DENSE: "dense"}
    weights = [v for v in plan.variables if v.name.endswith("/weights")]
    used = {way for v in weights for way in [v.method]}
    if len(used) == 1:
        said = f"everything {ways[used.pop()]}"
    else:
        layers = [v.name.split("/")[-2] for v in weights if v.method is Method.FACTORS]
        rest = next(ways[way] for way in used if way is not Method.FACTORS)
        said = f"{', '.join(layers)} as factors, the rest {rest}"
    planned, dense = _megabytes(plan.planned), _megabytes(plan.dense)
    instead = "" if planned == dense else f", {dense} all dense"
    return f"{said}: {planned} per step and replica{instead}"


def _megabytes(cost: Cost) -> str:
    return f"{cost.sent_bytes / 1e6:,.{0 if cost.sent_bytes >= 1e7 else 1}f} MB"


def flops_per_image(config: TrainConfig, classes: int) -> float:
    """Count the floating point operations of training on one image."""
    side, total = config.image_size_px, 0
    for name, (height, width, channels_in, channels) in conv_layers(
        config.width_multiplier
    ).items():
        block = int(name.rsplit("/conv", 1)[1].split("_")[0])
        pixels = math.ceil(side / 2 ** (block - 1)) ** 2
        total += height * width * channels_in * channels * pixels
    total += sum(
        math.prod(s) for s in head_layers(classes, config.head, config.width_multiplier).values()
    )
    return 2.0 * _BACKWARD_COST * total


def _memory_limit(spec: JobSpec) -> int | None:
    if not spec.resources.gpus:
        return spec.resources.memory_bytes if spec.in_cluster else None
    known = accelerators.KNOWN.get(spec.scheduling.accelerator)
    return round(known.memory_gib * units.GIB) if known else None


def _rate(spec: JobSpec, config: TrainConfig, cpu_gflops: float) -> tuple[float, str]:
    """Give FLOP/s of one replica, and the assumption behind it."""
    if not spec.resources.gpus:
        cores = spec.resources.millicpus / 1000
        return cores * cpu_gflops * 1e9, f"{cpu_gflops:g} GFLOP/s per CPU ({cores:g})"
    model = spec.scheduling.accelerator
    peak = accelerators.describe(model).peak_tflops / (2 if config.precision == "float32" else 1)
    shown = model or "an unnamed GPU (give --accelerator)"
    return peak * _UTILISATION * 1e12, f"{_UTILISATION:.0%} of {peak:g} TFLOP/s on {shown}"
