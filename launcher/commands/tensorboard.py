"""`launcher tensorboard`: a run's curves, from this machine or from inside the cluster."""

import argparse
import importlib.util
import os
import sys
import threading
import time
from collections.abc import Sequence
from typing import Any

from launcher.context import Context
from launcher.errors import LauncherError, NotFoundError, TimedOutError, UsageError
from launcher.settings import arguments

NAME = "tensorboard"
HELP = "Show the curves of a run in the browser."
EPILOG = """Without --in-cluster TensorBoard runs here and reads the logs itself. With it, it runs
beside the logs, a port of this machine leads to it, and it goes when its job goes.

examples:
  launcher tensorboard vgg19-4f2a1c
  launcher tensorboard gs://my-bucket/runs --port 6007
  launcher tensorboard --logdir gs://my-bucket/runs/a/logs --logdir runs/b/logs
  launcher tensorboard --where 'learning_rate>0.001' --where 'top1>80%'
  launcher tensorboard vgg19-4f2a1c --in-cluster"""

_MOST_SELECTED = 50
_POLL_S = 1.0
_RELOAD_S = 30  # Runs copy their logs no more often, and every look costs requests.


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare whose curves to show, and from where."""
    from launcher.settings import fields

    parser.add_argument(
        "run_or_job", metavar="RUN", nargs="?", help="name of a job, or a folder of runs"
    )
    parser.add_argument(
        "--logdir", metavar="PATH", action="append", default=[],
        help="folder of logs or of runs; may be repeated to see several side by side",
    )  # fmt: skip
    arguments.add_where(parser)
    parser.add_argument(
        "--port", metavar="N", type=int, default=6006,
        help="port of this machine (default: 6006; 0 takes a free one)",
    )  # fmt: skip
    parser.add_argument("--in-cluster", action="store_true", help="run it in the cluster")
    parser.add_argument("--dry-run", action="store_true", help="print the manifest only")
    parser.add_argument(
        "--timeout", metavar="TIME", default="5m",
        help="longest time to wait for it to start (default: 5m)",
    )  # fmt: skip
    fields.add_flags(
        parser, "run_root", "tensorboard_image", "service_account", "image_pull_secret", "env"
    )
    arguments.add_output(parser)


def run(args: argparse.Namespace, context: Context) -> int:
    """Show the curves until Ctrl-C."""
    folders = _folders(args, context)
    if not args.in_cluster:
        return _here(folders, args, context)
    if len(folders) > 1:
        raise UsageError("--in-cluster takes one folder; give the one that holds all the runs")
    (logdir,) = folders
    if "://" not in logdir:
        raise UsageError(f"{logdir} is on this machine; --in-cluster needs gs://…")
    return _in_cluster(logdir, args, context)


def _folders(args: argparse.Namespace, context: Context) -> list[str]:
    """Give the folders to read: those of --logdir, and that of RUN."""
    from job.contract import layout
    from launcher.observe import run_paths

    folders = [str(folder).rstrip("/") for folder in args.logdir]
    if args.where:
        folders += _selected(args, context)
    elif args.run_or_job:
        folder = run_paths.run_directory(args.run_or_job, context)
        # A path may well hold many runs; a job has one.
        folders.append(folder if "/" in args.run_or_job else layout.logs_dir(folder))
    if not folders:
        raise UsageError("nothing to show: give the name of a job, a folder, or --logdir PATH")
    return folders


def _selected(args: argparse.Namespace, context: Context) -> list[str]:
    """Give the logs of the runs below RUN, or the run root, for which the conditions hold."""
    from job.contract import layout
    from launcher.runs import choice

    root = choice.root_of(args.run_or_job or "", context.settings)
    records = choice.selected(root, args.where, context)
    if not records:
        raise NotFoundError(f"no run in {root} fulfils {' and '.join(args.where)}")
    if len(records) > _MOST_SELECTED:
        raise UsageError(
            f"{len(records):,} runs in {root} fulfil {' and '.join(args.where)}, and TensorBoard "
            f"can hardly show more than {_MOST_SELECTED} side by side; add another --where"
        )
    return [layout.logs_dir(record.path) for record in records]


def logdir_flag(folders: Sequence[str]) -> str:
    """Write TensorBoard's flag for one folder, or for several side by side under their names.

    Raises:
        UsageError: A path that TensorBoard cannot tell from the next one.
    """
    if len(folders) == 1:
        return f"--logdir={folders[0]}"
    for folder in folders:
        if "," in folder:
            raise UsageError(f"--logdir {folder}: several folders cannot have commas in them")
    names = [folder.removesuffix("/logs").rpartition("/")[2] for folder in folders]
    unique = [
        name if names.count(name) == 1 else f"{name}-{number}"
        for number, name in enumerate(names, start=1)
    ]
    pairs = (f"{name}:{folder}" for name, folder in zip(unique, folders, strict=True))
    return f"--logdir_spec={','.join(pairs)}"


def _here(folders: Sequence[str], args: argparse.Namespace, context: Context) -> int:
    remote = any("://" in folder for folder in folders)
    needed = ["tensorboard", *(["gcsfs"] if remote else [])]
    missing = [name for name in needed if importlib.util.find_spec(name) is None]
    if missing:
        raise NotFoundError(
            f"{' and '.join(missing)} is not installed here: pip install "
            "'food101-vgg19[tensorboard]', or use --in-cluster"
        )
    _check_access(folders, context)
    command = [
        sys.executable, "-m", "launcher.tensorboard_server", logdir_flag(folders),
        f"--port={args.port}", "--load_fast=false", f"--reload_interval={_RELOAD_S}",
    ]  # fmt: skip
    context.output.note(f"TensorBoard reads {', '.join(folders)} (Ctrl-C ends it)")
    context.output.stdout.flush()
    # In place of this process, so that signals of any kind reach TensorBoard and it leaves nobody.
    os.execv(sys.executable, command)  # noqa: S606 (without a shell, as it should be)


def _check_access(folders: Sequence[str], context: Context) -> None:
    """Say at once what TensorBoard would show as an empty page: no folder, no permission."""
    from job import storage
    from launcher.observe.quick_storage import be_brief

    be_brief()
    for folder in folders:
        if not storage.is_remote(folder) and not os.path.isdir(folder):
            raise NotFoundError(f"there is no folder {folder}; name a run directory or a job")
        if storage.is_remote(folder) and next(storage.list_files(folder), None) is None:
            context.output.note(f"{folder} is empty so far; curves show once a run writes them")


def _in_cluster(logdir: str, args: argparse.Namespace, context: Context) -> int:
    from launcher.manifests import names, units
    from launcher.manifests.tensorboard import render_tensorboard

    limit_s = units.parse_seconds(args.timeout, "--timeout")
    fields = context.settings
    job = names.suggest(_shown_name(args.run_or_job or "", logdir), names.DNS_LABEL_LENGTH)
    owner = None if args.dry_run else _owner_of(logdir, job, context)
    if not fields.tensorboard_image:
        raise UsageError(
            "no image for TensorBoard: give --tensorboard-image, or put it into launcher.yaml "
            "(`launcher image build --target tensorboard` makes one)"
        )
    manifest = render_tensorboard(
        job,
        namespace=context.namespace,
        logdir=logdir,
        image=fields.tensorboard_image,
        service_account=fields.service_account,
        image_pull_secret=fields.image_pull_secret,
        env=dict(fields.env),
        owner=owner,
    )
    if args.dry_run:
        context.output.documents([manifest], args.output or "yaml")
        return 0
    context.cluster().apply(manifest)
    try:
        pod = _wait_for_pod(manifest["metadata"]["name"], job, limit_s, context)
        _forward(pod, args.port, context)
    finally:
        _leave(manifest["metadata"]["name"], owner is not None, context)
    return 0


def _shown_name(run_or_job: str, logdir: str) -> str:
    """Name what is shown: the job, or the folder with something that tells it from others."""
    if run_or_job:
        return run_or_job.rstrip("/").rpartition("/")[2]
    from launcher.describe import provenance

    folder = logdir.removesuffix("/logs").rpartition("/")[2]
    return f"{folder}-{provenance.run_id(logdir)[:6]}"


def _owner_of(logdir: str, name: str, context: Context) -> dict[str, Any] | None:
    """Find the job whose curves these are, with which TensorBoard goes; None if there is none."""
    from launcher.manifests import labels
    from launcher.observe import run_paths

    job = run_paths.job_object(name, context)
    run = (job or {}).get("metadata", {}).get("annotations", {}).get(labels.RUN, "")
    return job if run and run.rstrip("/") == logdir.removesuffix("/logs") else None


def _wait_for_pod(deployment: str, job: str, limit_s: float, context: Context) -> str:
    """Wait until TensorBoard answers, and name its pod."""
    from launcher.api import resources
    from launcher.manifests import labels

    cluster = context.cluster()
    context.output.note(f"waiting for deployment.apps/{deployment}")
    selector = f"{labels.JOB}={job},{labels.COMPONENT}=tensorboard"
    end = time.monotonic() + limit_s
    while True:
        pods = cluster.list_all(resources.PODS, labels=selector)
        for pod in pods:
            conditions = pod.get("status", {}).get("conditions", [])
            leaving = "deletionTimestamp" in pod["metadata"]
            if not leaving and any(
                c["type"] == "Ready" and c["status"] == "True" for c in conditions
            ):
                return str(pod["metadata"]["name"])
        if time.monotonic() > end:
            raise TimedOutError(
                f"deployment {deployment} is not ready after {limit_s:g} s; "
                f"kubectl describe pod -l {selector} tells why"
            )
        time.sleep(_POLL_S)


def _forward(pod: str, port: int, context: Context) -> None:
    from launcher.api import port_forward
    from launcher.manifests.tensorboard import PORT

    cluster = context.cluster()
    # The first connection is made before anybody is told of the address: it may be denied.
    cluster.open_port(pod, PORT).close()
    with port_forward.listen(port) as server:
        context.output.print(f"TensorBoard: http://localhost:{server.getsockname()[1]}")
        context.output.note("Ctrl-C ends the forwarding")
        context.output.stdout.flush()
        thread = threading.Thread(
            target=port_forward.serve,
            args=(server, lambda: cluster.open_port(pod, PORT), context.output.warn),
            daemon=True,
        )
        thread.start()
        try:
            while thread.is_alive():
                thread.join(_POLL_S)
        except KeyboardInterrupt:
            return


def _leave(deployment: str, owned: bool, context: Context) -> None:
    """A job's TensorBoard stays for the next time, until the job goes; any other is removed."""
    from launcher.api import resources

    if owned:
        context.output.note(f"deployment.apps/{deployment} stays until its job is deleted")
        return
    try:
        context.cluster().delete(resources.DEPLOYMENTS, deployment)
        context.output.note(f"deployment.apps/{deployment} deleted")
    except LauncherError as error:
        context.output.warn(f"deployment.apps/{deployment} could not be deleted: {error}")
