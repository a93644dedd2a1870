"""Fixtures of the tests on a real Kubernetes: the cluster, images, storage, the launcher.

Without KUBECONFIG the cluster is started for this run and ended with it. With KUBECONFIG the same
tests use that cluster; those that must interfere with the machine below it are skipped, unless it
is the one of `make cluster-up`.
"""

import contextlib
import os
import re
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests

from job import storage as job_storage
from tests.cluster import api_only, build, controllers, emulator, images, node, paths
from tests.cluster import own_cluster as clusters
from tests.cluster.api import Cluster
from tests.cluster.command import Launcher
from tests.cluster.own_cluster import OwnCluster
from tests.cluster.phases import Phases
from tests.storage_fixtures import make_bucket, run_emulator

_PHASES = pytest.StashKey[Phases]()
_HERE = Path(__file__).parent


def pytest_configure(config: pytest.Config) -> None:
    def tell(text: str) -> None:
        reporter = config.pluginmanager.get_plugin("terminalreporter")
        if reporter is not None:
            reporter.ensure_newline()
            reporter.write_line(text)
            reporter.flush()

    config.stash[_PHASES] = Phases(tell)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if _HERE in item.path.parents:
            item.add_marker("cluster")
            # Without the fixtures: they may build Kubernetes, and have deadlines of their own.
            item.add_marker(pytest.mark.timeout(600, func_only=True))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    with item.config.stash[_PHASES].phase(f"test {item.name}"):
        return (yield)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    lines = config.stash[_PHASES].table()
    if lines:
        terminalreporter.section("phases")
        for line in lines:
            terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def phases(pytestconfig: pytest.Config) -> Phases:
    """What takes how long; the table is printed at the end."""
    return pytestconfig.stash[_PHASES]


@pytest.fixture(scope="session")
def cluster(phases: Phases) -> Iterator[Cluster]:
    """A cluster with a node, the training operator, JobSet and Kueue."""
    named = _named_cluster()
    if named:
        own = clusters.attach(paths.own_state())
        yield own if own and own.kubeconfig == named else Cluster(named)
        return
    why_not = clusters.why_no_node()
    if why_not:
        pytest.skip(f"not run: {why_not}")
    with phases.phase("build the programs"):
        build.build_missing()
    paths.state_root().mkdir(parents=True, exist_ok=True)
    folder = paths.state_root() / f"test-{uuid.uuid4().hex[:8]}"
    try:
        with phases.phase("start the cluster"):
            started = clusters.up(folder, keep=False)
        with phases.phase("install the controllers"):
            controllers.install(started)
        yield started
    finally:
        with phases.phase("end the cluster"):
            clusters.down(folder)


def _named_cluster() -> Path | None:
    return Path(os.environ["KUBECONFIG"]) if os.environ.get("KUBECONFIG") else None


@pytest.fixture(scope="session")
def own_cluster(cluster: Cluster) -> OwnCluster:
    """The same, for tests that interfere with the machine it runs on."""
    if not isinstance(cluster, OwnCluster):
        pytest.skip("not run: it needs the machine that the cluster of KUBECONFIG runs on")
    return cluster


@pytest.fixture(scope="session")
def api(
    request: pytest.FixtureRequest, phases: Phases, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cluster]:
    """The same, or where no node can be, an API server alone: for tests that start no job."""
    if _named_cluster() or not clusters.why_no_node():
        yield request.getfixturevalue("cluster")
        return
    with phases.phase("build the programs"):
        build.build_missing(api_only.COMPONENTS)
    with phases.phase("start the API server"), contextlib.ExitStack() as running:
        started = running.enter_context(api_only.run(tmp_path_factory.mktemp("api")))
        end = running.pop_all()
    with end:
        yield started


@pytest.fixture(scope="session")
def storage(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """URL of the storage emulator, good from here and from pods, if there can be any."""
    if _named_cluster() or not clusters.why_no_node():
        yield emulator.start(request.getfixturevalue("own_cluster").machine)
        return
    with run_emulator(str(tmp_path_factory.mktemp("storage"))) as address:
        yield address


@pytest.fixture(scope="session")
def job_image(own_cluster: OwnCluster, phases: Phases) -> str:
    """The image made by the Dockerfile, on the node."""
    with phases.phase("build the image"):
        made = images.job_image()
    _bring(own_cluster, made, phases)
    return made.name


def _bring(to: OwnCluster, image: images.ImageTar, phases: Phases) -> None:
    if not to.has_image(image.name):
        with phases.phase("bring the images to the node"):
            to.import_image(image.path)


@pytest.fixture(scope="session")
def tensorboard_image(own_cluster: OwnCluster, phases: Phases) -> str:
    """The image of TensorBoard, on the node."""
    with phases.phase("build the image of TensorBoard"):
        made = images.tensorboard_image()
    _bring(own_cluster, made, phases)
    return made.name


@pytest.fixture
def bucket(storage: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An empty bucket; this process reaches it through job.storage."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", storage)
    job_storage.reconnect(job_storage.Patience())
    yield make_bucket(storage)
    monkeypatch.undo()
    job_storage.reconnect(job_storage.Patience())


@pytest.fixture
def namespace(api: Cluster, request: pytest.FixtureRequest) -> Iterator[str]:
    """A namespace of the test's own, named after it; removed afterwards."""
    words = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower().removeprefix("test_"))
    name = f"{words[:40].strip('-')}-{uuid.uuid4().hex[:5]}"
    api.create_namespace(name)
    yield name
    api.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture(scope="session")
def make_launcher(
    api: Cluster, storage: str, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Launcher]:
    """Make launchers: `make_launcher(namespace, image=..., queue=...)`, settings as in a profile.

    Two workers fill a node of two CPUs; the next job's wait for them.
    """

    def make(namespace: str, **settings: object) -> Launcher:
        small = {
            "cpus": "900m",
            "memory": "1500Mi",
            "cache_size": "64Mi",
            "scratch_size": "256Mi",
            "env": {"STORAGE_EMULATOR_HOST": storage},
        }
        return Launcher(
            tmp_path_factory.mktemp(namespace),
            kubeconfig=api.kubeconfig,
            namespace=namespace,
            settings=small | settings,
            env={"STORAGE_EMULATOR_HOST": storage},
        )

    return make


@pytest.fixture
def launcher(make_launcher: Callable[..., Launcher], namespace: str, job_image: str) -> Launcher:
    """The launcher with the real image, in the test's own namespace."""
    return make_launcher(namespace, image=job_image)


@pytest.fixture
def idle_launcher(make_launcher: Callable[..., Launcher], namespace: str) -> Launcher:
    """The launcher with an image that starts no job, for all that is decided before one starts."""
    return make_launcher(namespace, image=node.PAUSE_IMAGE)


@pytest.fixture(scope="session")
def digits(storage: str, digits_dataset: str) -> str:
    """Scikit-learn's digits, 32 px, as a dataset in a bucket of its own."""
    bucket = make_bucket(storage)
    for path in sorted(Path(digits_dataset).iterdir()):
        answer = requests.post(
            f"{storage}/upload/storage/v1/b/{bucket.removeprefix('gs://')}/o",
            params={"uploadType": "media", "name": f"digits/{path.name}"},
            data=path.read_bytes(),
            timeout=30,
        )
        answer.raise_for_status()
    return f"{bucket}/digits"
