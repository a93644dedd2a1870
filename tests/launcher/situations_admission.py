"""Situations before there are pods."""

from launcher.manifests import labels
from launcher.observe import reading
from launcher.observe.state import Queue
from tests.launcher.shapes import (
    CREATED,
    NAME,
    Object,
    condition,
    event,
    jobset,
    local_queue,
    tfjob,
    workload,
)
from tests.launcher.situation import Situation


def _restricted(message: str) -> Object:
    return event(NAME, "FailedCreatePod", f"Error creating: {message}", kind="TFJob", count=14)


SITUATIONS = [
    Situation(
        name="suspended by hand",
        job=tfjob(condition("Suspended", message="TFJob mnist is suspended."), suspend=True),
        more={"checkpoint_step": 1200},
        expect="suspended", level="waiting", says=("is suspended", "step 1,200", "unsuspend mnist"),
    ),
    Situation(
        name="cancelled",
        job=tfjob(suspend=True, **{labels.CANCELLED: "2026-11-20T11:00:00Z"}),
        expect="cancelled", level="failed", says=("was cancelled", "launcher resume mnist"),
    ),
    Situation(
        name="queued behind others",
        job=jobset(queue="research", suspend=True),
        more={
            "kueue_handles": True,
            "queue": reading.queue(local_queue(condition("Active"))),
            "workload": reading.workload(
                workload(
                    condition(
                        "QuotaReserved", status="False", reason="WaitingForQuota",
                        message="couldn't assign flavors to pod set worker: insufficient unused "
                        "quota for nvidia.com/gpu in flavor l4, 8 more needed",
                    )
                )
            ),
        },
        expect="queued", level="waiting",
        says=(
            "queue 'research' (ClusterQueue 'gpus')", "8 more nvidia.com/gpu", "flavor l4",
            "ask for fewer GPUs (--gpus) or submit to another --queue",
        ),
    ),
    Situation(
        name="asks for more than the queue ever has",
        job=jobset(queue="research", suspend=True),
        more={
            "kueue_handles": True,
            "queue": reading.queue(local_queue(condition("Active"))),
            "workload": reading.workload(
                workload(
                    condition(
                        "QuotaReserved", status="False", reason="ExceedsMaxQuota",
                        message="couldn't assign flavors to pod set worker: insufficient quota for "
                        "nvidia.com/gpu in flavor l4, previously considered podsets requests (0) + "
                        "current podset request (64) > maximum capacity (16)",
                    )
                )
            ),
        },
        expect="exceeds-queue", level="failed", says=("more than", "can ever give"),
    ),
    Situation(
        name="Kueue does not handle TFJobs",
        job=tfjob(queue="research", suspend=True),
        more={"kueue_handles": False, "queue": Queue(name="research", cluster_queue="gpus")},
        expect="kueue-ignores-kind", level="failed",
        says=("does not handle TFJobs", "suspended for ever", "--backend jobset"),
    ),
    Situation(
        name="the queue does not exist",
        job=jobset(queue="reserch", suspend=True),
        more={"kueue_handles": False, "queue": Queue(name="reserch", exists=False)},
        expect="queue-missing", level="failed", says=("'reserch' does not exist",),
    ),
    Situation(
        name="the operator does not run",
        job={**tfjob(), "status": {}},
        expect="controller-silent", level="failed", says=("training operator", "not running"),
    ),
    Situation(
        name="quota exceeded",
        job=tfjob(CREATED),
        events=[
            _restricted(
                'pods "mnist-worker-0" is forbidden: exceeded quota: gpus, requested: '
                "requests.nvidia.com/gpu=8, used: requests.nvidia.com/gpu=0, limited: "
                "requests.nvidia.com/gpu=4"
            )
        ],
        expect="quota-exceeded", level="failed",
        says=("0 of 2 pods", "quota 'gpus'", "requests.nvidia.com/gpu=4", "kubectl describe quota"),
    ),
    Situation(
        name="Pod Security refuses",
        job=tfjob(CREATED),
        events=[
            _restricted(
                'pods "mnist-worker-0" is forbidden: violates PodSecurity "restricted:latest": '
                'allowPrivilegeEscalation != false (container "side" must set '
                "securityContext.allowPrivilegeEscalation=false)"
            )
        ],
        expect="pod-security", level="failed",
        says=("restricted:latest", "allowPrivilegeEscalation != false"),
    ),
    Situation(
        name="service account missing",
        job=tfjob(CREATED),
        events=[
            _restricted(
                'pods "mnist-worker-0" is forbidden: error looking up service account '
                'team/trainer: serviceaccount "trainer" not found'
            )
        ],
        expect="service-account-missing", level="failed",
        says=("'trainer' does not exist in namespace 'team'", "launcher setup"),
    ),
    Situation(
        name="priority class missing",
        job=tfjob(CREATED),
        events=[
            _restricted(
                'pods "mnist-worker-0" is forbidden: no PriorityClass with name urgent was found'
            )
        ],
        expect="priority-class-missing", level="failed", says=("'urgent'", "--priority"),
    ),
    Situation(
        name="LimitRange refuses",
        job=tfjob(CREATED),
        events=[
            _restricted(
                'pods "mnist-worker-0" is forbidden: [maximum memory usage per Container is 16Gi, '
                "but limit is 64Gi]"
            )
        ],
        expect="limit-range", level="failed", says=("maximum memory usage per Container is 16Gi",),
    ),
    Situation(
        name="a policy refuses",
        job=tfjob(CREATED),
        events=[
            _restricted(
                'admission webhook "validate.kyverno.svc-fail" denied the request: resource '
                "Pod/team/mnist-worker-0 was blocked: images must come from registry.internal"
            )
        ],
        expect="admission-denied", level="failed",
        says=("validate.kyverno.svc-fail", "images must come from registry.internal"),
    ),
]  # fmt: skip
