"""A page to look at: a sample of the images with what the model says, and some of the rejects.

The page is one file that asks nothing of any network, in the style of the evaluation's report.
Names of files and classes are escaped by the template. The images are read again: a few dozen.
"""

import base64
import importlib.resources
import io
from collections.abc import Sequence
from dataclasses import dataclass

import jinja2
import markupsafe
from PIL import Image, ImageOps

from job import storage
from job.contract import layout
from job.contract.configs import PredictConfig
from job.evaluation.verdicts import percent, plain_name
from job.images.rejected import RejectedError
from job.prediction.image_reader import REASONS, ImageReader
from job.prediction.listing import Entry, Listing, NamesReader
from job.prediction.parts import Counts, Likely, PartStore, PredictionRow, RejectRow

SHOWN_IMAGES = 48
SHOWN_REJECTS = 50
_PARTS_READ = 24
_SIDE_PX = 224
_SHOWN_CLASSES = 3


@dataclass(frozen=True)
class Card:
    """One image of the page; `picture` is a data: URI."""

    name: str
    picture: str
    top: Sequence[Likely]


def write_gallery(
    config: PredictConfig, listing: Listing, store: PartStore, counts: Counts
) -> None:
    """Write gallery.html into the predictions directory."""
    cards: list[Card] = []
    rejects: list[RejectRow] = []
    parts = spread(listing.parts, _PARTS_READ)
    names = NamesReader(listing)
    with ImageReader(listing) as reader:
        for part in parts:
            predictions, rejected = store.read_rows(part)
            rejects.extend(rejected[: SHOWN_REJECTS - len(rejects)])
            entries = {entry.name: entry for entry in names.entries(part)}
            for place in spread(len(predictions), -(-SHOWN_IMAGES // len(parts))):
                row = predictions[place]
                card = _card(reader, entries.get(row["image"]), row)
                cards.extend([card] if card else [])
    html = page(config, counts, cards[:SHOWN_IMAGES], rejects)
    storage.write_bytes(layout.gallery_file(config.output), html.encode("utf-8", "replace"))


def page(
    config: PredictConfig,
    counts: Counts,
    cards: Sequence[Card],
    rejects: Sequence[RejectRow],
) -> str:
    """Render the page."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("job.evaluation", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": percent, "plain": plain_name}
    templates = importlib.resources.files("job.evaluation") / "templates"
    style = (templates / "report.css").read_text("utf-8")
    return environment.get_template("gallery.html.jinja").render(
        config=config,
        counts=counts,
        cards=cards,
        rejects=rejects,
        reasons=REASONS,
        shown_classes=_SHOWN_CLASSES,
        # A file of our own, so nothing in it needs escaping.
        style=markupsafe.Markup(style),  # noqa: S704
    )


def spread(count: int, wanted: int) -> list[int]:
    """Choose at most `wanted` of the numbers below `count`, evenly spread."""
    taken = min(count, wanted)
    return [number * count // taken for number in range(taken)]


def _card(reader: ImageReader, entry: Entry | None, row: PredictionRow) -> Card | None:
    """Read an image again; None if it is gone since it was classified."""
    if entry is None:
        return None
    try:
        encoded = reader.read(entry)
        with Image.open(io.BytesIO(encoded)) as image:
            square = ImageOps.fit(image.convert("RGB"), (_SIDE_PX, _SIDE_PX))
    except (RejectedError, OSError):
        return None
    target = io.BytesIO()
    square.save(target, "JPEG", quality=80)
    picture = "data:image/jpeg;base64," + base64.b64encode(target.getvalue()).decode()
    return Card(row["image"], picture, row["top"][:_SHOWN_CLASSES])
