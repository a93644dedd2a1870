"""Nodes of other clouds, and volumes of a job's own."""

from typing import Any

import pytest

from launcher import kinds
from launcher.describe import accelerators, clouds, volumes
from launcher.errors import UsageError
from launcher.kinds import ClusterKind
from launcher.manifests import labels
from launcher.manifests.render import render
from launcher.observe import reading_jobs
from tests.launcher.spec_examples import train


def pod(kind: ClusterKind = kinds.JOBSET, **settings: Any) -> dict[str, Any]:
    return kind.pod_spec(render(train(kind, **settings))[0])


def terms(pod_spec: dict[str, Any]) -> list[dict[str, list[str]]]:
    required = pod_spec["affinity"]["nodeAffinity"][
        "requiredDuringSchedulingIgnoredDuringExecution"
    ]
    return [
        {each["key"]: each["values"] for each in term["matchExpressions"]}
        for term in required["nodeSelectorTerms"]
    ]


def test_spot_on_eks_is_either_of_two_labels_and_no_taint() -> None:
    """A managed node group's or Karpenter's; each with the products of the model."""
    made = pod(gpus=8, accelerator="nvidia-a100-80gb", cloud="eks", spot=True)
    products = ["NVIDIA-A100-SXM4-80GB", "NVIDIA-A100-80GB-PCIe"]
    assert terms(made) == [
        {clouds.PRODUCT: products, "eks.amazonaws.com/capacityType": ["SPOT"]},
        {clouds.PRODUCT: products, "karpenter.sh/capacity-type": ["spot"]},
    ]
    assert [each["key"] for each in made["tolerations"]] == [labels.GPU]
    assert "nodeSelector" not in made


def test_spot_on_aks_has_a_label_and_a_taint() -> None:
    made = pod(gpus=8, accelerator="nvidia-l4", cloud="aks", spot=True)
    assert made["nodeSelector"] == {
        clouds.PRODUCT: "NVIDIA-L4", "kubernetes.azure.com/scalesetpriority": "spot",
    }  # fmt: skip
    assert "kubernetes.azure.com/scalesetpriority" in [each["key"] for each in made["tolerations"]]


def test_every_known_model_has_products() -> None:
    assert set(clouds.PRODUCTS) == set(accelerators.KNOWN)


def test_reservations_and_flex_start_are_gkes() -> None:
    made = pod(kinds.TFJOB, gpus=8, reservation="other-project/block")
    assert made["nodeSelector"] == {
        clouds.RESERVATION: "block",
        clouds.RESERVATION_PROJECT: "other-project",
        clouds.RESERVATION_AFFINITY: "specific",
    }
    made = pod(kinds.TFJOB, gpus=8, flex_start=True)
    assert made["nodeSelector"] == {clouds.FLEX_START: "true"}
    assert {clouds.FLEX_START, clouds.QUEUED} <= {each["key"] for each in made["tolerations"]}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"spot": True, "flex_start": True}, "--spot and --flex-start exclude each other"),
        ({"reservation": "a/b/c"}, "must be NAME or PROJECT/NAME"),
        ({"flex_start": True, "cloud": "eks"}, "--flex-start is GKE's"),
        ({"queue_priority": "urgent"}, "give --queue"),
        ({"placement": "kueue-preferred:x"}, "needs a Kueue queue"),
        ({"volumes": {"data": "pvc:a"}}, "a path in the container is meant"),
        ({"volumes": {"/dev/shm": "pvc:a"}}, "has something there already"),
        ({"volumes": {"/a": "nfs:a"}}, "is none of pvc, ephemeral"),
        ({"volumes": {"/a": "pvc"}}, "pvc of what? Write pvc:NAME"),
        ({"volumes": {"/a": "pvc:Bad_Name"}}, "lower case letters"),
        ({"volumes": {"/a": "pvc:a:rw"}}, "says nothing of a pvc"),
        ({"volumes": {"/a": "ephemeral:gp3"}}, "how large?"),
        ({"volumes": {"/a": "ephemeral:gp3:much"}}, "must be a size"),
        ({"volumes": {"/a": "csi:x.example:y"}}, "says nothing of a csi"),
        ({"volumes": {"/a": "local-ssd"}}, "is for /cache and /tmp alone"),
        ({"volumes": {"/a": "pvc:a", "/a/": "pvc:b"}}, "is given twice"),
        ({"volumes": {"/a/../b": "pvc:a"}}, "a path in the container is meant"),
    ],
)
def test_what_cannot_be_is_one_clear_line(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message.replace("?", ".")):
        train(kinds.JOBSET, **({"gpus": 8} | settings))


def test_a_volume_takes_the_place_of_the_nodes_disk() -> None:
    """What lies elsewhere is not asked of the node; it is as large as the other would have been."""
    made = pod(gpus=8, cache_size="40Gi", scratch_size="10Gi", volumes={"/cache": "ephemeral:gp3"})
    (container,) = made["containers"]
    assert container["resources"]["limits"]["ephemeral-storage"] == "11Gi"
    (cache,) = [each for each in made["volumes"] if each["name"] == "cache"]
    claim = cache["ephemeral"]["volumeClaimTemplate"]["spec"]
    assert claim["resources"]["requests"]["storage"] == "40Gi"
    assert [mount["mountPath"] for mount in container["volumeMounts"]].count("/cache") == 1
    ssd = pod(gpus=8, cache_size="40Gi", scratch_size="10Gi", volumes={"/cache": "local-ssd"})
    assert ssd["nodeSelector"] == {clouds.LOCAL_SSD: "true"}
    assert ssd["containers"][0]["resources"]["limits"]["ephemeral-storage"] == "51Gi"


def test_a_token_is_for_one_audience() -> None:
    audience = (
        "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/x"
    )
    made = pod(gpus=8, volumes={"/var/run/gcp": f"token:{audience}"})
    (source,) = made["volumes"][-1]["projected"]["sources"]
    assert source["serviceAccountToken"]["audience"] == audience
    assert made["automountServiceAccountToken"] is False
    assert made["containers"][0]["volumeMounts"][-1] == {
        "name": "volume-0", "mountPath": "/var/run/gcp", "readOnly": True,
    }  # fmt: skip


def test_what_is_read_may_lie_on_a_volume_and_what_is_written_in_a_bucket() -> None:
    """Everybody who watches the job reads its run."""
    mounted = {"volumes": {"/mnt/data": "pvc:data:ro"}}
    spec = train(kinds.JOBSET, gpus=8, data="/mnt/data/food101", **mounted)
    assert "--data=/mnt/data/food101" in spec.args
    with pytest.raises(UsageError, match="--run /mnt/data/runs"):
        train(kinds.JOBSET, gpus=8, run_root="/mnt/data/runs", **mounted)
    with pytest.raises(UsageError, match="--data /mnt/database"):
        train(kinds.JOBSET, gpus=8, data="/mnt/database", **mounted)


def test_volumes_cover_what_lies_on_them() -> None:
    found = volumes.parse_all({"/mnt/a": "pvc:a"})
    covered = [path for path in ("/mnt/a", "/mnt/a/b", "/mnt/ab", "/mnt") if
               volumes.covers(found, path)]  # fmt: skip
    assert covered == ["/mnt/a", "/mnt/a/b"]


def test_the_nodes_that_are_wanted_are_read_back() -> None:
    """`check` and `why` compare them with the nodes that are there."""
    manifest = render(
        train(kinds.JOBSET, gpus=8, accelerator="nvidia-h100-80gb", cloud="eks", spot=True)
    )[0]
    job = reading_jobs.jobset(manifest)
    assert job.node_terms[1] == (
        (clouds.PRODUCT, ("NVIDIA-H100-80GB-HBM3", "NVIDIA-H100-PCIe")),
        ("karpenter.sh/capacity-type", ("spot",)),
    )


@pytest.mark.parametrize(
    ("provider", "own", "name"),
    [
        ("gce://p/z/n", {}, "gke"),
        ("aws:///z/i", {}, "eks"),
        ("azure:///s", {}, "aks"),
        ("", {"kubernetes.azure.com/agentpool": "x"}, "aks"),
        ("kind://docker/x", {"kubernetes.io/os": "linux"}, None),
    ],
)
def test_a_cloud_is_known_by_its_nodes(
    provider: str, own: dict[str, str], name: str | None
) -> None:
    found = clouds.of_nodes([("", {}), (provider, own)])
    assert (found.name if found else None) == name
