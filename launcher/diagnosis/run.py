"""A run without its job: one on this machine, or one whose job is gone from the cluster."""

import datetime
from collections.abc import Sequence

from launcher import units
from launcher.diagnosis.finding import Finding, clip
from launcher.run_directory import LastWords, RunFacts

_SILENT_AFTER_S = 120.0
_ERROR = "error: "
_CONSEQUENCE = "lost worker"
"""What a worker says that only saw another one go."""


def explain(
    run: str, facts: RunFacts, last_words: Sequence[LastWords], now: datetime.datetime
) -> Finding:
    """Say how a run stands, from its progress and from what its workers said last.

    Args:
        run: Its directory, as it was typed.
        facts: What the directory tells.
        last_words: Of the workers of its newest attempt.
        now: The time, with its zone.
    """
    progress = facts.progress
    if progress and progress.state == "done":
        numbers = units.format_metrics(facts.metrics)
        return Finding(
            situation="succeeded",
            level="ok",
            sentence=f"{run} is done: {progress.step:,} of {progress.total_steps:,} steps.",
            evidence=(f"best evaluation: {numbers}",) if numbers else (),
            mend=(f"look at it: launcher tensorboard {run}",),
        )
    age_s = (now - progress.time).total_seconds() if progress else 0.0
    if progress and progress.state == "training" and age_s < _SILENT_AFTER_S:
        return Finding(
            situation="training",
            level="ok",
            sentence=f"{run} trains: step {progress.step:,} of {progress.total_steps:,}, "
            f"{progress.examples_per_s:,.0f} images/s.",
        )
    return _stopped(run, facts, last_words, age_s)


def _stopped(run: str, facts: RunFacts, last_words: Sequence[LastWords], age_s: float) -> Finding:
    where = "before its first step"
    if facts.progress:
        where = f"at step {facts.progress.step:,} of {facts.progress.total_steps:,}"
    errors = [words for words in last_words if words.line.startswith(_ERROR)]
    causes = [words for words in errors if not _is_consequence(words)] or errors
    if causes:
        why = clip(causes[0].line.removeprefix(_ERROR)).rstrip(".")
    elif facts.progress and facts.progress.state == "training":
        why = f"its workers fell silent {units.format_seconds(age_s)} ago without a word, as when "
        why += "they are killed or the machine goes off"
    else:
        why = "its workers gave no reason"
    saved = facts.checkpoint_step
    return Finding(
        situation="stopped",
        level="failed",
        sentence=f"{run} stopped {where}: {why}.",
        evidence=tuple(clip(f"{words.replica}: {words.line}") for words in last_words),
        mend=(
            f"go on from the checkpoint of step {saved:,}: launcher resume {run}"
            if saved is not None
            else "mend that and start it again; there is no checkpoint yet",
            f"read all of it: launcher logs {run}",
        ),
    )


def _is_consequence(words: LastWords) -> bool:
    return words.line.removeprefix(_ERROR).startswith(_CONSEQUENCE)
