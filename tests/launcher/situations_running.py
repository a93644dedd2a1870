"""Situations of jobs that run."""

import dataclasses

from job.contract.follow_up_file import FollowUpStep
from tests.launcher.shapes import (
    CREATED,
    NOW,
    RUNNING,
    ended,
    failed_tfjob,
    pod,
    running,
    tfjob,
)
from tests.launcher.situation import Situation, reported

EVALUATED = FollowUpStep(
    name="evaluate", state="done", output="gs://b/r/report", began=NOW.timestamp() - 95,
    ended=NOW.timestamp() - 60, exit_code=0,
)  # fmt: skip
EXPORTING = FollowUpStep(
    name="export", state="running", output="gs://b/r/model", began=NOW.timestamp() - 60
)
DONE = reported(state="done", step=23671)

SITUATIONS = [
    Situation(
        name="trained, and its first worker exports",
        job=tfjob(CREATED, RUNNING),
        pods=[pod(0, state=running()), pod(1, phase="Succeeded", state=ended(0))],
        more={"follow_ups": (EVALUATED, EXPORTING), **DONE},
        expect="following-up", level="ok",
        says=(
            "mnist is trained; its export has begun 1m ago", "evaluate: done in 35s",
            "export: running for 1m, gs://b/r/model",
        ),
    ),
    Situation(
        name="trained, but its evaluation failed",
        job=failed_tfjob(),
        pods=[pod(0, phase="Failed", state=ended(65))],
        more={
            "follow_ups": (dataclasses.replace(EVALUATED, state="failed", exit_code=65),), **DONE,
        },
        expect="follow-up-failed", level="failed",
        says=(
            "mnist is trained, but its evaluation failed (exit code 65): bad data",
            "do it again: launcher evaluate gs://",
        ),
    ),
    Situation(
        name="trained once, and trains again",
        job=tfjob(CREATED, RUNNING),
        pods=[pod(0, state=running()), pod(1, state=running())],
        more={"follow_ups": (EVALUATED,), **reported()},
        expect="training", level="ok", says=("step 1,200",),
    ),
    Situation(
        name="trains well",
        job=tfjob(CREATED, RUNNING),
        pods=[pod(0, state=running()), pod(1, state=running())],
        more={"checkpoint_step": 1000, **reported()},
        expect="training", level="ok",
        says=(
            "812 images/s", "step 1,200 of 23,671, about 29m 31s left",
            "newest checkpoint: step 1,000",
        ),
    ),
    Situation(
        name="no step yet",
        job=tfjob(CREATED, RUNNING),
        pods=[pod(0, state=running(20), age=30), pod(1, state=running(20), age=30)],
        logs={"mnist-worker-0": "precision bfloat16"},
        expect="no-step-yet", level="ok", says=("All 2 workers", "precision bfloat16"),
    ),
    Situation(
        name="peers do not resolve",
        job=tfjob(CREATED, RUNNING),
        pods=[pod(0, state=running()), pod(1, state=running())],
        logs={
            "mnist-worker-0": "worker 1 (mnist-worker-1.team.svc:2222): Name or service not known"
        },
        expect="peers", level="waiting", says=("do not resolve", "headless services"),
    ),
    Situation(
        name="waiting for peers",
        job=tfjob(CREATED, RUNNING),
        pods=[pod(0, state=running()), pod(1, state=running())],
        logs={"mnist-worker-0": "waiting at most 600 s for worker 1 (mnist-worker-1:2222)"},
        expect="peers", level="waiting", says=("waits for its peers", "port 2222"),
    ),
    Situation(
        name="all but the chief are silent once they train",
        job=tfjob(CREATED, RUNNING),
        pods=[pod(0, state=running()), pod(1, state=running())],
        logs={
            "mnist-worker-0": "step 2989/4000  loss 4.6168",
            "mnist-worker-1": "waiting at most 600 s for worker 0 (mnist-worker-0:2222)",
        },
        more={"checkpoint_step": 2950},
        expect="no-step-yet", level="ok",
        says=("newest checkpoint is that of step 2,950", "step 2989/4000"),
    ),
    Situation(
        name="one worker is done, the other finishes",
        job=tfjob(CREATED, RUNNING),
        pods=[pod(0, state=running()), pod(1, phase="Succeeded", state=ended(0))],
        expect="finishing", level="ok",
        says=("1 of 2 workers of mnist is done; worker-0 still works",),
    ),
    Situation(
        name="waiting for storage",
        job=tfjob(CREATED, RUNNING),
        pods=[pod(0, state=running()), pod(1, state=running())],
        logs={
            "mnist-worker-1": "gs://b/a: storage fails since 35 s (503); trying for another 265 s"
        },
        expect="storage", level="warning", says=("worker-1", "waits for storage", "503"),
    ),
    Situation(
        name="stalled",
        job=tfjob(CREATED, RUNNING, age=7200),
        pods=[pod(0, state=running(7000)), pod(1, state=running(7000))],
        logs={"mnist-worker-0": "step 1200/23671  loss 1.2"},
        more=reported(at=1500, step_s=0.5),
        expect="stalled", level="warning",
        says=("no step for 25m", "step 1,200 of 23,671", "usually takes 0.5 s"),
    ),
    Situation(
        name="the input is too slow",
        job=tfjob(CREATED, RUNNING),
        pods=[pod(0, state=running()), pod(1, state=running())],
        more=reported(input_wait=0.41),
        expect="slow-input", level="warning", says=("41%", "waiting for input", "--cpus"),
    ),
    Situation(
        name="one worker holds back the rest",
        job=tfjob(CREATED, RUNNING),
        pods=[pod(0, state=running()), pod(1, state=running(), node="node-slow")],
        more=reported(workers=[
            {"busy_s": 0.4, "input_wait": 0.01, "memory_peak_bytes": 1},
            {"busy_s": 0.84, "input_wait": 0.02, "memory_peak_bytes": 1},
        ], step_s=1.0),
        expect="straggler", level="warning",
        says=("held back by worker-1 on node-slow", "wait for it 44%", "0.84 s of a step of 1 s",
              "throttled"),
    ),
    Situation(
        name="one worker's input holds back the rest",
        job=tfjob(CREATED, RUNNING),
        pods=[pod(0, state=running(), node="node-slow"), pod(1, state=running())],
        more=reported(workers=[
            {"busy_s": 0.9, "input_wait": 0.6}, {"busy_s": 0.4, "input_wait": 0.0},
        ], input_wait=0.6, step_s=1.0),
        expect="straggler", level="warning",
        says=("held back by worker-0", "60% of its time waiting for input", "its input is slow"),
    ),
    Situation(
        name="no worker holds back the rest",
        job=tfjob(CREATED, RUNNING),
        pods=[pod(0, state=running()), pod(1, state=running())],
        more=reported(workers=[{"busy_s": 0.40}, {"busy_s": 0.42}], step_s=0.5),
        expect="training", level="ok", says=("812 images/s",),
    ),
    Situation(
        name="long steps are no stall",
        job=tfjob(CREATED, RUNNING, age=7200),
        pods=[pod(0, state=running(7000)), pod(1, state=running(7000))],
        more=reported(at=600, step_s=45.0),
        expect="training", level="ok", says=("step 1,200 of 23,671",),
    ),
    Situation(
        name="a worker is missing",
        job=tfjob(CREATED, RUNNING),
        pods=[pod(0, state=running())],
        expect="incomplete", level="waiting", says=("1 of 2 workers", "1 pod that does not exist"),
    ),
    Situation(
        name="stopping",
        job=tfjob(CREATED, RUNNING),
        pods=[pod(0, state=running()), pod(1, state=running(), deleting=True)],
        expect="stopping", level="waiting", says=("worker-1", "saving a checkpoint"),
    ),
]  # fmt: skip
