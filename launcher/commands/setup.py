"""`launcher setup`: the objects that a namespace needs once."""

import argparse

from launcher.api.errors import KindMissingError
from launcher.context import Context
from launcher.errors import DeniedError, LauncherError, NotFoundError, UsageError
from launcher.settings import arguments

NAME = "setup"
HELP = "Prepare a namespace: service account, roles, network policy, quota."
EPILOG = """Done once per namespace, by somebody who may. The objects are those of k8s/namespace
(see k8s/README.md); applying them again changes nothing. Parts: namespace, service-account,
roles, network, quota, limits, admission.

examples:
  launcher setup -n vision --dry-run client          # look at them first
  launcher setup -n vision --group vision@example.com --gpu-quota 64 \\
      --gcp-service-account food101-job@my-project.iam.gserviceaccount.com \\
      --registry europe-docker.pkg.dev/my-project/ --secret hub
  launcher setup -n vision --only service-account"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what goes into the objects."""
    parser.add_argument("--group", default="", help="group that may use the launcher here")
    parser.add_argument("--user", default="", help="person who may, instead of a group")
    parser.add_argument(
        "--gpu-quota", type=int, metavar="N",
        help="GPUs of all jobs together, with the CPUs and the memory that go with them "
        "(default: no quota)",
    )  # fmt: skip
    parser.add_argument(
        "--job-service-account", default="", metavar="NAME", help="service account of the jobs"
    )
    parser.add_argument(
        "--gcp-service-account", default="", metavar="EMAIL",
        help="Google service account that the jobs become (Workload Identity)",
    )  # fmt: skip
    parser.add_argument(
        "--metadata-server", action=argparse.BooleanOptionalAction, default=None,
        help="let jobs ask GKE's metadata server; never elsewhere, where it gives away the node's "
        "credentials (default: with --gcp-service-account)",
    )  # fmt: skip
    parser.add_argument(
        "--registry", action="append", default=[], metavar="PREFIX",
        help="how images of jobs must begin; may be repeated (default: any image)",
    )  # fmt: skip
    parser.add_argument(
        "--secret", action="append", default=[], metavar="NAME",
        help="secret that jobs may use; may be repeated (default: none)",
    )  # fmt: skip
    parser.add_argument("--only", default="", metavar="PART[,PART]", help="only these parts")
    parser.add_argument(
        "--dry-run", choices=("client", "server"),
        help="client: print the objects; server: let the cluster check them; keep nothing",
    )  # fmt: skip
    arguments.add_output(parser)


def run(args: argparse.Namespace, context: Context) -> int:
    """Apply the objects, or print them."""
    from launcher.describe import sizing
    from launcher.manifests import names, namespace

    names.check_namespace(context.namespace)
    for text in (*args.registry, *args.secret):
        if "," in text:
            raise UsageError(f"{text!r} holds a comma; give the flag once for each")
    if args.gpu_quota is not None and args.gpu_quota < 0:
        raise UsageError(f"--gpu-quota must not be negative, as {args.gpu_quota} is")
    model = context.settings.accelerator
    made = namespace.manifests(
        context.namespace,
        service_account=args.job_service_account,
        gcp_service_account=args.gcp_service_account,
        group=args.group,
        user=args.user,
        quota=None if args.gpu_quota is None else sizing.quota(args.gpu_quota, model),
        metadata_server=bool(
            args.gcp_service_account if args.metadata_server is None else args.metadata_server
        ),
        registries=tuple(args.registry),
        secrets=tuple(args.secret),
        parts=tuple(args.only.split(",")) if args.only else namespace.PARTS,
    )
    if args.dry_run == "client":
        context.output.documents(made, args.output or "yaml")
        return 0
    failed = _apply(made, context, dry_run=args.dry_run == "server")
    if not args.group and not args.user and "roles" in (args.only or "roles"):
        context.output.note("nobody was given the roles; name a --group or a --user for that")
    if any(item["kind"] == "ConfigMap" for item in made):
        images = f"images of {', '.join(args.registry)}" if args.registry else "any image"
        secrets = f"the secrets {', '.join(args.secret)}" if args.secret else "no secrets"
        context.output.note(
            f"jobs may use {images} and {secrets} (--registry, --secret); the API server refuses "
            "others"
        )
    if failed:
        raise failed[0]
    if not args.dry_run:
        context.output.note(f"next: launcher init -n {context.namespace}, then launcher check")
    return 0


def _needs(item: dict[str, object]) -> str:
    if str(item["apiVersion"]).startswith("admissionregistration.k8s.io/"):
        return "admission policies need Kubernetes 1.30 or newer"
    return f"the cluster does not serve {item['apiVersion']}"


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
        except KindMissingError:
            output.print(f"{output.style(label)} left out: {_needs(item)}")
            continue
        except NotFoundError:
            if not dry_run:
                raise
            output.print(f"{output.style(label)} not checked: the namespace is not there yet")
            continue
        output.print(f"{output.style(label)} {'accepted (dry run)' if dry_run else 'applied'}")
    return failed
