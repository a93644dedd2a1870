"""How training scales: step time for 1 to 512 GPUs, dense against planned exchange. A prediction.

It adds the time of the exchange, as `job/distributed/exchange_plan.py` computes it, to the time
one GPU takes for its images. TensorFlow is not needed.
"""

import sys
from dataclasses import dataclass

from job.contract.configs import ScalingConfig
from job.contract.errors import ConfigError
from job.distributed.exchange_plan import plan_exchange
from job.distributed.machines import GPUS_PER_MACHINE, MACHINES, UTILISATION, Machine
from job.model.shapes import layer_shapes

NETWORKS_GBPS = (10.0, 25.0, 100.0)
GPUS = (1, 2, 4, 8, 16, 32, 64)
GPUS_OF_MACHINES = (8, 16, 64, 512)
MODES = ("dense", "auto", "bfloat16")
TRAINING_GFLOP = 118.0
"""Of one image of 224 px, forward and backward."""
_LABELS = {"dense": "dense", "auto": "planned", "bfloat16": "planned, bfloat16"}
_PLOT_SUFFIXES = (".png", ".svg", ".pdf")


@dataclass(frozen=True)
class Prediction:
    """One step on a number of GPUs.

    Attributes:
        step_s: Seconds of one step.
        images_per_s: Images all GPUs train on in a second.
        efficiency: images_per_s as a share of what the GPUs would do without an exchange.
    """

    step_s: float
    images_per_s: float
    efficiency: float


def predict(config: ScalingConfig, gpus: int, network_gbps: float, mode: str) -> Prediction:
    """Predict a step, with nothing of the exchange hidden behind the backward pass."""
    plan = plan_exchange(
        layer_shapes(config.num_classes, config.head),
        config.per_replica_batch,
        gpus,
        network_gbps,
        mode,
        product_gflops=config.product_tflops * 1e3,
        hop_latency_s=config.hop_latency_us * 1e-6,
    )
    compute_s = config.per_replica_batch / config.images_per_s
    return _prediction(config, gpus, compute_s, plan.planned.seconds)


def _prediction(
    config: ScalingConfig, gpus: int, compute_s: float, exchange_s: float
) -> Prediction:
    step_s = compute_s + exchange_s
    return Prediction(
        step_s=step_s,
        images_per_s=gpus * config.per_replica_batch / step_s,
        efficiency=compute_s / step_s,
    )


def scaling_table(config: ScalingConfig) -> str:
    """Tell step times and efficiencies for all networks, and what they rest on."""
    titles = "".join(f"{_LABELS[mode]:>22}" for mode in MODES)
    blocks = []
    for gbps in NETWORKS_GBPS:
        lines = [f"{gbps:g} Gbit/s between workers: ms per step (efficiency)", f"GPUs{titles}"]
        for gpus in GPUS:
            predictions = (predict(config, gpus, gbps, mode) for mode in MODES)
            cells = "".join(f"{p.step_s * 1e3:>14,.0f} ({p.efficiency:>4.0%})" for p in predictions)
            lines.append(f"{gpus:>4}{cells}")
        blocks.append("\n".join(lines))
    return "\n\n".join([*blocks, machines_table(config), assumptions(config)])


def predict_machines(config: ScalingConfig, machine: Machine, gpus: int, mode: str) -> Prediction:
    """Predict a step on machines of eight GPUs each, linked as theirs are."""
    tflops = machine.peak_tflops * UTILISATION
    plan = plan_exchange(
        layer_shapes(config.num_classes, config.head),
        config.per_replica_batch,
        gpus,
        machine.network_gbps,
        mode,
        product_gflops=tflops * 1e3,
        compute_dtype="bfloat16",
        hop_latency_s=config.hop_latency_us * 1e-6,
        workers=gpus // GPUS_PER_MACHINE,
        local_gbps=machine.local_gbps,
    )
    compute_s = config.per_replica_batch * TRAINING_GFLOP / (tflops * 1e3)
    return _prediction(config, gpus, compute_s, plan.planned.seconds)


def machines_table(config: ScalingConfig) -> str:
    """Tell step times and efficiencies on machines of eight GPUs, a link within and one between."""
    names = [name.removeprefix("nvidia-").removeprefix("tesla-") for name in MACHINES]
    titles = "".join(f"{f'{name}, {way}':>22}" for name in names for way in ("dense", "planned"))
    lines = [
        f"Machines of {GPUS_PER_MACHINE} GPUs: ms per step (efficiency)",
        f"GPUs{titles}",
    ]
    for gpus in GPUS_OF_MACHINES:
        cells = "".join(
            f"{p.step_s * 1e3:>14,.0f} ({p.efficiency:>4.0%})"
            for machine in MACHINES.values()
            for p in (predict_machines(config, machine, gpus, mode) for mode in ("dense", "auto"))
        )
        lines.append(f"{gpus:>4}{cells}")
    return "\n".join([*lines, *map(_of_machine, names, MACHINES.values())])


def _of_machine(name: str, machine: Machine) -> str:
    rate = machine.peak_tflops * UTILISATION * 1e3 / TRAINING_GFLOP
    return (
        f"{name}: {rate:,.0f} images/s alone ({UTILISATION:.0%} of {machine.peak_tflops:g} TFLOP/s)"
        f", {machine.local_gbps:g} Gbit/s within, {machine.network_gbps:g} Gbit/s between machines"
    )


def assumptions(config: ScalingConfig) -> str:
    """Say what the numbers rest on."""
    return "\n".join(
        [
            "Assumptions:",
            f"- one GPU alone trains on {config.images_per_s:g} images/s in batches of "
            f"{config.per_replica_batch}; input never waits",
            "- first tables: one GPU per worker, each sending at full bandwidth to one neighbour "
            f"in a ring; {config.hop_latency_us:g} us for each message",
            "- machines of 8 GPUs: one ring through all GPUs, machine after machine; its slowest "
            "link sets the pace; bfloat16 arithmetic",
            f"- products of factors run at {config.product_tflops:g} TFLOP/s",
            "- nothing of the exchange is hidden behind the backward pass (it partly is)",
        ]
    )


def write_plot(config: ScalingConfig, path: str) -> None:
    """Draw images/s against GPUs: dense dashed, planned solid, one colour for each network.

    Raises:
        ConfigError: The file's format is unknown, or it cannot be written.
    """
    from matplotlib.figure import Figure

    if not path.endswith(_PLOT_SUFFIXES):
        raise ConfigError(f"plot {path!r} must end in {', '.join(_PLOT_SUFFIXES)}")
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.add_subplot()
    ideal = [gpus * config.images_per_s for gpus in GPUS]
    axes.plot(GPUS, ideal, color="0.7", label="no exchange")
    for index, gbps in enumerate(NETWORKS_GBPS):
        for mode, style in (("auto", "-"), ("dense", "--")):
            speeds = [predict(config, gpus, gbps, mode).images_per_s for gpus in GPUS]
            label = f"{_LABELS[mode]}, {gbps:g} Gbit/s"
            axes.plot(GPUS, speeds, style, color=f"C{index}", marker=".", label=label)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log", base=2)
    axes.set_xticks(GPUS, [str(gpus) for gpus in GPUS])
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.set_xlabel("GPUs")
    axes.set_ylabel("images/s")
    axes.set_title("VGG19 training speed, predicted")
    axes.grid(alpha=0.3)
    axes.legend()
    try:
        figure.savefig(path)
    except OSError as error:
        raise ConfigError(f"plot {path!r} cannot be written: {error.strerror}") from error


def write_tables(config: ScalingConfig) -> None:
    """Print the table, and write the plot if one is asked for."""
    if config.plot:
        write_plot(config, config.plot)
    sys.stdout.write(scaling_table(config) + "\n")
