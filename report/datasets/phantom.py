"""Reports of phantoms: two or three sentences on a synthetic image, each with the regions it speaks of.

Source: written by `grounding.datasets.phantoms`, nothing is downloaded. One structure and its location, the findings
with their number and location, then what is absent. Split: that of the image; train, val and test share no draw.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from ...grounding.bad_input import BadInput, Skipped
from ...grounding.datasets.corpus import data_folder
from ...grounding.settings import Settings
from ...grounding.vocabulary.sentences import Sentence
from ..task import Report
from .sets import ReportContext

if TYPE_CHECKING:
    from datasets import Dataset

COLUMNS = ("report_id", "text", "sentences")


class PhantomReportSettings(Settings):
    """Which phantoms are written about."""

    path: Path | None = None
    """A folder of phantoms drawn before, relative to MEDGLIP_DATA; left out: those of the recipe."""


def read(settings: PhantomReportSettings, context: ReportContext, skipped: Skipped) -> list[Report]:
    """The reports of the phantoms, in file order; nothing is skipped. Raises `BadInput` where no phantoms are."""
    from ...grounding.datasets.phantoms import dataset as phantoms

    own = None if settings.path else context.phantom_dir
    folder = own or data_folder(settings.path or Path("phantom"))
    return read_reports(folder, phantoms.read(folder))


def read_reports(folder: Path, images: "Dataset") -> list[Report]:
    """The reports of these images (rows of `phantoms.dataset.read`), in file order.

    Raises `BadInput` naming the file and the row for a missing column, or a sentence whose regions are not there.
    """
    from ...grounding.datasets.phantoms.dataset import read_rows

    file = folder / "reports.jsonl"
    reports: list[Report] = []
    for number, row, image in read_rows(file, COLUMNS, images):
        sentences: list[Sentence] = []
        try:
            for sentence in row["sentences"]:
                if any(k < 0 for k in sentence["regions"]):  # Python would count from the end
                    raise IndexError(f"region {min(sentence['regions'])}")
                regions = tuple(image.regions[k] for k in sentence["regions"])
                is_negated = bool(sentence["is_negated"])
                sentences.append(Sentence(text=str(sentence["text"]), regions=regions, is_negated=is_negated))
        except (KeyError, IndexError, TypeError) as error:
            fix = "a sentence has text, regions (indices into the image's list) and is_negated"
            raise BadInput(f"malformed sentence: {error!r}.", file=file, row=number, fix=fix) from error
        report_id, text = str(row["report_id"]), str(row["text"])
        reports.append(Report(report_id=report_id, image=image, text=text, sentences=tuple(sentences)))
    return reports
