"""Situations of pods without a node."""

from launcher.manifests import labels
from launcher.observe import reading
from tests.launcher.shapes import (
    CREATED,
    RUNNING,
    event,
    node,
    pending,
    pod,
    pod_group,
    pod_spec,
    running,
    tfjob,
)
from tests.launcher.situation import Situation

NO_GPU = (
    "0/3 nodes are available: 1 node(s) had untolerated taint {node-role.kubernetes.io/"
    "control-plane: }, 2 Insufficient nvidia.com/gpu. preemption: 0/3 nodes are available: 1 "
    "Preemption is not helpful for scheduling, 2 No preemption victims found for incoming pod."
)

GANG = "pod group is not ready, 2 Pending, 2 minAvailable; Pending: 2 Unschedulable"

SITUATIONS = [
    Situation(
        name="GPUs are taken by others",
        job=tfjob(CREATED),
        pods=[pending(0, NO_GPU), pending(1, NO_GPU)],
        nodes=[node("node-a", own_labels={"cloud.google.com/gke-nodepool": "l4"}), node("node-b")],
        others=[
            pod(0, node="node-a", job="big-run", gpus=8),
            pod(1, node="node-b", job="other", gpus=6),
        ],
        expect="unschedulable", level="waiting",
        says=(
            "2 of 2 workers", "each needs 8 nvidia.com/gpu",
            "at most 2 nvidia.com/gpu is free on one node", "team/big-run 8 in 1 pod",
            "wait until it is free, or ask for less: --gpus", "--queue (Kueue)",
        ),
    ),
    Situation(
        name="a gang waits until all of it fits",
        job=tfjob(CREATED),
        pods=[pending(0, GANG), pending(1, GANG)],
        more={"gang": reading.gang(pod_group("Inqueue", GANG))},
        expect="gang", level="waiting",
        says=("all 2 of them or none", "PodGroup: Inqueue", "kubectl describe podgroup mnist"),
    ),
    Situation(
        name="a gang lacks GPUs",
        job=tfjob(CREATED),
        pods=[pending(0, NO_GPU), pending(1, NO_GPU)],
        more={"gang": reading.gang(pod_group("Pending", ""))},
        expect="unschedulable", level="waiting",
        says=("each needs 8 nvidia.com/gpu", "PodGroup: Pending"),
    ),
    Situation(
        name="no node is large enough",
        job=tfjob(CREATED),
        pods=[pending(0, NO_GPU)],
        nodes=[node("node-a", gpus=4)],
        expect="unschedulable", level="failed",
        says=(
            "the largest node that the job may use has 4", "nobody else",
            "ask for less (--gpus, --gpus-per-worker), or have nodes added", "--gpus 0",
        ),
    ),
    Situation(
        name="no node has any GPU",
        job=tfjob(CREATED),
        pods=[pending(0, NO_GPU)],
        nodes=[node("node-a", gpus=0)],
        expect="unschedulable", level="failed",
        says=("no node that the job may use has any nvidia.com/gpu", "train on CPUs: --gpus 0"),
    ),
    Situation(
        name="the autoscaler is adding nodes",
        job=tfjob(CREATED),
        pods=[pending(0, NO_GPU)],
        events=[
            event(
                "mnist-worker-0", "TriggeredScaleUp",
                "pod triggered scale-up: [{https://www.googleapis.com/…/l4 0->2 (max: 4)}]",
                warning=False,
            )
        ],
        expect="unschedulable", level="waiting", says=("adding nodes", "0->2 (max: 4)"),
    ),
    Situation(
        name="the autoscaler cannot add nodes",
        job=tfjob(CREATED),
        pods=[pending(0, NO_GPU)],
        events=[
            event(
                "mnist-worker-0", "FailedScaleUp",
                "Node scale up in zones europe-west4-a associated with this pod failed: GCE out of "
                "resources. Pod is at risk of not being scheduled.",
            )
        ],
        expect="unschedulable", level="waiting", says=("GCE out of resources",),
    ),
    Situation(
        name="no node has the accelerator",
        job=tfjob(CREATED, spec=pod_spec(nodeSelector={labels.ACCELERATOR: "nvidia-h100-80gb"})),
        pods=[
            pending(
                0, "0/3 nodes are available: 3 node(s) didn't match Pod's node affinity/selector."
            )
        ],
        nodes=[node("node-a", own_labels={labels.ACCELERATOR: "nvidia-l4"})],
        expect="no-such-node", level="waiting", says=("nvidia-h100-80gb", "--accelerator"),
    ),
    Situation(
        name="an untolerated taint",
        job=tfjob(CREATED),
        pods=[
            pending(0, "0/2 nodes are available: 2 node(s) had untolerated taint {team: vision}.")
        ],
        expect="tainted", level="waiting", says=("team: vision", "tolerations"),
    ),
    Situation(
        name="a volume claim is missing",
        job=tfjob(CREATED),
        pods=[pending(0, 'persistentvolumeclaim "data" not found')],
        expect="volume-missing", level="waiting", says=("volume claim 'data'", "create the claim"),
    ),
    Situation(
        name="half of a gang holds its GPUs",
        job=tfjob(CREATED, RUNNING),
        pods=[pod(0, state=running()), pending(1, NO_GPU)],
        expect="unschedulable", level="waiting",
        says=("1 of 2 workers", "worker-0 already run and wait for the others"),
    ),
]  # fmt: skip
