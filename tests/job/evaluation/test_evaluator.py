"""`python -m job.evaluate` as a user runs it, on good and on bad input."""

import json
import re
from pathlib import Path

import pytest

from job import storage
from job.contract import layout
from job.contract.configs import EvaluateConfig
from job.contract.errors import ExitCode
from job.evaluation.evaluator import evaluate
from job.process import entry
from tests.job.trained_run import CLASSES, assert_one_line, make_dataset, make_run, read_json


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return make_dataset(tmp_path_factory.mktemp("data"), (9, 4, 10))


@pytest.fixture(scope="module")
def run(tmp_path_factory, dataset) -> str:
    return make_run(tmp_path_factory.mktemp("runs") / "run", dataset, (10, 20, 30), best=20)


def call(*args: str) -> int:
    return entry.run(
        evaluate, EvaluateConfig, program="python -m job.evaluate", description="", args=args
    )


def test_a_report_counts_every_example_and_says_what_it_is_about(dataset, run, tmp_path) -> None:
    output = str(tmp_path / "report")
    code = call(
        f"--data={dataset.path}", f"--run={run}", f"--output={output}", "--batch_size=4",
        "--precision=float32",
    )  # fmt: skip
    assert code == ExitCode.DONE
    document = read_json(layout.metrics_file(output))
    assert document["examples"] == 23
    assert document["step"] == 20
    assert document["precision"] == "float32"
    assert document["classes"] == list(CLASSES)
    page = Path(layout.report_file(output)).read_text()
    assert page.count('scope="row"') == len(CLASSES)
    assert page.count("data:image/jpeg;base64,") >= 23


def test_batch_size_changes_nothing_that_is_counted(dataset, run, tmp_path) -> None:
    documents = []
    for batch_size in (1, 7, 64):
        output = str(tmp_path / str(batch_size))
        call(
            f"--data={dataset.path}", f"--run={run}", f"--output={output}",
            f"--batch_size={batch_size}", "--precision=float32",
        )  # fmt: skip
        documents.append(read_json(layout.metrics_file(output)))
    for document in documents[1:]:
        assert document["confusion_matrix"] == documents[0]["confusion_matrix"]
        assert document["top5"] == documents[0]["top5"]
        assert document["loss"] == pytest.approx(documents[0]["loss"], abs=1e-4)


@pytest.mark.parametrize(("which", "step"), [("best", 20), ("latest", 30), ("10", 10)])
def test_the_checkpoint_asked_for_is_the_one_evaluated(dataset, run, which, step) -> None:
    assert call(f"--data={dataset.path}", f"--run={run}", f"--checkpoint={which}") == 0
    assert read_json(layout.metrics_file(layout.report_dir(run)))["step"] == step


def test_the_train_split_can_be_evaluated_too(dataset, run, tmp_path) -> None:
    output = str(tmp_path / "report")
    call(f"--data={dataset.path}", f"--run={run}", f"--output={output}", "--split=train")
    assert read_json(layout.metrics_file(output))["examples"] == 9


def test_dataset_run_and_report_may_all_lie_in_a_bucket(dataset, run, bucket, tmp_path) -> None:
    copies = {dataset.path: storage.join(bucket, "data"), run: storage.join(bucket, "run")}
    for source, target in copies.items():
        for stat in storage.list_files(source):
            storage.upload(stat.path, storage.join(target, stat.path.removeprefix(source)))
    code = call(
        f"--data={copies[dataset.path]}", f"--run={copies[run]}", f"--cache_dir={tmp_path}"
    )  # fmt: skip
    assert code == ExitCode.DONE
    report = layout.report_dir(copies[run])
    assert json.loads(storage.read_bytes(layout.metrics_file(report)))["examples"] == 23
    assert b"</html>" in storage.read_bytes(layout.report_file(report))


def test_a_run_without_checkpoints_is_named(dataset, tmp_path, capsys) -> None:
    run = make_run(tmp_path / "run", dataset, steps=())
    assert call(f"--data={dataset.path}", f"--run={run}") == ExitCode.INPUT_MISSING
    assert_one_line(capsys, "no checkpoint", run)


def test_a_folder_that_is_no_run_is_named(dataset, tmp_path, capsys) -> None:
    code = call(f"--data={dataset.path}", f"--run={tmp_path / 'nothing'}")
    assert code == ExitCode.INPUT_MISSING
    assert_one_line(capsys, "nothing is not a run directory")


def test_an_unknown_step_is_answered_with_those_there_are(dataset, run, capsys) -> None:
    code = call(f"--data={dataset.path}", f"--run={run}", "--checkpoint=15")
    assert code == ExitCode.INPUT_MISSING
    assert_one_line(capsys, "step 15", "10, 20, 30")


def test_a_checkpoint_that_is_no_step_is_a_bad_flag(dataset, run, capsys) -> None:
    code = call(f"--data={dataset.path}", f"--run={run}", "--checkpoint=newest")
    assert code == ExitCode.BAD_CONFIG
    assert_one_line(capsys, "best, latest or a step", "newest")


def test_a_dataset_that_is_not_there_is_named(run, tmp_path, capsys) -> None:
    code = call(f"--data={tmp_path / 'none'}", f"--run={run}")
    assert code == ExitCode.INPUT_MISSING
    assert_one_line(capsys, "not a complete dataset")


@pytest.mark.parametrize(
    ("classes", "said"),
    [
        (CLASSES[:-1], "it has 7 classes, the dataset 6"),
        ((*CLASSES[:-1], "ramen"), "it has 'gyoza' as class 6, the dataset 'ramen'"),
        (CLASSES[::-1], "it has 'apple_pie' as class 0, the dataset 'gyoza'"),
    ],
)
def test_a_dataset_of_other_classes_is_refused(run, tmp_path, capsys, classes, said) -> None:
    other = make_dataset(tmp_path / "other", (3,), classes)
    assert call(f"--data={other.path}", f"--run={run}") == ExitCode.BAD_CONFIG
    assert_one_line(capsys, said)


def test_a_split_without_examples_is_bad_data(run, tmp_path, capsys) -> None:
    empty = make_dataset(tmp_path / "empty", ())
    assert call(f"--data={empty.path}", f"--run={run}") == ExitCode.BAD_DATA
    assert_one_line(capsys, "no examples in split 'test'")


def test_weights_that_diverged_give_no_report(dataset, tmp_path, capsys) -> None:
    run = make_run(tmp_path / "run", dataset, weights_scale=float("nan"))
    assert call(f"--data={dataset.path}", f"--run={run}") == ExitCode.DIVERGED
    assert_one_line(capsys, "not finite")
    assert not Path(layout.report_dir(run)).exists()


def test_a_damaged_record_is_named_with_its_source(run, tmp_path, capsys) -> None:
    dataset = make_dataset(tmp_path / "damaged", (9, 4, 10))
    shard = Path(dataset.shard_path(dataset.splits["test"].shards[1]))
    content = bytearray(shard.read_bytes())
    content[-200] ^= 1
    shard.write_bytes(content)
    assert call(f"--data={dataset.path}", f"--run={run}") == ExitCode.BAD_DATA
    assert_one_line(capsys, shard.name, "12.jpg")


def test_the_numbers_are_said_at_the_end(dataset, run, caplog) -> None:
    with caplog.at_level("INFO"):
        call(f"--data={dataset.path}", f"--run={run}")
    assert re.search(r"top-1 .* %  \(95 % interval .* to .*\)", caplog.text)
    assert layout.report_file(layout.report_dir(run)) in caplog.text


def test_metrics_json_is_strict_json(dataset, run) -> None:
    call(f"--data={dataset.path}", f"--run={run}")

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    text = Path(layout.metrics_file(layout.report_dir(run))).read_text()
    json.loads(text, parse_constant=refuse)
