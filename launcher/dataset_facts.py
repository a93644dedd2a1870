"""What a dataset's description says that sizes a job: how many images, how many bytes."""

import dataclasses
import json
import threading
from dataclasses import dataclass
from typing import Any

from job import layout
from job.errors import ConfigError, JobError
from launcher.errors import UsageError

REMOTE = "gs://"
_PATIENCE_S = 5.0


@dataclass(frozen=True)
class DatasetFacts:
    """The size of a dataset; `source` says how it is known."""

    train_examples: int
    classes: int
    shard_bytes: int
    source: str
    known: bool = True


FOOD101 = DatasetFacts(75_750, 101, 5_500_000_000, "assumed to be Food-101", known=False)
"""Food-101 with its photographs as they were published; smaller where they were shrunk."""


def read(data: str) -> DatasetFacts:
    """Read dataset.json, or assume Food-101 and say why.

    Storage that does not answer within 5 s counts as unreadable: a laptop may well have no
    access to the bucket that the job will read.

    Raises:
        ConfigError: The path cannot be one.
        UsageError: There is a dataset.json that describes no dataset.
    """
    path = layout.dataset_file(data)
    found: list[Any] = []
    reader = threading.Thread(target=_try_to_read, args=(path, found), daemon=True)
    reader.start()
    reader.join(_PATIENCE_S)
    content = found[0] if found else "storage did not answer within 5 s"
    if isinstance(content, ConfigError):
        raise content
    if isinstance(content, str):
        return dataclasses.replace(FOOD101, source=f"{FOOD101.source}: {content}")
    return _facts(content, path)


def _try_to_read(path: str, found: list[Any]) -> None:
    """Put the parsed file, the reason why there is none, or a ConfigError into `found`."""
    try:
        if path.startswith(REMOTE):
            from job import storage
            from launcher import patience

            patience.be_brief()
            text = storage.read_bytes(path)
        else:
            with open(path, "rb") as file:
                text = file.read()
        found.append(json.loads(text))
    except ConfigError as error:
        found.append(error)
    except (JobError, OSError, ImportError) as error:
        found.append(f"{path} cannot be read here ({_first_line(error)})")
    except ValueError:
        found.append(f"{path} is not JSON")


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _facts(content: Any, path: str) -> DatasetFacts:
    try:
        splits = content["splits"]
        return DatasetFacts(
            train_examples=int(splits["train"]["examples"]),
            classes=len(content["classes"]),
            shard_bytes=sum(
                int(shard["bytes"]) for split in splits.values() for shard in split["shards"]
            ),
            source="from dataset.json",
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UsageError(f"{path} is not a dataset's description: {error!r}") from error
