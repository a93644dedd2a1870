"""The volumes of a pod: those that every pod has, and those that a job names. Pure."""

from launcher.describe.spec import JobSpec
from launcher.describe.volumes import OWN, Volume
from launcher.manifests import quantities
from launcher.manifests.skeleton import Manifest, assign, by_name

_TOKEN_S = 3600


def fill_volumes(pod: Manifest, container: Manifest, spec: JobSpec) -> None:
    """Size the volumes of a skeleton, and add or replace what the job names."""
    resources = spec.resources
    sizes = {
        "scratch": resources.scratch_bytes,
        "cache": resources.cache_bytes,
        "shm": resources.shm_bytes,
    }
    for name, size in sizes.items():
        assign(
            by_name(pod["volumes"], name), ("emptyDir", "sizeLimit"), quantities.format_bytes(size)
        )
    for number, volume in enumerate(v for v in spec.volumes if v.kind != "local-ssd"):
        own = OWN.get(volume.path)
        name = own or f"volume-{number}"
        source = {"name": name, **_source(volume, sizes.get(name, 0))}
        if own:
            place = pod["volumes"].index(by_name(pod["volumes"], own))
            pod["volumes"][place] = source
            continue
        pod["volumes"].append(source)
        mount = {"name": name, "mountPath": volume.path}
        container["volumeMounts"].append(mount | ({"readOnly": True} if volume.read_only else {}))


def node_disk_bytes(spec: JobSpec) -> int:
    """Give what the pod takes of its node's own disk: volumes from elsewhere take nothing."""
    replaced = {v.path for v in spec.volumes if v.kind != "local-ssd"}
    sizes = {"/cache": spec.resources.cache_bytes, "/tmp": spec.resources.scratch_bytes}  # noqa: S108
    return sum(size for path, size in sizes.items() if path not in replaced)


def _source(volume: Volume, own_bytes: int) -> Manifest:
    if volume.kind == "pvc":
        claim: Manifest = {"claimName": volume.name}
        return {"persistentVolumeClaim": claim | ({"readOnly": True} if volume.read_only else {})}
    if volume.kind == "ephemeral":
        size = quantities.format_bytes(volume.size_bytes or own_bytes)
        claim = {
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": volume.name,
            "resources": {"requests": {"storage": size}},
        }
        return {"ephemeral": {"volumeClaimTemplate": {"spec": claim}}}
    if volume.kind == "csi":
        driver: Manifest = {"driver": volume.name, "readOnly": volume.read_only}
        attributes = {"volumeAttributes": dict(volume.attributes)} if volume.attributes else {}
        return {"csi": driver | attributes}
    if volume.kind == "token":
        token = {"audience": volume.name, "expirationSeconds": _TOKEN_S, "path": "token"}
        return {"projected": {"sources": [{"serviceAccountToken": token}]}}
    if volume.kind == "configmap":
        return {"configMap": {"name": volume.name}}
    return {"secret": {"secretName": volume.name}}
