"""How far all tasks of a prediction are together, read from its directory."""

import datetime

from job import storage
from job.contract import layout
from job.storage import NotFoundError
from launcher.manifests import units
from launcher.observe import quick_storage
from launcher.observe.state import PredictionProgress, Time


def read(output: str) -> PredictionProgress | None:
    """Count the images of finished parts; None while nothing has been listed.

    Raises:
        JobError: The storage cannot be read.
    """
    # Imported here: `launcher --help` must not wait for storage clients.
    from job.prediction import listing

    quick_storage.be_brief()
    frozen = listing.load(output)
    if frozen is None:
        return None
    try:
        there = {stat.path for stat in storage.list_files(output)}
    except NotFoundError:
        there = set()
    # A part's rejects are its last file, whatever format its predictions have.
    finished = [
        part
        for part in range(frozen.parts)
        if layout.join(output, layout.rejects_part_file(part, frozen.parts)) in there
    ]
    return PredictionProgress(
        images=sum(len(frozen.part_range(part)) for part in finished),
        total_images=frozen.count,
        parts=len(finished),
        total_parts=frozen.parts,
        complete=layout.summary_file(output) in there,
    )


class Pace:
    """Tells how fast a prediction goes, from what it has done since it was first looked at."""

    def __init__(self) -> None:
        self._first: tuple[Time, int] | None = None

    def text(self, prediction: PredictionProgress, now: Time, *, over: bool = False) -> str:
        """Say how far it is and, unless it is over, its rate and the time that is left."""
        if self._first is None:
            self._first = (now, prediction.images)
        since, images = self._first
        share = prediction.images / prediction.total_images
        text = f"{prediction.images:,} of {prediction.total_images:,} images ({share:.0%})"
        elapsed_s = (now - since) / datetime.timedelta(seconds=1)
        rate = (prediction.images - images) / elapsed_s if elapsed_s > 0 else 0.0
        left = prediction.total_images - prediction.images
        if rate and left and not over:
            text += f", {rate:,.1f} images/s, {units.format_seconds(left / rate)} left"
        return text
