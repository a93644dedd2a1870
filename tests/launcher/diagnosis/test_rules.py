"""`why`: for every situation the right cause, in one sentence, with its evidence."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from launcher import kinds
from launcher.diagnosis.crash import last_error
from launcher.diagnosis.rules import diagnose
from launcher.observe import events as events_of_job
from launcher.observe import reading
from launcher.observe.state import State
from tests.launcher import (
    situations_admission,
    situations_ending,
    situations_indexed,
    situations_running,
    situations_scheduling,
    situations_starting,
)
from tests.launcher.shapes import NOW, event, pod, tfjob
from tests.launcher.situation import Situation

SITUATIONS = [
    *situations_admission.SITUATIONS,
    *situations_scheduling.SITUATIONS,
    *situations_starting.SITUATIONS,
    *situations_ending.SITUATIONS,
    *situations_indexed.SITUATIONS,
    *situations_running.SITUATIONS,
]


@pytest.mark.parametrize("situation", SITUATIONS, ids=lambda each: each.name)
def test_the_cause_is_named(situation: Situation) -> None:
    found = diagnose(situation.state())
    told = "\n".join([found.sentence, *found.evidence, *found.mend])
    assert (found.situation, found.level) == (situation.expect, situation.level), told
    for words in situation.says:
        assert words in told
    assert "\n" not in found.sentence
    assert found.sentence.endswith(".")
    assert not found.sentence.endswith("..")
    if found.level != "ok":
        assert found.mend or found.level == "waiting", "a problem comes with a way out"


def test_there_are_many_situations() -> None:
    """Each of them is told apart by a name of its own, for programs."""
    assert len({situation.expect for situation in SITUATIONS}) >= 40


def test_the_first_cause_of_a_chain_of_exceptions_is_told() -> None:
    log = [
        "Traceback (most recent call last):",
        '  File "/app/job/records.py", line 9, in read',
        "    raise ValueError(1)",
        "ValueError: the real cause",
        "",
        "The above exception was the direct cause of the following exception:",
        "",
        "Traceback (most recent call last):",
        '  File "/app/job/train.py", line 3, in train',
        "    raise RuntimeError",
        "RuntimeError: worker failed",
    ]
    said, where = last_error(log)
    assert said == "ValueError: the real cause"
    assert where == ("/app/job/records.py:9 in read",)


_TEXT = st.text(max_size=30)
_STATES = st.fixed_dictionaries(
    {},
    optional={
        "waiting": st.fixed_dictionaries({"reason": _TEXT, "message": _TEXT}),
        "terminated": st.fixed_dictionaries(
            {"exitCode": st.integers(0, 255), "reason": _TEXT, "message": _TEXT}
        ),
        "running": st.just({"startedAt": "2026-11-20T10:00:00Z"}),
    },
)
_PODS = st.lists(
    st.builds(
        pod,
        st.integers(0, 9),
        phase=st.sampled_from(["Pending", "Running", "Succeeded", "Failed", "Unknown"]),
        node=st.sampled_from(["", "node-a"]),
        state=st.none() | _STATES,
        reason=_TEXT,
        message=_TEXT,
        deleting=st.booleans(),
    ),
    max_size=4,
)
_EVENTS = st.lists(
    st.builds(
        event,
        st.sampled_from(["mnist", "mnist-worker-0"]),
        st.sampled_from(["FailedCreatePod", "FailedMount", "Failed", "FailedScheduling", "X"]),
        _TEXT,
    ),
    max_size=3,
)


@settings(deadline=None)
@given(pods=_PODS, events=_EVENTS)
def test_any_state_gets_a_sentence(pods: list[dict[str, object]], events: list[object]) -> None:
    """Whatever a cluster reports, there is an answer and never an exception."""
    state = State(
        job=kinds.TFJOB.read(tfjob()),
        now=NOW,
        pods=tuple(reading.pod(item) for item in pods),
        events=events_of_job.about(events, kinds.TFJOB, kinds.TFJOB.read(tfjob()), ()),
    )
    assert diagnose(state).sentence.endswith(".")
