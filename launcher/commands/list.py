"""`launcher list`: the jobs of the namespace, or of all."""

import argparse
import datetime

from launcher.context import Context
from launcher.settings import arguments

NAME = "list"
HELP = "List jobs."
EPILOG = """STATUS says Running only when all workers run.

examples:
  launcher list
  launcher list -A -o wide
  launcher list -l food101/run-id=3f2a91c0d4e5"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare which jobs."""
    parser.add_argument(
        "-A", "--all-namespaces", action="store_true", help="jobs of all namespaces"
    )
    parser.add_argument("-l", "--selector", default="", help="only jobs with these labels")
    arguments.add_output(parser, "wide", "name")


def run(args: argparse.Namespace, context: Context) -> int:
    """Print the table."""
    from launcher import kinds
    from launcher.observe import gather, phase, views

    cluster, output = context.cluster(), context.output
    jobs = gather.list_jobs(cluster, everywhere=args.all_namespaces, selector=args.selector)
    if args.output == "name":
        for job in jobs:
            kind = kinds.of_object(job.kind)
            output.print(output.style(f"{kind.resource.qualified}/{job.name}"))
        return 0
    found = gather.with_pods(cluster, jobs, everywhere=args.all_namespaces)
    if args.output in arguments.FORMATS:
        output.document(
            [
                {
                    "name": job.name, "namespace": job.namespace, "kind": job.kind,
                    "status": phase.of_job(job, own), "workers": job.workers, "run": job.run,
                    "queue": job.queue or None, "image": job.image,
                    "created": job.created.isoformat() if job.created else None,
                }
                for job, own in found
            ],
            args.output,
        )  # fmt: skip
        return 0
    if not jobs:
        where = "any namespace" if args.all_namespaces else f"namespace {cluster.namespace!r}"
        output.note(f"no jobs in {where}; `launcher submit` starts one")
        return 0
    now = datetime.datetime.now(datetime.UTC)
    ages = [(now - job.created).total_seconds() if job.created else 0.0 for job in jobs]
    header, rows = views.job_rows(found, output, ages, wide=args.output == "wide")
    if args.all_namespaces:
        header = ["NAMESPACE", *header]
        rows = [[job.namespace, *row] for job, row in zip(jobs, rows, strict=True)]
    output.table(header, rows)
    return 0
