"""What `submit` says before it sends anything: the job in a few lines a person can check."""

from job.contract.configs import TrainConfig
from job.contract.wording import many
from launcher.describe.dataset_facts import DatasetFacts
from launcher.describe.estimate import Estimate
from launcher.describe.spec import JobSpec
from launcher.manifests import units


def training_rows(
    spec: JobSpec, config: TrainConfig, facts: DatasetFacts, estimate: Estimate
) -> list[tuple[str, str]]:
    """Describe a training job as (what, text)."""
    rows = [("runs", _size(spec))]
    if spec.in_cluster:
        rows.append(("image", _image(spec.image)))
    rows += [
        ("data", f"{config.data} ({facts.train_examples:,} training images, {facts.source})"),
        ("run", config.run),
        ("start", _start(config)),
        ("steps", _steps(config, estimate)),
        ("memory", _memory(estimate, gpus=spec.resources.gpus > 0)),
    ]
    if config.then:
        rows.append(("then", f"{config.then.replace(',', ', ')}, by the first worker"))
    if estimate.exchange:
        rows.append(("exchange", estimate.exchange))
    return [*rows, ("time", _time(estimate, spec))]


def _start(config: TrainConfig) -> str:
    if config.resume:
        return "the run's newest checkpoint"
    return config.init_checkpoint or "random weights (--init_checkpoint loads VGG19's)"


def _size(spec: JobSpec) -> str:
    resources = spec.resources
    each = many(resources.gpus, "GPU")
    if not resources.gpus:
        each = f"{resources.millicpus / 1000:g} CPUs"
    if not spec.in_cluster:
        each = "this machine's CPUs" if not resources.gpus else each
    where = [word for word in (spec.scheduling.accelerator, "spot" * spec.scheduling.spot) if word]
    details = f" ({', '.join(where)})" if where else ""
    queue = f" in queue {spec.scheduling.queue}" if spec.scheduling.queue else ""
    workers = many(spec.workers, "worker")
    return f"{workers} x {each}{details}, as {spec.backend.phrase}{queue}"


def _image(image: str) -> str:
    return image if "@sha256:" in image else f"{image} (a tag can move; @sha256:… cannot)"


def _steps(config: TrainConfig, estimate: Estimate) -> str:
    length = f"{config.epochs:g} epochs" if config.steps is None else "--steps"
    return (
        f"{estimate.steps:,} of {config.global_batch_size} images ({length}), "
        f"{estimate.per_replica_batch} on each of {many(estimate.replicas, 'replica')}"
    )


def _memory(estimate: Estimate, *, gpus: bool) -> str:
    needed = f"about {estimate.memory_bytes / units.GIB:.1f} GiB per {'GPU' if gpus else 'worker'}"
    if estimate.memory_limit_bytes is None:
        return needed
    there = estimate.memory_limit_bytes / units.GIB
    if estimate.memory_bytes > estimate.memory_limit_bytes:
        more = "" if gpus else " or --memory"
        return f"{needed}, MORE than the {there:.1f} GiB there are: raise --accumulate_steps{more}"
    return f"{needed} of {there:.1f} GiB"


def _time(estimate: Estimate, spec: JobSpec) -> str:
    step_s = estimate.compute_s + estimate.exchange_s
    total_s = max(1.0, estimate.steps * step_s)
    each = f"{step_s:.2g}" if step_s < 100 else f"{step_s:,.0f}"
    text = f"about {units.format_seconds(total_s)} ({each} s per step)"
    if spec.in_cluster and total_s > spec.max_duration_s:
        text += f", LONGER than --max-duration {units.format_seconds(spec.max_duration_s)}"
    return f"{text}, assuming {', '.join(estimate.assumptions)}"
