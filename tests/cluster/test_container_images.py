"""What the Dockerfile makes, looked at and run as a node runs it."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from job.contract.errors import ExitCode
from tests.cluster import images, paths
from tests.cluster.images.docker import Docker, docker_daemon, why_no_docker
from tests.cluster.waiting import await_condition

RESTRICTED = (
    "--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--network=none",
)  # fmt: skip
"""As the manifests run it; /tmp is mounted where a test says so."""

SCRATCH = "--tmpfs=/tmp:mode=1777"

ENTRIES = {
    "train": ["--data=gs://bucket/data", "--run=/tmp/run"],
    "evaluate": ["--data=gs://bucket/data", "--run=gs://bucket/run"],
    "export": ["--run=gs://bucket/run", "--output=/tmp/model"],
    "make_tfrecords": ["--source=gs://bucket/images", "--output=gs://bucket/data"],
    "predict": ["--model=gs://bucket/model", "--images=/tmp", "--output=gs://bucket/out"],
}
"""Arguments with which each waits for a storage that never answers."""

LIST_PACKAGES = (
    "import importlib.metadata as m, json; "
    "print(json.dumps({d.name: d.version for d in m.distributions()}))"
)


@pytest.fixture(scope="module")
def docker() -> Iterator[Docker]:
    why_not = why_no_docker()
    if why_not:
        pytest.skip(f"not run: {why_not}")
    made = [images.job_image(), images.tensorboard_image()]
    with docker_daemon() as running:
        for image in made:
            images.load(running, image)
        yield running


@pytest.fixture(scope="module")
def job(docker: Docker) -> str:
    return images.job_image().name


@pytest.fixture(scope="module")
def tensorboard(docker: Docker) -> str:
    return images.tensorboard_image().name


def run(docker: Docker, image: str, *command: str, flags: tuple[str, ...] = (SCRATCH,)) -> str:
    return docker.run("run", "--rm", *RESTRICTED, *flags, image, *command)


def installed(docker: Docker, image: str) -> dict[str, str]:
    packages: dict[str, str] = json.loads(run(docker, image, "python", "-c", LIST_PACKAGES))
    return packages


def config_of(docker: Docker, image: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(docker.run("image", "inspect", image))[0]
    return found


def show_contents(docker: Docker, image: str) -> None:
    """Print what makes an image as large as it is."""
    megabytes = config_of(docker, image)["Size"] / 1e6
    print(f"\n{image}: {megabytes:.0f} MB")
    largest = run(
        docker, image, "sh", "-c",
        "du -xm --max-depth=7 / 2>/dev/null | sort -rn | head -n 25",
    )  # fmt: skip
    print("largest folders, MB:", largest, sep="\n")
    print(" ".join(f"{k}=={v}" for k, v in sorted(installed(docker, image).items())), flush=True)


@pytest.mark.parametrize("image_name", ["job", "tensorboard"])
def test_holds_what_it_needs_and_nothing_else(
    docker: Docker, image_name: str, request: pytest.FixtureRequest
) -> None:
    image = request.getfixturevalue(image_name)
    show_contents(docker, image)
    needless = run(
        docker, image, "sh", "-c",
        "for name in gcc cc c++ make git pip pip3; do command -v $name; done; "
        "find / -xdev \\( -name '*.whl' -o -path '*/.cache/*' -o -path '/src/*' "
        "-o -path '/opt/*/tests/*' -o -path '/opt/*/setuptools/*' -o -path '/opt/*/pip/*' "
        "-o -path '/usr/*/dist-packages/pip/*' -o -path '/usr/*/site-packages/pip/*' \\) "
        "2>/dev/null | head; true",
    )  # fmt: skip
    assert needless == ""


@pytest.mark.parametrize("image_name", ["job", "tensorboard"])
def test_every_package_is_the_pinned_one(
    docker: Docker, image_name: str, request: pytest.FixtureRequest
) -> None:
    def plain(name: str) -> str:
        return name.lower().replace("_", "-").replace(".", "-")

    text = (paths.ROOT / "constraints.txt").read_text()
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    pinned = {plain(name): version for name, version in (line.split("==") for line in lines)}
    found = installed(docker, request.getfixturevalue(image_name))
    assert {n: v for n, v in found.items() if pinned.get(plain(n)) != v} == {}


def test_tensorboard_comes_without_tensorflow(docker: Docker, tensorboard: str) -> None:
    assert not [name for name in installed(docker, tensorboard) if name.startswith("tensorflow")]
    help_text = run(docker, tensorboard, "python", "-m", "launcher.tensorboard_server", "--help")
    assert "--logdir" in help_text


@pytest.mark.parametrize("image_name", ["job", "tensorboard"])
def test_runs_as_a_nobody_who_can_write_nowhere(
    docker: Docker, image_name: str, request: pytest.FixtureRequest
) -> None:
    """Without --read-only, so that the permissions in the image alone are asked."""
    image = request.getfixturevalue(image_name)
    find = (
        "id -u; find / -xdev \\( -type f -o -type d \\) -writable "
        "! -path '/proc/*' ! -path '/dev/*' ! -path '/sys/*' 2>/dev/null; true"
    )
    user, *writable = docker.run("run", "--rm", "--network=none", image, "sh", "-c", find).split()
    assert user == "1000"
    # Where everybody may write, in every image; read-only in a pod.
    assert set(writable) <= {"/tmp", "/var/tmp", "/run/lock"}
    assert config_of(docker, image)["Config"]["User"] == "1000:1000"


STUB = """
#include <stdio.h>
__attribute__((constructor)) static void loaded(void) { puts("the driver is loaded"); }
"""
LOAD = "import ctypes, sys; sys.stdout.flush(); ctypes.CDLL('libcuda.so.1')"


def test_the_driver_is_found_where_gke_mounts_it(docker: Docker, job: str, tmp_path: Path) -> None:
    """By the same name and the same loader as TensorFlow's; without the mount it is not there."""
    (tmp_path / "stub.c").write_text(STUB, encoding="utf-8")
    library = tmp_path / "nvidia" / "lib64" / "libcuda.so.1"
    library.parent.mkdir(parents=True)
    command = ["cc", "-shared", "-fPIC", "-o", str(library), str(tmp_path / "stub.c")]
    subprocess.run(command, check=True)
    mount = f"--volume={library.parent.parent}:/usr/local/nvidia:ro"
    said = run(docker, job, "python", "-c", LOAD, flags=(SCRATCH, mount))
    assert said == "the driver is loaded\n"
    with pytest.raises(Exception, match="cannot open shared object file"):
        run(docker, job, "python", "-c", LOAD)
    config = config_of(docker, job)["Config"]
    assert config["Labels"]["food101.tensorflow"] == "tensorflow-cpu"
    assert "NVIDIA_DRIVER_CAPABILITIES=compute,utility" in config["Env"]


def test_home_is_writable_only_where_it_is_mounted(docker: Docker, job: str) -> None:
    write = "import pathlib; pathlib.Path.home().joinpath('x').write_text('')"
    run(docker, job, "python", "-c", write)
    with pytest.raises(Exception, match="Read-only file system"):
        run(docker, job, "python", "-c", write, flags=())


@pytest.mark.parametrize("image_name", ["job", "tensorboard"])
def test_keeps_nothing_of_where_it_was_built(
    docker: Docker, image_name: str, request: pytest.FixtureRequest
) -> None:
    """Neither its environment nor its history tells of indexes, proxies or credentials."""
    image = request.getfixturevalue(image_name)
    names = {entry.partition("=")[0] for entry in config_of(docker, image)["Config"]["Env"]}
    allowed = {"PATH", "HOME", "PYTHONPATH", "PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE"}
    # Where NVIDIA's driver is found on a node.
    allowed |= {"LD_LIBRARY_PATH", "NVIDIA_DRIVER_CAPABILITIES"}
    # What an official image of Python sets, and the test's own base.
    allowed |= {"LANG", "GPG_KEY", "PYTHON_VERSION", "PYTHON_SHA256", "PIP_CERT"}
    assert names <= allowed
    history = docker.run("history", "--no-trunc", "--format", "{{.CreatedBy}}", image)
    assert "://" not in history
    assert "INDEX" not in history


@pytest.mark.parametrize("entry", ENTRIES)
def test_every_command_runs_as_restricted_pods_do(docker: Docker, job: str, entry: str) -> None:
    said = run(docker, job, "python", "-m", f"job.{entry}", "--help")
    assert f"python -m job.{entry}" in said


@pytest.mark.parametrize("entry", ENTRIES)
@pytest.mark.parametrize("moment", ["as soon as it starts", "while it waits for storage"])
def test_every_command_ends_at_once_when_asked(
    docker: Docker, job: str, entry: str, moment: str
) -> None:
    """As process 1, which the kernel protects: not obeying ends in 137, after the grace period."""
    flags = [*RESTRICTED, SCRATCH, "--env=STORAGE_EMULATOR_HOST=http://127.0.0.1:9"]
    command = ["python", "-m", f"job.{entry}", *ENTRIES[entry]]
    container = docker.run("run", "--detach", *flags, job, *command).strip()
    try:
        if moment == "as soon as it starts":
            await_condition(
                "SIGTERM is handled",
                lambda: handles_sigterm(docker.run("exec", container, "cat", "/proc/1/status")),
                timeout_s=60,
                seen=lambda: logs(docker, container),
            )
        else:
            await_condition(
                "it waits for storage",
                lambda: "storage fails since" in logs(docker, container),
                timeout_s=90,
                seen=lambda: logs(docker, container),
            )
        docker.run("stop", "--time=30", container)
        ended = docker.run("inspect", "--format={{.State.ExitCode}}", container)
        assert int(ended) == ExitCode.PREEMPTED, logs(docker, container)
    finally:
        docker.run("rm", "--force", container)


def handles_sigterm(status: str) -> bool:
    caught = next(line.split()[1] for line in status.splitlines() if line.startswith("SigCgt"))
    return bool(int(caught, 16) >> 14 & 1)


def logs(docker: Docker, container: str) -> str:
    """Give what a container has printed on both streams."""
    command = ["docker", "logs", container]
    ended = subprocess.run(
        command, env=docker.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, check=False,
    )  # fmt: skip
    return ended.stdout


def test_a_change_of_the_code_makes_one_small_layer(
    docker: Docker, job: str, tmp_path: Path
) -> None:
    for name in ("Dockerfile", ".dockerignore", "setup.py", "constraints.txt"):
        shutil.copy(paths.ROOT / name, tmp_path / name)
    for name in ("job", "launcher"):
        shutil.copytree(paths.ROOT / name, tmp_path / name)
    with (tmp_path / "job" / "__init__.py").open("a") as file:
        file.write("\n# changed\n")
    images.provide_base(docker)
    seconds = images.build(docker, "job", "localhost/changed:tests", folder=tmp_path)
    print(f"rebuilt in {seconds:.1f} s")
    try:
        before = config_of(docker, job)["RootFS"]["Layers"]
        after = config_of(docker, "localhost/changed:tests")["RootFS"]["Layers"]
        assert after[:-1] == before[:-1]
        assert after[-1] != before[-1]
    finally:
        docker.run("rmi", "localhost/changed:tests")
