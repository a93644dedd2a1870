"""`launcher trust`: let a launcher.yaml name a kubeconfig, a context or an environment."""

import argparse

from launcher.context import Context
from launcher.errors import NotFoundError

NAME = "trust"
HELP = "Let a launcher.yaml that you have looked at name clusters and environments."
EPILOG = """A launcher.yaml found in a folder can come from anybody, with a repository for example.
One that sets kubeconfig, context or env, or belongs to another user, is used only once it is
trusted; when these settings change, it must be trusted anew. Your own file, in your configuration
folder, and one named by --settings need no trust.

examples:
  launcher trust
  launcher trust --forget"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what to do about the file."""
    parser.add_argument("--forget", action="store_true", help="trust it no longer")


def run(args: argparse.Namespace, context: Context) -> int:
    """Show what the file names, and note down that it is trusted."""
    from launcher.settings import file as settings_file
    from launcher.settings import trust

    output = context.output
    path = settings_file.find(args.settings, context.environ)
    if path is None:
        raise NotFoundError(f"there is no {settings_file.FILE_NAME} here or above to trust")
    if args.forget:
        was = trust.forget(path, context.environ)
        output.print(f"{path} {'is trusted no longer' if was else 'was not trusted'}")
        return 0
    claims = trust.claims_of(path, settings_file.read(path))
    for where, value in claims.settings.items():
        output.print(f"  {where}: {_shown(where, value)}")
    if not claims.settings and not claims.foreign:
        output.print(f"{claims.path} names nothing that needs trust")
        return 0
    trust.trust(claims, context.environ)
    output.print(f"{claims.path} is trusted until these settings change")
    return 0


def _shown(where: str, value: object) -> str:
    """Show a setting; of an environment the names alone, since values may be secrets."""
    if where.endswith(".env") and isinstance(value, dict):
        return ", ".join(map(str, value))
    return str(value)
