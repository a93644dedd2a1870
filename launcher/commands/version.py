"""`launcher version`: what is installed here, and what the cluster runs."""

import argparse
import platform

from launcher.context import Context
from launcher.errors import LauncherError
from launcher.settings import arguments
from launcher.version import VERSION

NAME = "version"
HELP = "Show the version of the launcher and of the cluster."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare `--client` and `-o`."""
    parser.add_argument("--client", action="store_true", help="do not ask the cluster")
    arguments.add_output(parser)


def run(args: argparse.Namespace, context: Context) -> int:
    """Print the versions; a cluster that cannot be asked is a note, not a failure."""
    versions = {"launcher": VERSION, "python": platform.python_version()}
    if not args.client:
        try:
            versions["kubernetes"] = context.cluster().version()
        except LauncherError as error:
            context.output.note(f"cluster: {error}")
    if args.output:
        context.output.document(versions, args.output)
    else:
        for name, version in versions.items():
            context.output.print(f"{name} {version}")
    return 0
