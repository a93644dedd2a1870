"""Can the dataset be read and the run directory be written, as you?

The job runs as another identity, which may be allowed more or less.
"""

import uuid
from collections.abc import Iterator

from job import storage
from job.contract import layout
from job.contract.errors import InputMissingError, JobError, StorageUnreachableError
from launcher.checks.result import Result, Subject, failed, ok, unknown, warning
from launcher.describe import dataset_facts, volumes
from launcher.describe.spec import JobSpec
from launcher.errors import LauncherError
from launcher.observe import quick_storage, run_directory, writers

_DEEP = "launcher check --deep looks from inside"
_THE_JOB = "the job runs as its service account, which may well be able to"


def data(subject: Subject) -> Iterator[Result]:
    """The dataset is there."""
    path = _flag(subject.spec, "data")
    if not path:
        return
    if subject.spec and volumes.covers(subject.spec.volumes, path):
        yield unknown(f"{path} is on a volume of the pods, which is not seen from here", _DEEP)
        return
    quick_storage.be_brief()
    try:
        storage.stat(layout.dataset_file(path))
        facts = dataset_facts.read(path)
    except InputMissingError:
        yield failed(
            f"there is no dataset in {path}",
            "make it: launcher make-tfrecords; or correct --data",
        )
    except StorageUnreachableError:
        yield unknown(f"storage does not answer from here, so {path} is not known", _THE_JOB)
    except JobError as error:
        yield unknown(f"you cannot read {path}: {error}", _THE_JOB)
    except LauncherError as error:
        yield failed(str(error), "make the dataset anew: launcher make-tfrecords")
    else:
        yield ok(f"{path} has {facts.train_examples:,} training images of {facts.classes} classes")


def run(subject: Subject) -> Iterator[Result]:
    """The run directory can be written, and what is in it already."""
    spec = subject.spec
    if spec is None or spec.kind != "train":
        return
    quick_storage.be_brief()
    probe = storage.join(spec.output, f".check-{uuid.uuid4().hex}")
    try:
        storage.write_bytes(probe, b"")
        storage.delete(probe)
        step = run_directory.newest_checkpoint(spec.output)
    except StorageUnreachableError:
        yield unknown(f"storage does not answer from here, so {spec.output} is not known", _THE_JOB)
    except JobError as error:
        yield unknown(f"you cannot write {spec.output}: {error}", _THE_JOB)
    else:
        if step is None:
            yield ok(f"{spec.output} can be written")
        elif "--resume" in spec.args or "--resume=true" in spec.args:
            yield ok(f"{spec.output} has a checkpoint of step {step:,}")
        else:
            yield warning(
                f"{spec.output} has a checkpoint of step {step:,}: training goes on from there",
                "choose another --run to start anew",
            )


def writer(subject: Subject) -> Iterator[Result]:
    """Nobody else writes into the run directory."""
    spec = subject.spec
    if spec is None or spec.kind != "train" or "--take_over=true" in spec.args:
        return
    found = writers.refusal(
        subject.cluster, spec.output, spec.run_id, name=spec.name, submission=spec.submission_id
    )
    if found is None:
        yield ok(f"nobody else writes into {spec.output}")
    else:
        yield failed(found.what, found.mend)


def _flag(spec: JobSpec | None, name: str) -> str:
    args = spec.args if spec else ()
    return next((arg.partition("=")[2] for arg in args if arg.startswith(f"--{name}=")), "")
