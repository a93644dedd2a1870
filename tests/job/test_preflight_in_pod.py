"""Looking from inside a pod: what is there is told, what is missing is named."""

import dataclasses
import json
from pathlib import Path

import pytest

from job import preflight
from job.contract import layout
from job.contract.configs import TrainConfig
from job.dataset import description
from job.dataset.description import Dataset, Shard, Split


@pytest.fixture
def config(tmp_path: Path) -> TrainConfig:
    data = tmp_path / "data"
    data.mkdir()
    shard = Shard(layout.shard_file("train", 0, 1), 3, 12, "0" * 64)
    (data / shard.file).write_bytes(b"x" * 12)
    made = Dataset(str(data), "tiny", ("a", "b"), {"train": Split((shard,)), "test": Split()})
    (data / layout.DATASET_FILE).write_bytes(description.to_json(made))
    return TrainConfig(data=str(data), run=str(tmp_path / "run"))


def told(capsys: pytest.CaptureFixture[str]) -> dict[str, tuple[bool, str]]:
    items = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return {item["about"]: (item["ok"], item["text"]) for item in items}


def test_everything_is_there(config: TrainConfig, capsys: pytest.CaptureFixture[str]) -> None:
    assert preflight.check(config) == 0
    found = told(capsys)
    assert found["data"] == (True, "3 training images of 2 classes in 1 shards")
    assert found["run"][0]
    assert not list(Path(config.run).iterdir()), "the run directory is left as it was"


def test_what_is_missing_is_named(
    config: TrainConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """All is looked at, and the exit code is the first problem's."""
    (tmp_path / "file").write_text("", encoding="utf-8")
    broken = dataclasses.replace(
        config, data=str(tmp_path / "no"), run=str(tmp_path / "file" / "run"),
        init_checkpoint=str(tmp_path / "vgg_19.ckpt"),
    )  # fmt: skip
    assert preflight.check(broken) == 66
    found = told(capsys)
    assert {name for name, (ok, _) in found.items() if not ok} >= {"data", "run", "init_checkpoint"}
    assert "vgg_19.ckpt" in found["init_checkpoint"][1]


def test_a_shard_of_another_size_is_named(
    config: TrainConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    Path(config.data, layout.shard_file("train", 0, 1)).write_bytes(b"short")
    assert preflight.check(config) == 66
    assert "is not as large as" in told(capsys)["data"][1]
