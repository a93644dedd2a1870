"""What would go wrong, before it does: all checks at once, bounded in time.

A check that cannot be made (no permission, no answer) is told of and stops nothing.
"""

import functools
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from job.contract.errors import JobError
from launcher import kinds
from launcher.api.daemon import start
from launcher.checks.result import Result, Subject, unknown
from launcher.describe.spec import JobSpec
from launcher.errors import DeniedError, LauncherError, UnreachableError, UsageError
from launcher.output import Output

if TYPE_CHECKING:
    from launcher.api.connection import Cluster

_WITHIN_S = 25.0
_WITHOUT_CLUSTER = ("image", "data", "run")
_IN_NAMESPACE = ("service-account", "secrets", "admission", "quota", "limits")


@dataclass(frozen=True, kw_only=True)
class Checked:
    """What a check has said."""

    name: str
    results: tuple[Result, ...]


def checks() -> dict[str, Callable[[Subject], Iterator[Result]]]:
    """Give the checks by the names under which they can be skipped, in the order of telling."""
    from launcher.checks import access, kinds, nodes, objects, room, storage

    return {
        "cluster": access.cluster,
        "clock": access.clock,
        "permissions": access.permissions,
        "namespace": objects.namespace,
        "operator": kinds.operator,
        "queue": kinds.queue,
        "name": objects.name,
        "image": objects.image,
        "service-account": objects.service_account,
        "secrets": objects.secrets,
        "priority": objects.priority,
        "admission": objects.admission,
        "quota": room.quota,
        "limits": room.limits,
        "nodes": nodes.nodes,
        "room": room.room,
        "data": storage.data,
        "run": storage.run,
        "writer": storage.writer,
    }


def subject_of(
    cluster: "Cluster", spec: JobSpec | None, manifest: dict[str, Any] | None
) -> Subject:
    """Describe what is to be checked; without a job only the cluster is."""
    if spec is None or manifest is None:
        return Subject(cluster=cluster)
    job = kinds.of_object(manifest["kind"]).read(manifest)
    return Subject(cluster=cluster, spec=spec, manifest=manifest, job=job)


def run_checks(
    subject: Subject, *, skip: Iterable[str] = (), within_s: float = _WITHIN_S
) -> Iterator[Checked]:
    """Run all checks at once and yield them in their order, each as soon as it is known.

    Raises:
        UsageError: A name in `skip` is no check.
    """
    known = checks()
    skipped = set(known) if "all" in skip else set(skip)
    for name in skipped - set(known):
        raise UsageError(f"there is no check {name!r}; known: {', '.join(known)}, all")
    end = time.monotonic() + within_s
    running: dict[str, Future[tuple[Result, ...]]] = {
        name: start(functools.partial(_results, check), subject)
        for name, check in known.items()
        if name not in skipped
    }
    told: set[str] = set()
    for name, future in running.items():
        if name in told:
            continue
        try:
            results = future.result(max(0.0, end - time.monotonic()))
        except TimeoutError:
            results = (unknown(f"no answer within {within_s:.0f} s"),)
        if results:
            yield Checked(name=name, results=results)
        if any(result.level == "failed" for result in results):
            told |= _follow_on(name, known)


def _follow_on(failed: str, known: Collection[str]) -> set[str]:
    """Name the checks that could only say again what a failed one has said."""
    if failed == "cluster":
        return set(known) - set(_WITHOUT_CLUSTER)
    return set(_IN_NAMESPACE) if failed == "namespace" else set()


def _results(check: Callable[[Subject], Iterator[Result]], subject: Subject) -> tuple[Result, ...]:
    try:
        return tuple(check(subject))
    except UnreachableError:
        return (unknown("the cluster does not answer"),)
    except DeniedError as error:
        return (unknown(f"cannot be checked: {str(error).partition('; ')[0]}"),)
    except (LauncherError, JobError) as error:
        return (unknown(f"cannot be checked: {error}"),)


def require(
    spec: JobSpec,
    manifests: list[dict[str, Any]],
    cluster: "Cluster",
    output: Output,
    *,
    skip: Iterable[str] = (),
) -> None:
    """Check a job before it is sent: warnings are printed, a failure stops it.

    Raises:
        LauncherError: At least one check has failed; each was printed with its way out.
        DeniedError: You may not create the job.
        UsageError: A name in `skip` is no check.
    """
    failed: list[str] = []
    for checked in run_checks(subject_of(cluster, spec, manifests[0]), skip=skip):
        for result in checked.results:
            if result.level == "warning":
                output.warn(f"{result.what}; {result.mend}")
            elif result.level == "failed":
                failed.append(checked.name)
                output.note(f"{checked.name}: {result.what}\n  > {result.mend}")
    if not failed:
        return
    names = ", ".join(dict.fromkeys(failed))
    kind = DeniedError if failed == ["permissions"] else LauncherError
    raise kind(
        f"nothing was sent, since it would fail ({names}); --skip-checks "
        f"{','.join(dict.fromkeys(failed))} sends it all the same"
    )
