"""What follows training: which step runs, or which one failed though training ended well."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from job.contract.errors import exit_meaning
from launcher.diagnosis.finding import Finding
from launcher.manifests import units
from launcher.observe.state import State

if TYPE_CHECKING:
    from job.contract.follow_up_file import FollowUpStep

_NOUNS = {"evaluate": "evaluation", "export": "export"}


def of_job(state: State) -> Finding | None:
    """Explain a job whose training is over, and whose first worker goes on."""
    progress = state.progress
    if progress is None or progress.state != "done" or state.job.succeeded:
        return None
    found = explain(state.job.name, state.job.run, state.follow_ups, state.now.timestamp())
    # Of a job that is over nothing runs: then its end tells more.
    return found if found is None or found.level == "failed" or not state.job.over else None


def explain(subject: str, run: str, steps: "Sequence[FollowUpStep]", now: float) -> Finding | None:
    """Say which step runs, as far as its note tells, or failed; None if none does or has.

    Args:
        subject: What the sentence is about: a job, or a run.
        run: The run directory.
        steps: All of them, in their order.
        now: Seconds since 1970.
    """
    evidence = tuple(line(step, now) for step in steps)
    for step in steps:
        noun = _NOUNS.get(step.name, step.name)
        if step.state == "failed":
            code = step.exit_code or 1
            return Finding(
                situation="follow-up-failed",
                level="failed",
                sentence=f"{subject} is trained, but its {noun} failed (exit code {code}): "
                f"{exit_meaning(code)}.",
                evidence=evidence,
                mend=(
                    f"read what it said: launcher logs {run}",
                    f"the checkpoints are whole; do it again: launcher {step.name} {run}",
                ),
                exit_code=code,
            )
        if step.state == "running":
            return Finding(
                situation="following-up",
                level="ok",
                sentence=f"{subject} is trained; its {noun} has begun"
                + (f" {units.format_seconds(now - step.began)} ago." if step.began else "."),
                evidence=evidence,
            )
    return None


def line(step: "FollowUpStep", now: float) -> str:
    """Write a step as a line: export: done in 12s, gs://…/model."""
    parts = [step.state]
    if step.state == "running" and step.began:
        parts.append(f"for {units.format_seconds(now - step.began)}")
    elif step.state in ("done", "failed") and step.began and step.ended:
        parts.append(f"in {units.format_seconds(step.ended - step.began)}")
    elif step.state == "waiting" and step.exit_code:
        parts.append(f"again, interrupted with exit code {step.exit_code}")
    return f"{step.name}: {' '.join(parts)}" + (f", {step.output}" if step.output else "")
