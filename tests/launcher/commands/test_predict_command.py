"""`launcher predict` lists the images first, and asks for as many tasks as they need."""

from pathlib import Path

import pytest
import yaml

from job.contract import layout, part_ranges
from job.contract.configs import PredictConfig
from job.prediction.listing import load
from job.prediction.parts import PartRows, PartStore
from launcher import cli
from launcher.describe import prediction
from launcher.errors import UsageError


@pytest.fixture
def config(tmp_path: Path) -> PredictConfig:
    images = tmp_path / "images"
    images.mkdir()
    for number in range(100):
        (images / f"{number}.jpg").write_bytes(b"x" * 100)
    return PredictConfig(model="model", images=str(images), output=str(tmp_path / "out"))


def plan(
    config: PredictConfig, *, resume: bool = False, tasks: int | None = None
) -> prediction.Work:
    return prediction.plan(config, tasks=tasks, gpus=0, here=True, may_list=True, resume=resume)


def test_the_work_is_known_before_it_starts(config: PredictConfig) -> None:
    work = plan(config, tasks=3)
    assert dict(work.rows)["found"] == "100 images (folder), 0.0 MB"
    assert dict(work.rows)["tasks"] == "3 for 7 missing of 7 parts"
    assert Path(layout.listing_file(config.output)).exists()


def test_there_are_never_more_tasks_than_parts(config: PredictConfig) -> None:
    assert plan(config, tasks=50).tasks == 7


def test_resuming_needs_something_to_resume(config: PredictConfig) -> None:
    with pytest.raises(UsageError, match="no listing"):
        plan(config, resume=True)
    first = plan(config)
    again = plan(config, resume=True)
    assert first.name == ""
    assert again.name.startswith("predict-")
    assert again.name == plan(config, resume=True).name


def test_resumed_tasks_share_what_is_missing(config: PredictConfig) -> None:
    """Two of seven parts are left: two tasks, a part each, whatever tasks there were before."""
    plan(config, tasks=3)
    listing = load(config.output)
    assert listing is not None
    store = PartStore(listing, config.format)
    for part in (0, 1, 2, 4, 6):
        names = [f"{number}.jpg" for number in listing.part_range(part)]
        rejects = [{"image": name, "generation": 1, "reason": "empty"} for name in names]
        store.commit(part, PartRows([], rejects))
    work = plan(config, resume=True, tasks=3)
    assert (work.tasks, work.parts) == (2, "3,5")
    assert dict(work.rows)["tasks"] == "2 for 2 missing of 7 parts"
    shared = [listing.parts_of_task(task, 2, part_ranges.parse(work.parts)) for task in range(2)]
    assert shared == [[3], [5]]


def test_what_is_complete_is_not_started_again(config: PredictConfig) -> None:
    Path(config.output).mkdir()
    Path(layout.summary_file(config.output)).write_text(
        '{"format": 1, "seen": 3, "predicted": 2, "rejected": 1, "reasons": {"empty": 1}, '
        '"parts": 1}'
    )
    assert plan(config).is_complete
    assert prediction.totals(config.output) == [
        "3 images: 2 predicted, 1 rejected", "  empty: 1",
    ]  # fmt: skip


def test_a_dry_run_prints_the_job_and_lists_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    code = cli.main(
        ["predict", "--model=gs://b/model", "--images=gs://b/photos", "--output=gs://b/out",
         "--gpus=8", "--image=a/b:1", "--dry-run=client", "--", "--format=parquet"]
    )  # fmt: skip
    assert code == 0
    job = yaml.safe_load(capsys.readouterr().out)
    container = job["spec"]["template"]["spec"]["containers"][0]
    assert (job["spec"]["completions"], job["spec"]["completionMode"]) == (8, "Indexed")
    assert container["command"] == ["python", "-m", "job.predict"]
    assert {"--format=parquet", "--num_tasks=8", "--task_index=$(JOB_COMPLETION_INDEX)"} <= set(
        container["args"]
    )
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "1"


def test_without_a_cluster_it_is_one_task_of_this_machine(
    config: PredictConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Tasks share one machine's cores no better than threads do; the images are counted, too."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    model = str(tmp_path / "nowhere")
    code = cli.main(
        ["predict", f"--model={model}", f"--images={config.images}", f"--output={config.output}"]
    )
    printed = capsys.readouterr()
    assert code == 66
    assert "--backend auto: local, since no cluster is configured" in printed.err
    assert "1 for 7 missing of 7 parts" in printed.out
    assert "worker-1" not in printed.out
