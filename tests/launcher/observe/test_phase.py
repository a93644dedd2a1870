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
