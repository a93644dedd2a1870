"""From settings and trainer flags to a job: sizes, names, directories, what is refused."""

from typing import Any

import pytest

from job.contract.errors import ConfigError
from launcher import kinds
from launcher.describe import sizing, training
from launcher.describe.training import Training
from launcher.errors import UsageError
from launcher.manifests import units
from launcher.settings.fields import Settings
from tests.launcher.spec_examples import BASE


def prepare(
    *job_flags: str, backend: str = "tfjob", name: str = "", run: str = "", **given: Any
) -> Training:
    return training.prepare(
        Settings(**(BASE | given)), job_flags, name=name, run=run, namespace="x",
        backend=kinds.named(backend),
        with_facts=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("given", "divided"),
    [
        ({}, (1, 1)),
        ({"gpus": 8}, (1, 8)),
        ({"gpus": 16}, (2, 8)),
        ({"gpus": 12}, (2, 6)),
        ({"gpus": 8, "workers": 4}, (4, 2)),
        ({"gpus": 8, "gpus_per_worker": 1}, (8, 1)),
        ({"workers": 2, "gpus_per_worker": 4}, (2, 4)),
        ({"workers": 3}, (3, 1)),
        ({"gpus": 0}, (1, 0)),
        ({"gpus": 0, "workers": 4}, (4, 0)),
    ],
)
def test_gpus_are_divided_among_workers(given: dict[str, int], divided: tuple[int, int]) -> None:
    """As few workers as hold the GPUs, unless told otherwise."""
    assert sizing.divide_gpus(Settings(**given)) == divided


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"gpus": 8, "workers": 3}, "8 GPUs cannot be divided among 3 workers; try --workers [24]"),
        ({"gpus": 8, "gpus_per_worker": 3}, "workers of 3"),
        ({"gpus": 8, "workers": 2, "gpus_per_worker": 2}, "are 4 GPUs, not 8"),
        ({"gpus": 0, "gpus_per_worker": 2}, "means CPU workers"),
        ({"gpus": 2, "gpus_per_worker": 0}, "give --gpus 0"),
        ({"workers": 0}, "at least 1"),
    ],
)
def test_impossible_divisions(given: dict[str, int], message: str) -> None:
    """What cannot be divided names what can."""
    with pytest.raises(UsageError, match=message):
        sizing.divide_gpus(Settings(**given))


def test_trainer_flags_reach_the_container() -> None:
    """Flags after -- win over the profile's, and the run directory follows the name."""
    made = prepare("--epochs=3", name="nightly", train={"epochs": 9, "flip": False})
    assert "--epochs=3.0" in made.spec.args
    assert "--flip=false" in made.spec.args
    assert made.config.run == made.spec.output == "gs://bucket/runs/nightly"
    assert "--cache_dir=/cache" in made.spec.args
    (size,) = [arg for arg in made.spec.args if arg.startswith("--cache_size_gb=")]
    assert float(size.partition("=")[2]) < 8 * units.GIB / 1e9


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--epoch=3", "unknown flag --epoch; did you mean '--epochs'"),
        ("--epochs=x", "epochs"),
        ("--head=conv", "must be one of fc, gap"),
        ("stray", "unexpected argument"),
    ],
)
def test_wrong_trainer_flags_never_reach_the_cluster(flag: str, message: str) -> None:
    """The trainer's own configuration checks them here."""
    with pytest.raises(ConfigError, match=message):
        prepare(flag)


def test_a_batch_that_does_not_divide_names_ones_that_do() -> None:
    """The container would refuse it minutes later."""
    with pytest.raises(ConfigError, match=r"not divisible by 12 replicas .*; try 60 or 72"):
        prepare(gpus=12)


def test_local_paths_are_refused_for_pods_only() -> None:
    """Pods cannot see this machine's folders; local processes can."""
    with pytest.raises(UsageError, match="--data food101 is on this machine"):
        prepare(data="food101")
    made = prepare(data="food101", run_root="", backend="local")
    assert made.spec.output == f"runs/{made.spec.name}"
    assert made.spec.resources.gpus == 0
    assert not any(arg.startswith("--cache_dir") for arg in made.spec.args)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"data": ""}, "no dataset"),
        ({"run_root": ""}, "no run directory"),
        ({"image": ""}, "no image"),
    ],
)
def test_what_is_missing_is_named(given: dict[str, str], message: str) -> None:
    """Each with the flag and the file that mend it."""
    with pytest.raises(UsageError, match=message):
        prepare(**given)


def test_the_same_job_has_the_same_name() -> None:
    """Submitting twice is one job; another flag, image or size is another."""
    names = [
        prepare(gpus=8).spec.name,
        prepare("--epochs=3", gpus=8).spec.name,
        prepare(gpus=16).spec.name,
        prepare(gpus=8, image="other:2").spec.name,
    ]
    assert len(set(names)) == 4
    assert prepare(gpus=8).spec.name == names[0]


def test_the_fingerprint_ignores_where_a_job_comes_from() -> None:
    """Another git revision or launcher version makes no other job; another label does."""
    one = prepare(name="n").spec
    assert prepare(name="n").spec.fingerprint == one.fingerprint
    assert prepare(name="n", labels={"a": "b"}).spec.fingerprint != one.fingerprint


@pytest.mark.parametrize(
    "given",
    [
        {"placement": "moon"}, {"placement": "kueue:x"}, {"ttl": "soon"}, {"max_duration": "0s"},
        {"cpus": "-1"}, {"memory": "8 GB"}, {"shm": "99Ti"}, {"labels": {"food101/job": "x"}},
        {"annotations": {"food101/run": "x"}}, {"env": {"TF_CONFIG": "{}"}},
        {"env": {"A": "1"}, "secret_env": {"A": "s/k"}}, {"secret_env": {"A": "s"}},
        {"tolerations": ({"evil": "x"},)}, {"tolerations": ({"operator": "Equal"},)},
        {"tolerations": ({"key": "a", "effect": "Sometimes"},)}, {"priority": "UPPER"},
        {"accelerator": "a b"}, {"service_account": "a/b"}, {"queue": "q" * 64},
    ],
)  # fmt: skip
def test_settings_that_no_cluster_takes(given: dict[str, Any]) -> None:
    """Refused here, in one line, not by the API server later."""
    with pytest.raises(UsageError) as caught:
        prepare(**given)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("model", ["nvidia-h100-80gb", "nvidia-l4", "nvidia-b200", ""])
@pytest.mark.parametrize("gpus", [8, 64])
def test_a_quota_of_gpus_has_room_for_them_all(gpus: int, model: str) -> None:
    """With the CPUs and the memory that a worker gets beside them, and some for other jobs."""
    quota = sizing.quota(gpus, model)
    spec = prepare("--global_batch_size=1024", gpus=gpus, accelerator=model).spec
    assert spec.gpus == quota.gpus
    assert spec.workers * spec.resources.millicpus < quota.millicpus
    assert spec.workers * spec.resources.memory_bytes < quota.memory_bytes


def test_a_quota_without_gpus_leaves_room_for_jobs_without() -> None:
    assert sizing.quota(0, "").gpus == 0
    assert sizing.quota(0, "").millicpus > 0
