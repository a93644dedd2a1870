"""What goes with a training job and is removed with it: its budget of disruptions, its firewall.

Pure. `launcher/sending/submission.py` makes the job the owner of each.
"""

from launcher.describe.spec import JobSpec
from launcher.manifests import labels, skeleton
from launcher.manifests.pod import object_labels
from launcher.manifests.skeleton import Manifest, assign


def companions(spec: JobSpec) -> list[Manifest]:
    """Make a job's companions, each under the job's name.

    Only training is disturbed by the loss of one pod, and only workers of several talk to each
    other.
    """
    if spec.kind != "train":
        return []
    made = [_disruption_budget(spec)]
    if spec.workers > 1:
        made.append(_network_policy(spec))
    return made


def _disruption_budget(spec: JobSpec) -> Manifest:
    manifest = _named("jobs/disruption_budget.yaml", spec)
    assign(manifest, ("spec", "minAvailable"), spec.workers)
    assign(manifest, ("spec", "selector", "matchLabels"), _pods_of(spec))
    return manifest


def _network_policy(spec: JobSpec) -> Manifest:
    manifest = _named("jobs/network_policy.yaml", spec)
    assign(manifest, ("spec", "podSelector", "matchLabels"), _pods_of(spec))
    peer = ("spec", "ingress", 0, "from", 0, "podSelector", "matchLabels")
    assign(manifest, peer, _pods_of(spec))
    return manifest


def _named(path: str, spec: JobSpec) -> Manifest:
    manifest = skeleton.load(path)
    assign(manifest, ("metadata", "name"), spec.name)
    assign(manifest, ("metadata", "labels"), object_labels(spec))
    manifest["metadata"]["namespace"] = spec.namespace
    return manifest


def _pods_of(spec: JobSpec) -> dict[str, str]:
    """Select the workers: a TensorBoard beside them has the job's label too."""
    return {labels.JOB: spec.name, labels.COMPONENT: spec.kind}
