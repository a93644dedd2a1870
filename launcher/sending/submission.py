"""Sending a job and what belongs to it: once, whole or not at all."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from launcher.api import resources
from launcher.errors import ConflictError, DeniedError, LauncherError, NotFoundError
from launcher.manifests import labels
from launcher.manifests.differences import differences

if TYPE_CHECKING:
    from launcher.api.connection import Cluster

Object = dict[str, Any]

_POLL_S = 1.0
_SHOWN_DIFFERENCES = 3


_WITHOUT = {
    "PodDisruptionBudget": "a drain of a node will not wait for the job",
    "NetworkPolicy": "other pods may reach the ports of its workers",
}
"""What a job goes without where its user may not make a companion."""


def submit(
    cluster: "Cluster",
    manifests: list[Object],
    *,
    dry_run: bool = False,
    warn: Callable[[str], None],
) -> list[Object]:
    """Create a job and its companions, which it owns; gives them as the server has them.

    The same job (by the hash of its spec) that is already there is given back as it is, and
    nothing is sent. If a companion cannot be made, the job is deleted again; one that the user may
    not make is done without, and told to `warn`.

    Raises:
        ConflictError: Another job of that name is there; the message tells the differences.
        LauncherError: The server refused; nothing is left behind.
    """
    job, *companions = manifests
    there = existing(cluster, job)
    if there is not None:
        return [there]
    try:
        created = cluster.create(job, dry_run=dry_run)
    except ConflictError:
        # Somebody was faster, or the first try arrived although its answer did not.
        there = existing(cluster, job)
        if there is None:
            raise
        return [there]
    return [created, *_add_companions(cluster, created, companions, dry_run, warn)]


def existing(cluster: "Cluster", manifest: Object, *, patience_s: float = 0.0) -> Object | None:
    """Find the very job that a manifest describes, or None if the name is free.

    One that is being deleted is waited for: its workers may save a checkpoint first.

    Raises:
        ConflictError: Another job has the name; the message tells the differences.
    """
    name = manifest["metadata"]["name"]
    try:
        there = cluster.get(resources.of(manifest), name)
    except NotFoundError:
        return None
    kind, namespace = manifest["kind"], there["metadata"].get("namespace")
    if "deletionTimestamp" in there["metadata"]:
        if patience_s <= 0:
            raise ConflictError(f"{kind} {name!r} is still being deleted; try again in a moment")
        time.sleep(_POLL_S)
        return existing(cluster, manifest, patience_s=patience_s - _POLL_S)
    if _hash(there) and _hash(there) == _hash(manifest):
        return there
    found = differences(there.get("spec"), manifest.get("spec"))
    shown = "; ".join(found[:_SHOWN_DIFFERENCES]) or "it was not made by the launcher"
    more = len(found) - _SHOWN_DIFFERENCES
    raise ConflictError(
        f"{kind} {name!r} is already there in namespace {namespace!r} and differs ({shown}"
        + (f"; and {more} more, see launcher diff" if more > 0 else "")
        + f"); choose another --name, go on from its checkpoint with `launcher resume {name}`, or "
        f"`launcher delete {name}` first"
    )


def _hash(item: Object) -> str:
    return str((item["metadata"].get("annotations") or {}).get(labels.SPEC_HASH, ""))


def _add_companions(
    cluster: "Cluster",
    job: Object,
    companions: list[Object],
    dry_run: bool,
    warn: Callable[[str], None],
) -> list[Object]:
    made: list[Object] = []
    for companion in companions:
        owned = {**companion, "metadata": {**companion["metadata"], **_owner(job)}}
        try:
            # Not created: that of an earlier job of this name may be on its way out.
            made.append(cluster.apply(companion if dry_run else owned, dry_run=dry_run))
        except DeniedError as error:
            kind = companion["kind"]
            denied = str(error).partition(";")[0]
            warn(f"{denied}: {_WITHOUT[kind]}; launcher setup --only roles mends it")
        except LauncherError:
            if not dry_run:
                _take_back(cluster, job)
            raise
    return made


def _owner(job: Object) -> Object:
    reference = {
        "apiVersion": job["apiVersion"], "kind": job["kind"], "name": job["metadata"]["name"],
        "uid": job["metadata"].get("uid", ""), "controller": True, "blockOwnerDeletion": False,
    }  # fmt: skip
    return {"ownerReferences": [reference]}


def _take_back(cluster: "Cluster", job: Object) -> None:
    """Delete a job that is only half there; its companions go with it."""
    metadata = job["metadata"]
    cluster.delete(resources.of(job), metadata["name"], uid=metadata["uid"])
