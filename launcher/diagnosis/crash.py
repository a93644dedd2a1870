"""Which of the workers that ended badly was the first, and what it said."""

import dataclasses
import re
from collections.abc import Sequence
from dataclasses import dataclass

from job.contract.errors import ExitCode
from launcher import kinds
from launcher.diagnosis.finding import clip
from launcher.observe.state import Event, Pod, State, Time

FOLLOW_ON = frozenset({ExitCode.PREEMPTED, ExitCode.PEER_LOST, ExitCode.CLUSTER_NOT_FORMED})
"""Codes of workers that ended because another one did."""

_TRACEBACK = "Traceback (most recent call last):"
_FRAME = re.compile(r'File "(?P<file>[^"]+)", line (?P<line>\d+), in (?P<function>\S+)')
_EXCEPTION = re.compile(r"^[A-Za-z_][\w.]*(Error|Exception|Interrupt|Exit|Warning|Fault|\w)(:|$)")
_OPERATOR_SAID = re.compile(
    r"Error pod (?P<pod>\S+) container \S+ exitCode: (?P<code>\d+) "
    r"terminated message: (?P<message>.*)",
    re.DOTALL,
)
_ERROR = re.compile(r"(?:^|\s)error: ")
# A worker finds out within --peer_timeout_s, 60 s by default, that another one is gone.
_ONE_RESTART_S = 90.0
_OWN_CODE = ("/job/", "job/")


@dataclass(frozen=True, kw_only=True)
class Crash:
    """The first worker that went wrong by itself, and those that followed."""

    pod: Pod
    exit_code: int
    reason: str
    """The kubelet's reason, for example OOMKilled."""
    said: str
    """The error in one line; empty if the log does not tell."""
    where: tuple[str, ...] = ()
    """The traceback's frames that matter, the innermost last."""
    followers: tuple[Pod, ...] = ()
    when: Time | None = None
    """When it was told of, if its pod is gone."""


def first_crash(state: State) -> Crash | None:
    """Find the root cause among the workers that ended badly; None if none did."""
    ended = [(pod, *_ending(pod)) for pod in state.pods]
    bad = [(pod, code, reason) for pod, code, reason in ended if code not in (None, 0)]
    if not bad:
        return None
    bad.sort(key=lambda entry: (entry[1] in FOLLOW_ON, _finished(entry[0])))
    pod, code, reason = bad[0]
    assert code is not None
    lines = _lines(state, pod)
    said, where = last_error(lines)
    return Crash(
        pod=pod,
        exit_code=code,
        reason=reason,
        said=said,
        where=where,
        followers=tuple(other for other, _, _ in bad[1:]),
    )


def remembered_crash(state: State) -> Crash | None:
    """Find how workers ended last whose pods have been replaced already.

    The training operator deletes a pod that is to be restarted, and with it all that a kubelet
    knows of it; but it tells of each in an event. A Job leaves it where it is.
    """
    if state.replaced:
        return _of_replaced(state)
    told = [crash for event in state.events if (crash := _told_by_operator(event, state))]
    if not told:
        return None
    newest = told[-1]
    causes = [one for one in told if one.exit_code not in FOLLOW_ON and _together(one, newest)]
    return causes[-1] if causes else newest


def _of_replaced(state: State) -> Crash | None:
    newest = max(map(_finished_at, state.replaced))
    lately = [pod for pod in state.replaced if newest - _finished_at(pod) <= _ONE_RESTART_S]
    crash = first_crash(dataclasses.replace(state, pods=tuple(lately), replaced=()))
    main = crash.pod.main if crash else None
    return dataclasses.replace(crash, when=main.finished) if crash and main else crash


def _finished_at(pod: Pod) -> float:
    moment = pod.main.finished if pod.main else None
    return moment.timestamp() if moment else 0.0


def _told_by_operator(event: Event, state: State) -> Crash | None:
    tells = event.kind == state.job.kind and kinds.of_object(event.kind).restart_reason
    match = _OPERATOR_SAID.match(event.message) if tells else None
    if match is None:
        return None
    # Events are read as one line each: of an error's line only the beginning can be found.
    said = _ERROR.split(match["message"])[1:]
    return Crash(
        pod=Pod(
            name=match["pod"],
            replica=match["pod"].removeprefix(f"{state.job.name}-"),
            phase="Failed",
        ),
        exit_code=int(match["code"]),
        reason=event.reason,
        said=clip(said[-1]) if said else "",
        when=event.last_seen,
    )


def _together(one: Crash, other: Crash) -> bool:
    """Whether two workers ended in one restart, as far as their times tell."""
    if one.when is None or other.when is None:
        return one is other
    return abs((other.when - one.when).total_seconds()) <= _ONE_RESTART_S


def _ending(pod: Pod) -> tuple[int | None, str]:
    """Give how a pod's container ended: now, or before the kubelet started it again."""
    main = pod.main
    if main is None:
        return None, ""
    if main.state == "terminated":
        return main.exit_code, main.reason
    if main.state == "waiting":  # for its next start
        return main.last_exit_code, main.last_reason
    return None, ""


def _finished(pod: Pod) -> float:
    moment = pod.main.finished if pod.main else None
    return moment.timestamp() if moment else float("inf")


def _lines(state: State, pod: Pod) -> Sequence[str]:
    """Prefer the log; the termination message is its end, kept when the pod is gone."""
    told = state.logs.get(pod.name)
    if told:
        return told
    ended = pod.main is not None and pod.main.state == "terminated"
    return pod.main.message.splitlines() if pod.main and ended else ()


def last_error(lines: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """Find the error that ended a process: (one line, the frames that matter).

    A line `error: …` is how every command of the job reports an error that a user can act on. Of
    exceptions that were raised from one another the first is the cause: it is what is told.
    """
    reported = [line for line in lines if line.startswith("error: ")]
    if reported:
        return clip(reported[-1].removeprefix("error: ")), ()
    blocks = _tracebacks(lines)
    if blocks:
        exception, frames = blocks[0]
        return clip(exception), frames
    spoken = [line for line in lines if line.strip()]
    return (clip(spoken[-1]) if spoken else ""), ()


def _tracebacks(lines: Sequence[str]) -> list[tuple[str, tuple[str, ...]]]:
    """Read the chain of tracebacks at the end of a log, the first cause first."""
    starts = [number for number, line in enumerate(lines) if _TRACEBACK in line]
    blocks = []
    for start in starts:
        frames: list[str] = []
        for line in lines[start + 1 :]:
            frame = _FRAME.search(line)
            if frame:
                frames.append(f"{frame['file']}:{frame['line']} in {frame['function']}")
            elif _EXCEPTION.match(line):
                blocks.append((line, _telling(frames)))
                break
    return blocks


def _telling(frames: list[str]) -> tuple[str, ...]:
    """Keep the innermost frame of the job's own code and the innermost of all."""
    own = [frame for frame in frames if any(mark in frame for mark in _OWN_CODE)]
    chosen = [*own[-1:], *frames[-1:]]
    return tuple(dict.fromkeys(chosen))
