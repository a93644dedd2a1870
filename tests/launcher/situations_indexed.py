"""Situations of Indexed Jobs: tasks that fail, are tried again, and leave their pods behind."""

from tests.launcher.shapes import condition, ended, indexed_job, running, task
from tests.launcher.situation import Situation

OTHERS = [task(index, state=running()) for index in (1, 2, 3)]
STORAGE = ended(146, message="error: gs://bucket/model: no answer for 300 s", at=400)

SITUATIONS = [
    Situation(
        name="a task was tried again long ago and runs",
        job=indexed_job(failed=1),
        pods=[
            task(0, "first", phase="Failed", state=STORAGE, age=590),
            task(0, "again", state=running(), age=380),
            *OTHERS,
        ],
        expect="running", level="ok", says=("All 4",),
    ),
    Situation(
        name="a task is being tried again",
        job=indexed_job(failed=1),
        pods=[
            task(0, "first", phase="Failed", age=590,
                 state=ended(146, message="error: gs://bucket/model: no answer for 300 s", at=20)),
            task(0, "again", state=running(8), age=10),
            *OTHERS,
        ],
        expect="exit-storage-unreachable", level="warning",
        says=("no answer for 300 s", "It is started again", "1 in all, each task at most 6"),
    ),
    Situation(
        name="a task has failed and waits for its next try",
        job=indexed_job(failed=1),
        pods=[task(0, phase="Failed", state=ended(146, at=5), age=590), *OTHERS],
        expect="exit-storage-unreachable", level="warning", says=("It is started again",),
    ),
    Situation(
        name="a task has failed for good, the others go on",
        job=indexed_job(failed=1, failed_indexes="0"),
        pods=[
            task(0, phase="Failed", state=ended(65, message="error: 7.jpg is damaged"), age=590),
            *OTHERS,
        ],
        expect="tasks-failed", level="warning",
        says=("index 0 of mnist failed for good", "7.jpg is damaged", "the other tasks go on",
              "--replica worker-0"),
    ),
    Situation(
        name="a task has failed for good at its last try, of another cause than before",
        job=indexed_job(
            condition("Failed", reason="FailedIndexes", message="Job has failed indexes"),
            failed=2, failed_indexes="0",
        ),
        pods=[
            task(0, "first", phase="Failed", state=STORAGE, age=590),
            task(0, "again", phase="Failed", age=380,
                 state=ended(65, message="error: 7.jpg is damaged", at=30)),
            *(task(index, phase="Succeeded", state=ended(0)) for index in (1, 2, 3)),
        ],
        expect="exit-bad-data", level="failed",
        says=("7.jpg is damaged", "index 0 of 0-3", "launcher predict --resume"),
    ),
    Situation(
        name="a pod was taken away and another does its work",
        job=indexed_job(),
        pods=[
            task(0, "first", phase="Failed", age=590, reason="Evicted", message="drained"),
            task(0, "again", state=running(), age=380),
            *OTHERS,
        ],
        expect="running", level="ok", says=("All 4",),
    ),
]  # fmt: skip
