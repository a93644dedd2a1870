"""How far all tasks of a prediction are, while it runs and when some of them have failed."""

import datetime
import io
from pathlib import Path

from job.prediction.listing import Entry, Found, freeze
from job.prediction.parts import PartRows, PartStore
from launcher import kinds
from launcher.diagnosis.rules import diagnose
from launcher.manifests import labels
from launcher.observe import prediction_progress, views
from launcher.observe.prediction_progress import Pace
from launcher.observe.state import PredictionProgress, State
from launcher.output import Output
from tests.launcher.shapes import NAME, NOW, Object, ago, condition, pod_spec


def predict_job(*conditions: Object, failed: str = "") -> Object:
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": NAME, "namespace": "team", "creationTimestamp": ago(600),
            "labels": {labels.JOB: NAME, labels.COMPONENT: "predict"},
            "annotations": {labels.RUN: "gs://bucket/predictions"},
        },
        "spec": {
            "completionMode": "Indexed", "completions": 4, "parallelism": 4,
            "backoffLimitPerIndex": 6, "template": {"spec": pod_spec(0)},
        },
        "status": {"conditions": list(conditions), "failedIndexes": failed},
    }  # fmt: skip


def test_the_images_of_finished_parts_are_counted(tmp_path: Path) -> None:
    output = str(tmp_path)
    assert prediction_progress.read(output) is None
    entries = (Entry(f"{number:03d}.jpg", 1, 1) for number in range(40))
    listing = freeze(output, "images", lambda _: Found("folder", entries), 1)
    store = PartStore(listing, "parquet")
    rows = [{"image": f"{n:03d}.jpg", "generation": 1, "reason": "empty"} for n in range(32, 40)]
    store.commit(2, PartRows([], rows))
    found = prediction_progress.read(output)
    assert found == PredictionProgress(images=8, total_images=40, parts=1, total_parts=3)


def test_rate_and_time_left_count_from_the_first_look() -> None:
    """What an earlier job had done already does not make this one look faster."""
    pace = Pace()
    first = PredictionProgress(images=500, total_images=1000, parts=5, total_parts=10)
    assert pace.text(first, NOW) == "500 of 1,000 images (50%)"
    later = PredictionProgress(images=700, total_images=1000, parts=7, total_parts=10)
    text = pace.text(later, NOW + datetime.timedelta(seconds=100))
    assert text == "700 of 1,000 images (70%), 2.0 images/s, 2m 30s left"
    ended = pace.text(later, NOW + datetime.timedelta(seconds=101), over=True)
    assert ended == "700 of 1,000 images (70%)"  # A job that failed has nothing left.


def test_status_shows_images_and_parts() -> None:
    done = PredictionProgress(images=500, total_images=1000, parts=5, total_parts=10)
    state = State(job=kinds.JOB.read(predict_job()), now=NOW, prediction=done)
    rows = dict(views.fact_rows(state))
    assert rows["output"] == "gs://bucket/predictions"
    assert rows["progress"] == f"[{'#' * 12}{'.' * 12}] 500 of 1,000 images, 5 of 10 parts"
    assert views.status_data(state, diagnose(state))["prediction"]["images"] == 500


def test_failed_tasks_are_named_with_the_way_to_do_theirs_alone() -> None:
    failed = condition("Failed", reason="FailedIndexes", message="Job has failed indexes")
    state = State(
        job=kinds.JOB.read(predict_job(failed, failed="1,3")),
        now=NOW,
        pods=(),
        prediction=PredictionProgress(images=500, total_images=1000, parts=5, total_parts=10),
    )
    found = diagnose(state)
    told = "\n".join([found.sentence, *found.evidence, *found.mend])
    assert found.level == "failed"
    assert "index 1,3 of 0-3" in told
    assert "500 of 1,000 images" in told
    assert "launcher predict --resume" in told
    assert "launcher resume" not in told


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_takes_one_line_of_a_terminal() -> None:
    stream = Terminal()
    output = Output(io.StringIO(), stream, {})
    output.progress("1 of 2")
    output.progress("2 of 2")
    output.note("done")
    assert stream.getvalue() == "\r1 of 2\x1b[K\r2 of 2\x1b[K\ndone\n"
