"""From what a user types to a run: a path, or the name of a job that is there, or was once.

Jobs come and go; run directories stay. A name is looked for in the cluster, then below the run
root. A cluster that does not answer, or may not be looked at, is never told as "no such job".
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from job import storage
from job.contract import layout
from job.contract import lease as contract
from job.contract.errors import ConfigError, DataError, JobError
from launcher import kinds
from launcher.context import Context
from launcher.errors import LauncherError, NotFoundError, UsageError
from launcher.kinds import ClusterKind

LOCAL_ROOT = "runs"
"""Where runs are kept on this machine if nothing else is said."""
_AT_ONCE = 32
_COUNTED = "-r"

Object = dict[str, Any]


@dataclass(frozen=True)
class Found:
    """What somebody's words have turned out to mean.

    Attributes:
        run: The run directory; empty if it is a job without one.
        job: The job in the cluster, as what it is and its object; None if it is not there.
        said: Why the cluster was of no help, where it was asked for a job.
    """

    run: str
    job: tuple[ClusterKind, Object] | None = None
    said: LauncherError | None = None


def find(run_or_job: str, context: Context) -> Found:
    """Find a job, or the directory of a run.

    Raises:
        NotFoundError: There is neither such a job nor such a run.
        LauncherError: The cluster cannot be asked, and no run of that name is known.
        ConfigError: It is a URL of storage that is not supported.
    """
    if "/" in run_or_job:
        # Told of the path as it was typed, not of a file below it.
        if storage.is_remote(run_or_job):
            _ = context.settings  # They say who pays for reading it.
        return Found(run_or_job.rstrip("/") or "/")
    said = None
    if has_cluster(context):
        from launcher.observe import gather

        try:
            kind, item = gather.find(context.cluster(), run_or_job)
            return Found(kind.read(item).run, (kind, item))
        except UsageError:
            raise
        except LauncherError as error:
            said = error
    roots = _roots(context)
    run = _below(roots, run_or_job)
    if run:
        return Found(run, said=said)
    if said is None:
        return Found(f"{roots[0]}/{run_or_job}")  # Whoever reads it says what is missing.
    if not isinstance(said, NotFoundError):
        raise said
    where = " or ".join(roots)
    raise NotFoundError(f"{said}; and no run of that name is below {where} (--set run_root=PATH)")


def run_directory(run_or_job: str, context: Context) -> str:
    """Give the run directory of a path, of a job in the cluster, or of a job that is gone.

    Raises:
        NotFoundError: Nothing is known of it, or it is a job without a run.
        LauncherError: The cluster cannot be asked, and no run of that name is known.
        ConfigError: It is a URL of storage that is not supported.
    """
    found = find(run_or_job, context)
    if found.said is not None and not isinstance(found.said, NotFoundError):
        context.output.note(f"not asked in the cluster: {found.said}")
    if not found.run:
        raise NotFoundError(f"job {run_or_job!r} tells of no run directory; name that instead")
    return found.run


def _roots(context: Context) -> list[str]:
    """Name the folders of runs: the one of the settings, and the one of jobs of this machine."""
    chosen = context.settings.run_root.rstrip("/")
    return [*([chosen] if chosen else []), *([LOCAL_ROOT] if chosen != LOCAL_ROOT else [])]


def _below(roots: Sequence[str], job: str) -> str:
    """Find the run of a job by its name, or by what directories tell; empty if there is none."""
    from launcher.observe import quick_storage

    if job in ("", ".", ".."):  # No names, but ways out of the root.
        return ""
    quick_storage.be_brief()
    assumed = ""
    for root in roots:
        try:
            if next(storage.list_files(f"{root}/{job}"), None) is not None:
                return f"{root}/{job}"
            held = _held_by(root, job)
        except ConfigError:
            raise
        except JobError:  # It cannot be read from here, so whoever reads it says what is wrong.
            assumed = assumed or f"{root}/{job}"
            continue
        if held:
            return held
    return assumed


def _held_by(root: str, job: str) -> str:
    """Find the run that a job has written last, by the names of the pods that leases keep.

    A job that went on with a run (first-r1), or was given another --run, is not called like it.
    """
    folders = list(storage.list_folders(root))
    base = job.rpartition(_COUNTED)[0]
    folders.sort(key=lambda folder: folder.rstrip("/").rpartition("/")[2] != base)
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        owners = threads.map(_last_pod, folders)
        matches = (
            folder
            for folder, pod in zip(folders, owners, strict=True)
            if any(kind.makes(job, "Pod", pod) for kind in kinds.TRAINING)
        )
        return next(matches, "").rstrip("/")


def _last_pod(run: str) -> str:
    path = layout.lease_file(run)
    try:
        return contract.parse(storage.read_bytes(path), path).owner.pod
    except (storage.NotFoundError, DataError):
        return ""


def absent(run: str) -> NotFoundError:
    """Make the error for a directory that holds nothing of a run."""
    return NotFoundError(f"{run} is no run directory: nothing has been trained there")


def has_cluster(context: Context) -> bool:
    """Whether there is a cluster that may know jobs by their names."""
    from launcher.api import kubeconfig

    return kubeconfig.is_configured(context.settings.kubeconfig, context.environ)


def job_object(name: str, context: Context) -> Object | None:
    """Find a training job of that name in the cluster; None without such a job, or a cluster.

    Raises:
        LauncherError: The cluster cannot be asked.
    """
    if not has_cluster(context):
        return None
    return next(_jobs(name, context), None)


def _jobs(name: str, context: Context) -> Iterator[Object]:
    for kind in kinds.TRAINING:
        found = context.cluster().find(kind.resource, name)
        if found is not None:
            yield found
