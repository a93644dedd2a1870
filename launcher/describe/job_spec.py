"""Settings and a sized kind of job -> JobSpec; what is the same for every kind of job."""

from collections.abc import Sequence
from typing import Any

from launcher.describe import provenance, volumes
from launcher.describe.spec import JobSpec, Resources, Scheduling
from launcher.kinds import Kind
from launcher.manifests import units
from launcher.settings.fields import Settings


def assemble(
    settings: Settings,
    *,
    name: str,
    namespace: str,
    kind: str,
    backend: Kind,
    args: Sequence[str],
    output: str,
    workers: int,
    resources: Resources,
    config: Any,
) -> JobSpec:
    """Describe a job; the JobSpec checks everything in it.

    Raises:
        UsageError: A setting cannot become part of a manifest.
    """
    return JobSpec(
        name=name,
        namespace=namespace,
        kind=kind,
        backend=backend,
        image=settings.image,
        args=tuple(args),
        output=output,
        workers=workers,
        resources=resources,
        scheduling=Scheduling(
            cloud=settings.cloud,
            accelerator=settings.accelerator,
            spot=settings.spot,
            flex_start=settings.flex_start,
            reservation=settings.reservation,
            queue=settings.queue,
            queue_priority=settings.queue_priority,
            priority=settings.priority,
            placement=settings.placement,
            node_selector=settings.node_selector,
            tolerations=settings.tolerations,
        ),
        service_account=settings.service_account,
        image_pull_secret=settings.image_pull_secret,
        env=settings.env,
        secret_env=settings.secret_env,
        volumes=volumes.parse_all(settings.volumes),
        labels=settings.labels,
        annotations=settings.annotations,
        max_restarts=settings.max_restarts,
        max_duration_s=units.parse_seconds(settings.max_duration, "--max-duration"),
        ttl_s=units.parse_seconds(settings.ttl, "--ttl"),
        config_hash=provenance.config_hash(config),
        run_id=provenance.run_id(output),
        provenance=provenance.describe(settings),
    )
