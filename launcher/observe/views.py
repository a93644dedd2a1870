"""How jobs, pods and findings look: as lines for people, as plain data for programs."""

import dataclasses
import datetime
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from job.contract.wording import many
from launcher.diagnosis import follow_up
from launcher.diagnosis.finding import Finding
from launcher.manifests import labels, units
from launcher.observe import phase
from launcher.observe.state import Job, Pod, PredictionProgress, Progress, State
from launcher.output import Output

if TYPE_CHECKING:
    from job.contract.follow_up_file import FollowUpStep
    from launcher.observe.run_facts import RunFacts

_LEVEL_STYLES = {"ok": "green", "waiting": "cyan", "warning": "yellow", "failed": "red"}
_BAR_WIDTH = 24


def finding_lines(finding: Finding, output: Output) -> list[str]:
    """Write a finding: the sentence, what shows it, what can be done."""
    lines = [output.style(finding.sentence, "bold", _LEVEL_STYLES[finding.level])]
    lines += [f"  {output.style('-', 'dim')} {output.style(text)}" for text in finding.evidence]
    if finding.mend:
        lines.append(output.style("next:" if finding.level == "ok" else "what to do:", "dim"))
        lines += [f"  {output.style('>', 'dim')} {output.style(text)}" for text in finding.mend]
    return lines


def finding_data(finding: Finding) -> dict[str, Any]:
    """Give a finding as plain data."""
    return {
        "situation": finding.situation,
        "exit_code": finding.exit_code,
        "level": finding.level,
        "sentence": finding.sentence,
        "evidence": list(finding.evidence),
        "mend": list(finding.mend),
    }


def job_rows(
    jobs: Sequence[tuple[Job, Sequence[Pod]]], output: Output, ages: Sequence[float], *, wide: bool
) -> tuple[list[str], list[list[str]]]:
    """Give header and rows of the table of jobs."""
    header = ["NAME", "STATUS", "WORKERS", "GPUS", "RESTARTS", "AGE"]
    header += ["KIND", "TYPE", "QUEUE", "IMAGE", "RUN"] if wide else []
    rows = []
    for (job, pods), age in zip(jobs, ages, strict=True):
        word = phase.of_job(job, pods)
        row = [
            output.style(job.name), output.style(word, phase.STYLES[word]), phase.ready(job, pods),
            f"{job.workers * job.resources.get(labels.GPU, 0):g}", str(_restarts(job, pods)),
            units.format_seconds(age).split(" ")[0],
        ]  # fmt: skip
        if wide:
            more = (job.kind, job.component, job.queue or "-", job.image, job.run or "-")
            row += [output.style(text) for text in more]
        rows.append(row)
    return header, rows


def _restarts(job: Job, pods: Sequence[Pod]) -> int:
    own = sum(container.restarts for pod in pods for container in pod.containers)
    return job.restarts + own


def pod_rows(state: State, output: Output) -> tuple[list[str], list[list[str]]]:
    """Give header and rows of the table of replicas."""
    header = ["REPLICA", "STATUS", "EXIT", "RESTARTS", "AGE", "NODE"]
    rows = []
    for pod in state.pods:
        word = phase.of_pod(pod)
        style = "green" if word in ("Running", "Succeeded", "Completed") else "yellow"
        restarts = pod.attempt or (pod.main.restarts if pod.main else 0)
        rows.append([
            output.style(pod.replica),
            output.style(word, "red" if pod.phase == "Failed" else style),
            "-" if pod.exit_code is None else str(pod.exit_code), str(restarts),
            units.format_seconds(state.age_s(pod.created)).split(" ")[0],
            output.style(pod.node or "-"),
        ])  # fmt: skip
    return header, rows


def heading(state: State, output: Output) -> str:
    """Write the first line of a job's status."""
    job = state.job
    word = phase.of_job(job, state.pods)
    gpus = job.workers * job.resources.get(labels.GPU, 0.0)
    parts = [
        f"{job.kind} in {job.namespace}",
        _workers(state) + (f", {gpus:g} GPUs" if gpus else ""),
        f"{units.format_seconds(state.age_s(job.created))} old",
    ]
    shown = output.style(word, "bold", phase.STYLES[word])
    return f"{output.style(job.name, 'bold')}  {shown}  {output.style(', '.join(parts))}"


def _workers(state: State) -> str:
    ready = phase.ready(state.job, state.pods)
    return f"{state.job.workers if ready == '-' else ready} workers"


def fact_rows(state: State) -> list[tuple[str, str]]:
    """Give what belongs to a job beside its pods, as (name, text)."""
    job = state.job
    directory = "run" if job.component == "train" else "output"
    rows = [("image", job.image), (directory, job.run), ("queue", job.queue)]
    if state.prediction:
        rows.append(("progress", prediction_text(state.prediction)))
    rows += _training_rows(state.progress, state.checkpoint_step, state.metrics)
    rows += _follow_up_rows(state.follow_ups, state.now.timestamp())
    if job.max_restarts is not None and job.restarts:
        rows.append(("restarts", phase.restarts(job)))
    return [(name, text) for name, text in rows if text]


def prediction_text(prediction: PredictionProgress) -> str:
    """Say how far all tasks of a prediction are together."""
    done = prediction.images / prediction.total_images
    return (
        f"[{_bar(done)}] {prediction.images:,} of {prediction.total_images:,} images, "
        f"{prediction.parts:,} of {many(prediction.total_parts, 'part')}"
    )


def _bar(done: float) -> str:
    return f"{'#' * round(done * _BAR_WIDTH):.<{_BAR_WIDTH}}"


def run_rows(run: str, facts: "RunFacts") -> list[tuple[str, str]]:
    """Give what a run's directory alone tells, as (name, text)."""
    rows = [("run", run)]
    if facts.progress:
        age_s = (datetime.datetime.now(datetime.UTC) - facts.progress.time).total_seconds()
        rows.append(("state", f"{facts.progress.state}, {units.format_seconds(age_s)} ago"))
    rows += _training_rows(facts.progress, facts.checkpoint_step, facts.metrics)
    return rows + _follow_up_rows(facts.follow_ups, time.time())


def _follow_up_rows(steps: "Sequence[FollowUpStep]", now: float) -> list[tuple[str, str]]:
    return [("then", follow_up.line(step, now)) for step in steps]


def _follow_up_data(steps: "Sequence[FollowUpStep]") -> list[dict[str, Any]]:
    return [dataclasses.asdict(step) for step in steps]


def run_data(run: str, facts: "RunFacts") -> dict[str, Any]:
    """Give what a run's directory tells as plain data."""
    return {
        "run": run,
        "progress": _progress_data(facts.progress),
        "checkpoint_step": facts.checkpoint_step,
        "then": _follow_up_data(facts.follow_ups),
        "metrics": dict(facts.metrics),
    }


def _training_rows(
    progress: Progress | None, checkpoint_step: int | None, metrics: Mapping[str, float]
) -> list[tuple[str, str]]:
    rows = []
    if progress:
        done = progress.step / progress.total_steps if progress.total_steps else 0.0
        rows.append(("progress", f"[{_bar(done)}] {progress.step:,} of {progress.total_steps:,}"))
    if checkpoint_step is not None:
        rows.append(("saved", f"checkpoint of step {checkpoint_step:,}"))
    if metrics:
        rows.append(("best", units.format_metrics(metrics)))
    return rows


def status_data(state: State, finding: Finding) -> dict[str, Any]:
    """Give a job's status as plain data, for `-o json` and `-o yaml`."""
    job = state.job
    return {
        "name": job.name,
        "namespace": job.namespace,
        "kind": job.kind,
        "status": phase.of_job(job, state.pods),
        "workers": job.workers,
        "gpus": int(job.workers * job.resources.get(labels.GPU, 0)),
        "created": job.created.isoformat() if job.created else None,
        "image": job.image,
        "run": job.run,
        "queue": job.queue or None,
        "restarts": _restarts(job, state.pods),
        "restarts_counted": job.counted_restarts,
        "max_restarts": job.max_restarts,
        "progress": _progress_data(state.progress),
        "prediction": dataclasses.asdict(state.prediction) if state.prediction else None,
        "failed_indexes": job.failed_indexes or None,
        "checkpoint_step": state.checkpoint_step,
        "then": _follow_up_data(state.follow_ups),
        "metrics": dict(state.metrics),
        "why": finding_data(finding),
        "replicas": [
            {
                "name": pod.replica,
                "pod": pod.name,
                "status": phase.of_pod(pod),
                "attempt": pod.attempt,
                "exit_code": pod.exit_code,
                "node": pod.node or None,
            }
            for pod in state.pods
        ],
        "unknown": list(state.unknown),
    }


def _progress_data(progress: Progress | None) -> dict[str, Any] | None:
    if progress is None:
        return None
    return dataclasses.asdict(progress) | {"time": progress.time.isoformat()}
