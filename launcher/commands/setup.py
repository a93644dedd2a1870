"""`launcher setup`: the objects that a namespace needs once."""

import argparse

from launcher.context import Context
from launcher.errors import DeniedError, LauncherError, NotFoundError
from launcher.settings import arguments

NAME = "setup"
HELP = "Prepare a namespace: service account, roles, network policy, quota."
EPILOG = """Done once per namespace, by somebody who may. The objects are those of k8s/namespace
(see k8s/README.md); applying them again changes nothing. Parts: namespace, service-account,
roles, network, quota, limits.

examples:
  launcher setup -n vision --dry-run client          # look at them first
  launcher setup -n vision --group vision@example.com --gpu-quota 64 \\
      --gcp-service-account food101-job@my-project.iam.gserviceaccount.com
  launcher setup -n vision --only service-account"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what goes into the objects."""
    parser.add_argument("--group", default="", help="group that may use the launcher here")
    parser.add_argument("--user", default="", help="person who may, instead of a group")
    parser.add_argument(
        "--gpu-quota", type=int, metavar="N", help="GPUs of all jobs together (default: no quota)"
    )
    parser.add_argument(
        "--job-service-account", default="", metavar="NAME", help="service account of the jobs"
    )
    parser.add_argument(
        "--gcp-service-account", default="", metavar="EMAIL",
        help="Google service account that the jobs become (Workload Identity)",
    )  # fmt: skip
    parser.add_argument("--only", default="", metavar="PART[,PART]", help="only these parts")
    parser.add_argument(
        "--dry-run", choices=("client", "server"),
        help="client: print the objects; server: let the cluster check them; keep nothing",
    )  # fmt: skip
    arguments.add_output(parser)


def run(args: argparse.Namespace, context: Context) -> int:
    """Apply the objects, or print them."""
    from launcher.manifests import names, namespace

    names.check_namespace(context.namespace)
    made = namespace.manifests(
        context.namespace,
        service_account=args.job_service_account,
        gcp_service_account=args.gcp_service_account,
        group=args.group,
        user=args.user,
        gpus=args.gpu_quota,
        parts=tuple(args.only.split(",")) if args.only else namespace.PARTS,
    )
    if args.dry_run == "client":
        context.output.documents(made, args.output or "yaml")
        return 0
    failed = _apply(made, context, dry_run=args.dry_run == "server")
    if not args.group and not args.user and "roles" in (args.only or "roles"):
        context.output.note("nobody was given the roles; name a --group or a --user for that")
    if failed:
        raise failed[0]
    if not args.dry_run:
        context.output.note(f"next: launcher init -n {context.namespace}, then launcher check")
    return 0


def _apply(
    made: list[dict[str, object]], context: Context, *, dry_run: bool
) -> list[LauncherError]:
    """Apply what may be applied, and tell of the rest: an administrator may have done it."""
    cluster, output = context.cluster(), context.output
    failed: list[LauncherError] = []
    for item in made:
        metadata = item["metadata"]
        assert isinstance(metadata, dict)
        label = f"{str(item['kind']).lower()}/{metadata['name']}"
        try:
            cluster.apply(item, dry_run=dry_run)
        except DeniedError as error:
            failed.append(error)
            output.print(f"{output.style(label)} {output.style('denied', 'red')}")
            continue
        except NotFoundError:
            if not dry_run:
                raise
            output.print(f"{output.style(label)} not checked: the namespace is not there yet")
            continue
        output.print(f"{output.style(label)} {'accepted (dry run)' if dry_run else 'applied'}")
    return failed
