"""`launcher image`: build and push the container images with what is installed here."""

import argparse
import os
import shutil
import subprocess
import tempfile

from launcher.context import Context
from launcher.errors import LauncherError, NotFoundError, UsageError
from launcher.sending import image_tools

NAME = "image"
HELP = "Build or push the container image."
EPILOG = """Needs docker, podman or buildah, and a checkout of the repository. An image without a
tag gets the revision of the checkout, and -cpu or -gpu. Flags after -- go to the tool.

examples:
  launcher image build --image registry.example/team/food101
  launcher image build --image registry.example/team/food101 --tensorflow cpu
  launcher image build --target tensorboard --tensorboard-image registry.example/team/tensorboard
  launcher image push --image registry.example/team/food101
  launcher image build -- --platform linux/amd64                     # on another kind of machine
  launcher image build -- --build-arg BASE=python:3.11-slim-bookworm@sha256:..."""

_SETTING = {"job": "image", "tensorboard": "tensorboard_image"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what to do and with which image."""
    from launcher.settings import fields

    parser.add_argument("action", metavar="ACTION", choices=("build", "push"), help="build or push")
    fields.add_flags(parser, "image", "tensorboard_image")
    parser.add_argument(
        "--target", choices=image_tools.TARGETS, default="job",
        help="job (default), or tensorboard: without TensorFlow",
    )  # fmt: skip
    parser.add_argument(
        "--tensorflow", choices=tuple(image_tools.TENSORFLOW),
        help="cpu, or gpu: with CUDA (default: gpu, unless the profile says gpus: 0)",
    )  # fmt: skip
    parser.add_argument("--folder", metavar="PATH", default=".",
                        help="folder of the Dockerfile (default: here)")  # fmt: skip
    parser.add_argument("--tool", choices=image_tools.TOOLS,
                        help="default: the first that is installed")  # fmt: skip
    parser.add_argument("--dry-run", action="store_true", help="print the command only")
    parser.set_defaults(job_flags=[])  # what stands after --


def run(args: argparse.Namespace, context: Context) -> int:
    """Run the tool; its output is shown as it comes."""
    variant = _variant(args, context)
    image = _image(args, context, variant)
    tool = _tool(args.tool)
    if args.action == "push":
        return _push(tool, image, args, context)
    dockerfile = os.path.join(args.folder, "Dockerfile")
    if not os.path.isfile(dockerfile):
        raise NotFoundError(f"there is no {dockerfile}; give --folder, the repository's checkout")
    command = image_tools.build_command(
        tool,
        image,
        folder=args.folder,
        dockerfile=dockerfile,
        target=args.target,
        tensorflow=variant,
        more=args.job_flags,
    )
    _explain(variant, args, context)
    if _run(command, args, context):
        _recommend(image, args, context)
        context.output.note(f"next: launcher image push{_same_again(args, image)}")
    return 0


def _variant(args: argparse.Namespace, context: Context) -> str:
    """Give the variant: what the jobs of these settings need, unless it is given."""
    if args.target == "tensorboard":
        if args.tensorflow:
            raise UsageError(
                "--tensorflow is for --target job; TensorBoard comes without TensorFlow"
            )
        return ""
    if args.tensorflow:
        return str(args.tensorflow)
    return "cpu" if context.settings.gpus == 0 else "gpu"


def _explain(variant: str, args: argparse.Namespace, context: Context) -> None:
    """Say why the image is of this variant, where nobody has asked for one."""
    if not variant or args.tensorflow:
        return
    why = "with gpus: 0" if variant == "cpu" else "on GPUs, unless they are given gpus: 0"
    other = "gpu" if variant == "cpu" else "cpu"
    context.output.note(
        f"for {variant.upper()}s: jobs of this profile run {why}; --tensorflow {other} for the "
        "other image"
    )


def _image(args: argparse.Namespace, context: Context, variant: str) -> str:
    from launcher.manifests import names

    image = str(getattr(context.settings, _SETTING[args.target]))
    if not image and args.target == "tensorboard":
        raise UsageError("no image: give --tensorboard-image, or put it into launcher.yaml")
    names.check_image(image)
    if "@" in image:
        raise UsageError(
            f"image {image}: a digest is what comes out; give a name, with or without tag"
        )
    return image_tools.with_tag(image, args.folder, suffix=f"-{variant}" if variant else "")


def _tool(wanted: str | None) -> str:
    tools = (wanted,) if wanted else image_tools.TOOLS
    found = [tool for tool in tools if shutil.which(tool)]
    if not found:
        raise NotFoundError(f"{wanted or 'none of ' + ', '.join(tools)} is installed here")
    return found[0]


def _push(tool: str, image: str, args: argparse.Namespace, context: Context) -> int:
    with tempfile.TemporaryDirectory() as folder:
        digest_file = os.path.join(folder, "digest")
        command = image_tools.push_command(tool, image, digest_file, args.job_flags)
        if _run(command, args, context):
            digest = _digest(tool, image, digest_file)
            _recommend(f"{image}@{digest}" if digest else image, args, context)
    return 0


def _digest(tool: str, image: str, digest_file: str) -> str:
    """Give the digest under which the registry has the image now."""
    if tool != "docker":
        with open(digest_file, encoding="ascii") as file:
            return file.read().strip()
    command = image_tools.docker_digest_command(image)
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    return image_tools.digest_of(image, answer.stdout.splitlines())


def _run(command: list[str], args: argparse.Namespace, context: Context) -> bool:
    """Show the command and run it; False if it was only to be shown."""
    context.output.note("$ " + " ".join(command))
    if args.dry_run:
        return False
    context.output.stdout.flush()
    try:
        code = subprocess.run(command, check=False).returncode
    except OSError as error:
        raise LauncherError(f"{command[0]} cannot be started: {error.strerror}") from error
    if code:
        hint = ""
        if args.action == "push":
            registry = image_tools.registry_of(command[-1])
            hint = f" (not logged in? {command[0]} login {registry})"
        raise LauncherError(f"{command[0]} ended with exit code {code}; its output says why{hint}")
    return True


def _recommend(image: str, args: argparse.Namespace, context: Context) -> None:
    context.output.note("for a profile of launcher.yaml:")
    context.output.print(f"{_SETTING[args.target]}: {image}")


def _same_again(args: argparse.Namespace, image: str) -> str:
    target = " --target tensorboard" if args.target == "tensorboard" else ""
    variant = f" --tensorflow {args.tensorflow}" if args.tensorflow else ""
    return f"{target}{variant} --{_SETTING[args.target].replace('_', '-')} {image}"
