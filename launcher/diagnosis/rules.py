"""Why a job is where it is: State -> Finding, one causal sentence with its evidence.

The first rule that knows something speaks. They are in the order of causes: what is over, what
keeps pods from being made, then from being placed, then from starting, then from training.
"""

from collections.abc import Callable

from launcher.diagnosis import (
    admission,
    disruption,
    ending,
    follow_up,
    forming,
    running,
    scheduling,
    starting,
)
from launcher.diagnosis.finding import Finding
from launcher.observe.state import State

RULES: tuple[Callable[[State], Finding | None], ...] = (
    ending.succeeded,
    admission.suspended,
    follow_up.of_job,
    ending.failed,
    admission.kueue_ignores,
    admission.queued,
    admission.unattended,
    admission.refused_pods,
    starting.image_pull,
    starting.container_config,
    starting.volumes,
    ending.tasks_failed,
    ending.restarting,
    starting.admitted_but_refused,
    disruption.preempted,
    scheduling.unschedulable,
    ending.restarted,
    starting.starting,
    forming.incomplete,
    forming.storage,
    forming.peers,
    running.stalled,
    running.slow,
    running.finishing,
    running.healthy,
)


def diagnose(state: State) -> Finding:
    """Explain the state of a job. Pure; never fails."""
    findings = (rule(state) for rule in RULES)
    return next((finding for finding in findings if finding), None) or running.unclear(state)
