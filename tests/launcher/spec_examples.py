"""Job specs that the golden files and the schema tests share."""

import dataclasses
from typing import Any

from job.contract import flags
from job.contract.configs import EvaluateConfig, ExportConfig, PredictConfig, RecordsConfig
from launcher import kinds
from launcher.describe import tasks, training
from launcher.describe.spec import JobSpec, Provenance
from launcher.kinds import ClusterKind
from launcher.settings.fields import Settings

IMAGE = "registry.example/team/food101:0.1.0"
BASE: dict[str, Any] = {
    "image": IMAGE,
    "data": "gs://bucket/food101",
    "run_root": "gs://bucket/runs",
    "cache_size": "8Gi",
}


def train(backend: ClusterKind, job_flags: tuple[str, ...] = (), **settings: Any) -> JobSpec:
    """Make the spec of a training job from settings."""
    made = training.prepare(
        Settings(**(BASE | settings)),
        job_flags,
        name="nightly",
        run="",
        namespace="vision",
        backend=backend,
        with_facts=False,
    )
    return pinned(made.spec)


def task(
    kind: str, config: Any, output: str, count: int = 1, gpus: int = 0, **settings: Any
) -> JobSpec:
    """Make the spec of a job of independent tasks."""
    return pinned(
        tasks.prepare(
            Settings(**({"image": IMAGE, "cache_size": "8Gi"} | settings)),
            kind,
            config,
            output=output,
            name="",
            namespace="vision",
            backend=kinds.JOB,
            tasks=count,
            gpus=gpus,
        )
    )


def pinned(spec: JobSpec) -> JobSpec:
    """Replace what depends on this machine and moment, or on settings that no example makes."""
    return dataclasses.replace(
        spec,
        config_hash="c0ffee123456",
        provenance=Provenance(
            launcher_version="0.0.0",
            git_revision="0123456789ab",
            settings_json='{"gpus":8}',
            submission="5ab0551011d00000",
        ),
    )


EXAMPLES: dict[str, JobSpec] = {
    "tfjob-2-cpu-workers": train(kinds.TFJOB, gpus=0, workers=2, cpus="500m", memory="2Gi"),
    "tfjob-1-gpu": train(kinds.TFJOB, ("--steps=100",), gpus=1),
    "tfjob-16-l4-queue": train(
        kinds.TFJOB, ("--global_batch_size=128",), gpus=16, accelerator="nvidia-l4", queue="team-a",
        placement="zone",
    ),
    "jobset-16-h100-spot": train(
        kinds.JOBSET, ("--preset=article", "--epochs=3"), gpus=16, accelerator="nvidia-h100-80gb",
        spot=True, max_restarts=100,
    ),
    "jobset-everything": train(
        kinds.JOBSET,
        ("--init_checkpoint=gs://bucket/vgg_19.ckpt",),
        gpus=4,
        gpus_per_worker=2,
        queue="team-a",
        priority="high",
        placement="kueue:cloud.google.com/gce-topology-block",
        service_account="food101-job",
        image_pull_secret="registry",
        env={"TF_CPP_MIN_LOG_LEVEL": "1", "LITERAL": "$(HOME) stays"},
        secret_env={"TOKEN": "hub/token"},
        labels={"team": "vision"},
        annotations={"example.com/cost-centre": "42"},
        node_selector={"pool": "fast"},
        tolerations=({"key": "dedicated", "operator": "Equal", "value": "ml"},),
        shm="3Gi",
        scratch_size="20Gi",
        ttl="1h",
        max_duration="12h",
    ),
    "jobset-eks-spot-volumes": train(
        kinds.JOBSET, gpus=8, accelerator="nvidia-a100-80gb", cloud="eks", spot=True,
        queue="team-a", queue_priority="urgent",
        placement="kueue-preferred:topology.k8s.aws/network-node-layer-2",
        env={"GOOGLE_APPLICATION_CREDENTIALS": "/etc/gcp/credentials.json"},
        workers=2,
        volumes={
            "/cache": "ephemeral:gp3",
            "/etc/gcp": "configmap:gcp-credentials",
            "/var/run/gcp": "token://iam.googleapis.com/projects/1/locations/global/"
            "workloadIdentityPools/p/providers/eks",
            "/mnt/weights": "pvc:weights:ro",
            "/mnt/bucket": "csi:gcsfuse.csi.storage.gke.io:bucketName=b,mountOptions=implicit-dirs",
        },
    ),
    "tfjob-8-h100-reservation": train(
        kinds.TFJOB, gpus=8, accelerator="nvidia-h100-80gb", reservation="shared/block-1",
        volumes={"/cache": "local-ssd"},
    ),
    "make-tfrecords-4-tasks": task(
        "make-tfrecords",
        flags.parse(RecordsConfig, ["--source=gs://bucket/images", "--output=gs://bucket/food101"]),
        "gs://bucket/food101",
        count=4,
    ),
    "evaluate-1-gpu": task(
        "evaluate",
        flags.parse(EvaluateConfig, ["--run=gs://bucket/runs/a", "--data=gs://bucket/food101"]),
        "gs://bucket/runs/a/report",
        gpus=1,
    ),
    "export": task(
        "export",
        flags.parse(ExportConfig, ["--run=gs://bucket/runs/a", "--output=gs://bucket/model"]),
        "gs://bucket/model",
    ),
    "predict-8-spot-tasks": task(
        "predict",
        flags.parse(
            PredictConfig,
            ["--model=gs://bucket/model", "--images=gs://bucket/images", "--output=gs://bucket/out"],
        ),
        "gs://bucket/out",
        count=8,
        gpus=1,
        spot=True,
        accelerator="nvidia-l4",
    ),
}  # fmt: skip
