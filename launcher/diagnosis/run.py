"""A run without its job: one on this machine, or one whose job is gone from the cluster."""

import datetime
from collections.abc import Sequence

from launcher.diagnosis import follow_up
from launcher.diagnosis.finding import Finding, clip
from launcher.manifests import units
from launcher.observe.run_facts import LastWords, RunFacts

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
        after = follow_up.explain(run, run, facts.follow_ups, now.timestamp())
        if after is not None:
            return after
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
    return _not_training(run, facts, last_words, age_s)


def _not_training(
    run: str, facts: RunFacts, last_words: Sequence[LastWords], age_s: float
) -> Finding:
    """Explain by an error if there is one; else say only what is certain: it may be starting."""
    progress = facts.progress
    where = f"step {progress.step:,} of {progress.total_steps:,}" if progress else "no step yet"
    errors = [words for words in last_words if words.line.startswith(_ERROR)]
    causes = [words for words in errors if not _is_consequence(words)] or errors
    silent = progress is not None and progress.state == "training"
    if causes:
        why = clip(causes[0].line.removeprefix(_ERROR)).rstrip(".")
        sentence = f"{run} stopped ({where}): {why}."
    elif silent:
        sentence = (
            f"{run} has made no progress for {units.format_seconds(age_s)} ({where}), and no "
            "worker says why, as when they are killed or the machine goes off."
        )
    elif last_words:
        sentence = f"{run} does not train now ({where}); it said last: {clip(last_words[0].line)}."
    else:
        sentence = f"{run} does not train now ({where}), and its workers left no log."
    saved = facts.checkpoint_step
    return Finding(
        situation="stopped" if causes or silent else "not-training",
        level="failed" if causes or silent else "warning",
        sentence=sentence,
        evidence=tuple(clip(f"{words.replica}: {words.line}") for words in last_words),
        mend=(
            f"go on from the checkpoint of step {saved:,}: launcher resume {run}"
            if saved is not None
            else "there is no checkpoint yet: start it again once its cause is mended",
            f"read all of it: launcher logs {run}",
        ),
    )


def _is_consequence(words: LastWords) -> bool:
    return words.line.removeprefix(_ERROR).startswith(_CONSEQUENCE)
