"""A job in one word, at the moments at which its parts do not agree with each other yet."""

from launcher import kinds
from launcher.observe import phase, reading
from tests.launcher import shapes


def test_a_container_that_is_done_counts_before_its_pod_does() -> None:
    """The node tells of both, a moment apart; the job has not gone back to its start."""
    job = kinds.TFJOB.read(shapes.tfjob(shapes.CREATED, shapes.RUNNING))
    pods = [
        reading.pod(shapes.pod(0, state=shapes.running())),
        reading.pod(shapes.pod(1, phase="Running", state=shapes.ended(0))),
    ]
    assert phase.of_job(job, pods) == "Running"
    assert phase.ready(job, pods) == "2/2"


def seen(job: shapes.Object, *pods: shapes.Object) -> tuple[str, str]:
    known = kinds.of_object(job["kind"]).read(job)
    current, _ = reading.newest([reading.pod(pod) for pod in pods], known.workers)
    return phase.of_job(known, current), phase.ready(known, current)


def test_a_task_that_was_tried_again_runs() -> None:
    """A Job leaves the pod that failed where it is; it tells nothing of now."""
    failed = shapes.task(0, "first", phase="Failed", state=shapes.ended(146), age=500)
    others = [shapes.task(index, state=shapes.running()) for index in (1, 2, 3)]
    job = shapes.indexed_job(failed=1)
    assert seen(job, failed, *others) == ("Restarting", "3/4")
    again = shapes.task(0, "again", state=shapes.running(), age=90)
    assert seen(job, *others, again, failed) == ("Running", "4/4")


def test_a_task_that_failed_for_good_keeps_the_others_from_nothing() -> None:
    failed = shapes.task(2, phase="Failed", state=shapes.ended(65))
    others = [shapes.task(index, state=shapes.running()) for index in (0, 1, 3)]
    job = shapes.indexed_job(failed=1, failed_indexes="2")
    assert seen(job, failed, *others) == ("Running", "3/4")


def test_pods_of_a_job_without_indexes_take_nobodys_place() -> None:
    pods = [shapes.task(0, letters, state=shapes.running()) for letters in ("aaaaa", "bbbbb")]
    for pod in pods:
        del pod["metadata"]["labels"]["batch.kubernetes.io/job-completion-index"]
    assert seen(shapes.indexed_job(tasks=2), *pods) == ("Running", "2/2")


def test_restarts_are_told_with_what_the_limit_is_about() -> None:
    """37 of 20 cannot be: a JobSet counts those that nobody is to blame for apart."""
    jobset = shapes.jobset(restarts=37, max_restarts=20)
    jobset["status"]["restartsCountTowardsMax"] = 18
    told = phase.restarts(kinds.JOBSET.read(jobset))
    assert told == "37, of which 18 count towards the 20 allowed"
    assert phase.restarts(kinds.JOBSET.read(shapes.jobset(restarts=2))) == "2 of 3"
    several = kinds.JOB.read(shapes.indexed_job(failed=9))
    assert phase.restarts(several) == "9 in all, each task at most 6"
