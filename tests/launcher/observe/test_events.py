"""Which events are about a job: by what they are about, not by how its name begins."""

import pytest

from launcher import kinds
from launcher.kinds import ClusterKind
from launcher.observe import events, reading
from tests.launcher import shapes
from tests.launcher.shapes import Object, event, pod, tfjob


def told(items: list[Object], *pods: Object, job: Object | None = None) -> list[str]:
    job = job or tfjob()
    kind = kinds.of_object(job["kind"])
    found = events.about(items, kind, kind.read(job), [reading.pod(each) for each in pods])
    return [each.reason for each in found]


@pytest.mark.parametrize(
    ("about", "kind"),
    [
        ("mnist-r1", "TFJob"),
        ("mnist-r1-worker-0", "Pod"),
        ("mnist-2", "Job"),
        ("mnist-worker", "Pod"),
        ("mnist-worker-0-x", "Pod"),
        ("mnis", "TFJob"),
    ],
)
def test_another_job_whose_name_begins_alike_is_another_job(about: str, kind: str) -> None:
    """The restarts of `first-r1` are no restarts of `first`."""
    assert told([event(about, "TFJobRestarting", "x", kind=kind)]) == []


@pytest.mark.parametrize(
    ("job", "about", "kind"),
    [
        (tfjob(), "mnist", "TFJob"),
        (tfjob(), "mnist-worker-12", "Pod"),
        (tfjob(), "mnist", "PodGroup"),
        (shapes.jobset(), "mnist-worker-0", "Job"),
        (shapes.jobset(), "mnist-worker-0-3-x7k2p", "Pod"),
    ],
)
def test_pods_that_were_replaced_are_known_by_their_names(
    job: Object, about: str, kind: str
) -> None:
    """Their events are all that is left of them."""
    assert told([event(about, "Killing", "x", kind=kind)], job=job) == ["Killing"]


def test_an_earlier_job_of_the_same_name_is_another_one() -> None:
    """Events stay for an hour; a job that was deleted and submitted again begins anew."""
    old = event("mnist-worker-0", "OOMKilling", "x", at=1200)
    mine = event("mnist-worker-0", "Started", "x", at=100)
    other = event("mnist", "TFJobRestarting", "x", kind="TFJob", at=90)
    other["involvedObject"]["uid"] = "the-uid-of-another"
    own = event("mnist", "TFJobCreated", "x", kind="TFJob", at=80)
    own["involvedObject"]["uid"] = "job-uid"
    assert told([old, mine, other, own], job=tfjob(age=600)) == ["Started", "TFJobCreated"]


def test_a_pod_is_known_by_its_uid_whatever_it_is_called() -> None:
    """As those of a TFJob that somebody else has made, with a chief."""
    about = event("mnist-chief-0", "BackOff", "x")
    about["involvedObject"]["uid"] = "pod-mnist-0"
    assert told([about], pod(0)) == ["BackOff"]


@pytest.mark.parametrize("kind", kinds.IN_CLUSTER, ids=lambda kind: kind.name)
def test_names_that_are_made_are_as_long_as_is_reckoned_with(kind: ClusterKind) -> None:
    """What a job's name may be long is said by the same names."""
    for what, _ in kind.made:
        if what == "Pod":
            assert kind.makes("first", what, f"first{kind.pod_suffix(7)}")
