"""Situations of jobs that are over, or start again."""

from tests.launcher.shapes import (
    CREATED,
    RUNNING,
    condition,
    disrupted,
    ended,
    event,
    failed_tfjob,
    jobset,
    pod,
    running,
    tfjob,
    waiting,
)
from tests.launcher.situation import Situation, reported

TRACEBACK = """\
Traceback (most recent call last):
  File "/usr/lib/python3.12/runpy.py", line 198, in _run_module_as_main
    return _run_code(code, main_globals, None)
  File "/app/job/train.py", line 88, in train
    loss = step(batch)
  File "/app/.venv/lib/python3.12/site-packages/tensorflow/execute.py", line 53, in run
    raise core._status_to_exception(e) from None
tensorflow.python.errors_impl.InvalidArgumentError: logits and labels must be broadcastable
"""

SITUATIONS = [
    Situation(
        name="crash on start, its peers follow",
        job=failed_tfjob(),
        pods=[
            pod(0, phase="Failed", state=ended(144, at=20)),
            pod(1, phase="Failed", state=ended(1, at=29)),
        ],
        logs={"mnist-worker-0": "error: lost worker 1", "mnist-worker-1": TRACEBACK},
        expect="crashed", level="failed",
        says=(
            "worker-1 of mnist ended with exit code 1", "logits and labels must be broadcastable",
            "/app/job/train.py:88 in train", "worker-0 ended after it (exit code 144)",
        ),
    ),
    Situation(
        name="a bad flag",
        job=failed_tfjob(),
        pods=[
            pod(0, phase="Failed", state=ended(2, message="error: epochs -1 must be at least 0\n"))
        ],
        expect="exit-bad-config", level="failed", says=("epochs -1 must be at least 0", "--help"),
    ),
    Situation(
        name="bad data",
        job=failed_tfjob(),
        pods=[pod(0, phase="Failed", state=ended(65, message="error: shard 3 is damaged"))],
        expect="exit-bad-data", level="failed", says=("shard 3 is damaged", "make-tfrecords"),
    ),
    Situation(
        name="input missing",
        job=failed_tfjob(),
        pods=[pod(0, phase="Failed", state=ended(66, message="error: gs://b/d not found"))],
        expect="exit-input-missing", level="failed", says=("gs://b/d not found", "--data"),
    ),
    Situation(
        name="diverged",
        job=failed_tfjob(),
        pods=[pod(0, phase="Failed", state=ended(70, message="error: loss is nan at step 12"))],
        expect="exit-diverged", level="failed", says=("loss is nan at step 12", "learning_rate"),
    ),
    Situation(
        name="denied by the bucket",
        job=failed_tfjob(),
        pods=[pod(0, phase="Failed", state=ended(77, message="error: storage.objects.get denied"))],
        expect="exit-denied", level="failed", says=("storage.objects.get", "Workload Identity"),
    ),
    Situation(
        name="the job has used up its restarts, as it counts them itself",
        job=failed_tfjob(),
        pods=[
            pod(1, phase="Failed", state=ended(
                75, message="error: all 20 restarts are used up (--max-restarts); worker-1 ended "
                "last: exit code 137, killed by signal 9",
            )),
        ],
        expect="restarts-spent", level="failed",
        says=("mnist failed after 20 restarts", "worker-1 ended last: exit code 137", "--memory"),
    ),
    Situation(
        name="the job has used up its time, as it counts it itself",
        job=jobset(condition("Failed", reason="FailJobSet", message="jobset failed due to x")),
        pods=[
            pod(0, phase="Failed", state=ended(
                124, message="error: the job's longest duration is over (--max-duration)",
            )),
        ],
        expect="deadline-exceeded", level="failed", says=("longest duration", "--max-duration"),
    ),
    Situation(
        name="the workers never met",
        job=tfjob(CREATED, condition("Restarting", reason="TFJobRestarting")),
        pods=[
            pod(0, phase="Failed", state=ended(145, message="error: 1 of 2 workers did not come")),
            pod(1, state=running()),
        ],
        expect="exit-cluster-not-formed", level="warning",
        says=("did not come", "It is started again", "NetworkPolicy"),
    ),
    Situation(
        name="storage unreachable",
        job=tfjob(CREATED),
        pods=[pod(0, phase="Failed", state=ended(146, message="error: gs://b does not answer"))],
        expect="exit-storage-unreachable", level="warning", says=("gs://b does not answer",),
    ),
    Situation(
        name="out of memory",
        job=failed_tfjob("Job mnist has failed because it has reached the specified backoff limit"),
        pods=[pod(1, phase="Failed", state=ended(137, reason="OOMKilled"))],
        expect="oom-killed", level="failed", says=("worker-1", "64 GiB memory", "--memory"),
    ),
    Situation(
        name="out of memory, with its peak",
        job=tfjob(CREATED, RUNNING),
        pods=[
            pod(0, state=running()),
            pod(1, phase="Failed", state=ended(137, reason="OOMKilled")),
        ],
        more=reported(workers=[
            {"busy_s": 0.4, "memory_peak_bytes": 40 << 30},
            {"busy_s": 0.4, "memory_peak_bytes": 63 << 30},
        ]),
        expect="oom-killed", level="warning",
        says=("more than its 64 GiB memory", "highest it reported was 63 GiB", "by step 1,200",
              "--memory 96Gi"),
    ),
    Situation(
        name="out of memory, and its pod is a new one already",
        job=tfjob(CREATED, RUNNING),
        pods=[pod(0, state=running(1), age=2)],
        events=[
            event("mnist", "OOMKilled", "Error pod mnist-worker-0 container tensorflow exitCode: "
                  "137 terminated message: precision bfloat16", kind="TFJob"),
            event("mnist", "TFJobRestarting", "job mnist is restarting because Worker replica(s) "
                  "failed.", kind="TFJob", count=7),
        ],
        expect="oom-killed", level="warning",
        says=("worker-0 of mnist was killed", "64 GiB memory", "started again"),
    ),
    Situation(
        name="the cause of a restart is told before its consequence, and no pod knows either",
        job=tfjob(CREATED, RUNNING),
        pods=[pod(0, state=running(), age=2), pod(1, state=running(), age=3)],
        events=[
            event("mnist", "Error", "Error pod mnist-worker-0 container tensorflow exitCode: 144 "
                  "terminated message: no error: yet\nerror: lost worker 2", kind="TFJob", at=900),
            event("mnist", "Error", "Error pod mnist-worker-1 container tensorflow exitCode: 137 "
                  "terminated message: step 2/30\n", kind="TFJob", at=21),
            event("mnist", "Error", "Error pod mnist-worker-0 container tensorflow exitCode: 144 "
                  "terminated message: -----\nstep 2/30\nerror: lost worker 1 (w:2222)\n",
                  kind="TFJob", at=20),
        ],
        expect="crashed", level="warning",
        says=("worker-1 of mnist ended with exit code 137", "started again",
              "launcher logs mnist --previous"),
    ),
    Situation(
        name="of a restart only the consequence is known",
        job=tfjob(CREATED, RUNNING),
        pods=[pod(0, state=running(), age=2)],
        events=[
            event("mnist", "Error", "Error pod mnist-worker-0 container tensorflow exitCode: 144 "
                  "terminated message: -----\nstep 2/30\nerror: lost worker 1 (w:2222)\n",
                  kind="TFJob", at=20),
        ],
        expect="exit-peer-lost", level="warning",
        says=("(another worker was lost): lost worker 1 (w:2222). It is",
              "launcher logs mnist --previous"),
    ),
    Situation(
        name="a pod was deleted, and nothing but an event tells of it",
        job=failed_tfjob(),
        events=[event("mnist-worker-0", "Killing", "Stopping container tensorflow")],
        expect="tfjob-evicted", level="failed",
        says=("moved off its node", "Stopping container", "launcher resume mnist"),
    ),
    Situation(
        name="evicted for its disk",
        job=failed_tfjob(),
        pods=[
            pod(
                0, phase="Failed", reason="Evicted",
                message="Pod ephemeral local storage usage exceeds the total limit of containers "
                "40Gi. ",
            )
        ],
        expect="evicted", level="failed", says=("wrote more to its disk", "--scratch-size"),
    ),
    Situation(
        name="a TFJob fails by a graceful eviction",
        job=failed_tfjob(),
        pods=[
            disrupted(0, "EvictionByEvictionAPI", "Eviction API: evicting", state=ended(143)),
            pod(1, phase="Failed", state=ended(144)),
        ],
        more={"checkpoint_step": 4800},
        expect="tfjob-evicted", level="failed",
        says=("the node is being drained", "step 4,800", "--backend jobset"),
    ),
    Situation(
        name="a TFJob fails by an eviction of which only an event is left",
        job=failed_tfjob(),
        events=[
            event("mnist-worker-1", "TaintManagerEviction", "Marking for deletion Pod team/mnist-…")
        ],
        expect="tfjob-evicted", level="failed", says=("moved off its node", "TaintManagerEviction"),
    ),
    Situation(
        name="preempted by a more important job",
        job=jobset(restarts=1),
        pods=[
            disrupted(
                0, "PreemptionByScheduler", "default-scheduler: preempting to accommodate a higher "
                "priority pod", attempt=1, state=ended(143),
            ),
            pod(1, attempt=1, state=running()),
        ],
        more={"checkpoint_step": 900},
        expect="preempted", level="warning",
        says=("worker-0 of mnist was taken away", "higher priority", "step 900"),
    ),
    Situation(
        name="JobSet restarts are used up",
        job=jobset(
            condition(
                "Failed", reason="ReachedMaxRestarts",
                message="jobset failed due to reaching max number of restarts (first failed job: "
                "mnist-worker-0)",
            ),
            restarts=3,
        ),
        pods=[pod(0, attempt=3, phase="Failed", state=ended(144, message="error: lost worker 1"))],
        expect="restarts-spent", level="failed",
        says=("All 3 restarts are used up", "lost worker 1"),
    ),
    Situation(
        name="JobSet restarts are used up and the pods are gone",
        job=jobset(condition("Failed", reason="ReachedMaxRestarts"), restarts=3),
        expect="restarts-spent", level="failed", says=("3 restarts", "--max-restarts"),
    ),
    Situation(
        name="deadline exceeded",
        job=failed_tfjob(
            "Job mnist has failed because it was active longer than specified deadline"
        ),
        more=reported(step=20000),
        expect="deadline-exceeded", level="failed",
        says=("longest duration of 7d", "20,000 of 23,671 steps", "--max-duration"),
    ),
    Situation(
        name="crash loop",
        job=tfjob(CREATED, RUNNING),
        pods=[
            pod(
                0, state=waiting("CrashLoopBackOff", "back-off 5m0s restarting failed container"),
                restarts=6, last=ended(139, reason="Error"),
            )
        ],
        expect="crashed", level="warning", says=("exit code 139", "signal 11", "native code"),
    ),
    Situation(
        name="succeeded",
        job={
            **tfjob(CREATED, condition("Succeeded", reason="TFJobSucceeded")),
            "status": {
                "conditions": [condition("Succeeded")], "startTime": "2026-11-20T08:00:00Z",
                "completionTime": "2026-11-20T11:30:00Z",
            },
        },
        pods=[pod(0, phase="Succeeded", state=ended(0))],
        more={"metrics": {"top1": 0.8312, "top5": 0.9541}, **reported(state="done", step=23671)},
        expect="succeeded", level="ok", says=("after 3h 30m", "23,671 steps", "top-1 83.12 %"),
    ),
]  # fmt: skip
