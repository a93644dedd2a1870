"""`launcher image`: build and push the container image with what is installed here."""

import argparse
import os
import shutil
import subprocess

from launcher.context import Context
from launcher.errors import LauncherError, NotFoundError, UsageError

NAME = "image"
HELP = "Build or push the container image."
EPILOG = """Needs docker, podman or buildah, and a checkout of the repository.

examples:
  launcher image build --image registry.example/team/food101:0.1.0
  launcher image build --gpu --image registry.example/team/food101:0.1.0-gpu
  launcher image build --target tensorboard --image registry.example/team/tensorboard:0.1.0
  launcher image push --image registry.example/team/food101:0.1.0"""

_TOOLS = ("docker", "podman", "buildah")
_GPU_TENSORFLOW = "tensorflow[and-cuda]"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what to do and with which image."""
    from launcher import settings

    parser.add_argument("action", metavar="ACTION", choices=("build", "push"), help="build or push")
    settings.add_flags(parser, "image")
    parser.add_argument("--gpu", action="store_true", help="TensorFlow with CUDA (build)")
    parser.add_argument("--target", metavar="NAME", help="target of the Dockerfile (build)")
    parser.add_argument("--folder", metavar="PATH", default=".",
                        help="folder of the Dockerfile (default: here)")  # fmt: skip
    parser.add_argument("--tool", choices=_TOOLS, help="default: the first that is installed")
    parser.add_argument("--dry-run", action="store_true", help="print the command only")


def run(args: argparse.Namespace, context: Context) -> int:
    """Run the tool; its output is shown as it comes."""
    from launcher import names

    image = context.settings.image
    names.check_image(image)
    command = _command(args, image, _tool(args.tool))
    context.output.note("$ " + " ".join(command))
    if args.dry_run:
        return 0
    context.output.stdout.flush()
    try:
        code = subprocess.run(command, check=False).returncode
    except OSError as error:
        raise LauncherError(f"{command[0]} cannot be started: {error.strerror}") from error
    if code:
        raise LauncherError(f"{command[0]} ended with exit code {code}; its output says why")
    if args.action == "build":
        context.output.note(f"next: launcher image push --image {image}")
    return 0


def _tool(wanted: str | None) -> str:
    found = [tool for tool in ((wanted,) if wanted else _TOOLS) if shutil.which(tool)]
    if not found:
        raise NotFoundError(f"{wanted or 'none of ' + ', '.join(_TOOLS)} is installed here")
    return found[0]


def _command(args: argparse.Namespace, image: str, tool: str) -> list[str]:
    if args.action == "push":
        if args.gpu or args.target:
            raise UsageError("--gpu and --target are for `image build`")
        return [tool, "push", image]
    dockerfile = os.path.join(args.folder, "Dockerfile")
    if not os.path.isfile(dockerfile):
        raise NotFoundError(f"there is no {dockerfile}; give --folder, the repository's checkout")
    command = [tool, "bud" if tool == "buildah" else "build", "-t", image, "-f", dockerfile]
    if args.gpu:
        command += ["--build-arg", f"TENSORFLOW={_GPU_TENSORFLOW}"]
    if args.target:
        command += ["--target", args.target]
    return [*command, args.folder]
