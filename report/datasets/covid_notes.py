"""Free-text notes of the COVID-19 image collection: what physicians wrote beside published chest images.

Layout: `<path>/metadata.csv` (column clinical_notes, joined by `filename`), `<path>/images`, `<path>/lung_boxes.json`.
Source: Cohen et al., COVID-19 Image Data Collection, 2020 (github.com/ieee8023/covid-chestxray-dataset). Licence: per
image, column `license` (CC BY, CC BY-SA, CC BY-NC-SA and versions); boxes CC BY 4.0. Keep the column's value beside
anything redistributed.
Text: notes mix history, laboratory values and findings, are of any length and at times in telegram style; they are no
radiology reports. One note may stand beside several images of a patient. Damaged characters are dropped.
Regions: the lung boxes where the collection has them (patient side: the right lung lies at the image's left); findings
have none. Modality: column `modality` (X-ray or CT).
Split: by patient; patients that share an image file or a note count as one.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ...grounding.bad_input import BadInput, Skipped
from ...grounding.datasets.corpus import data_folder, held_out
from ...grounding.datasets.layouts import covid_cxr as lung_boxes
from ...grounding.foreign import read_csv
from ...grounding.imaging.read import read_image
from ...grounding.settings import Settings
from ...grounding.types import AnnotatedImage
from ...grounding.vocabulary.labels import load_labels
from ...grounding.vocabulary.sentences import ground_sentences, split_sentences
from ..task import Report
from .rows import list_bad
from .sets import ReportContext

COLUMNS = ("patientid", "filename", "modality", "clinical_notes")


class CovidNotesSettings(Settings):
    """Where the collection lies and how much of its notes is read."""

    path: Path = Path("covid_cxr")
    """Folder with metadata.csv and images; relative to the environment's MEDGLIP_DATA."""
    val_fraction: float = 0.15
    """Part of the patients that become `val`; not above the region set's, or the core has trained on some of them."""
    max_sentences: int = 6
    """Only the first sentences of a note; the longest have a dozen, mostly history."""
    boxes_only: bool = False
    """Only notes on images whose lungs are boxed, all of them X-rays: the true regions that `oracle` needs."""
    limit: int | None = None
    """At most so many notes, in file order; all of them when left out."""


@dataclass(frozen=True, kw_only=True)
class _Note:
    """One usable row: a note beside one image."""

    row: int
    name: str
    patient: str
    modality: str
    text: str


def read(settings: CovidNotesSettings, context: ReportContext, skipped: Skipped) -> list[Report]:
    """The notes as reports in file order, split `train` or `val`.

    To `skipped` go rows without a note, a second row of one image, and rows whose image cannot be read.
    Raises `BadInput` when the folder or metadata.csv is unusable.
    """
    folder = data_folder(settings.path)
    file = folder / "metadata.csv"
    notes = _read_notes(file, settings.max_sentences, skipped)
    groups = group_patients(notes)  # second rows of an image tie patients together, so they go after this
    val = held_out(groups.values(), settings.val_fraction, context.seed)
    has_boxes = (folder / "lung_boxes.json").is_file()
    lungs = {image.image_path.name: image for image in lung_boxes.read(folder, skipped)} if has_boxes else {}
    reports: list[Report] = []
    first: dict[str, _Note] = {}  # image name -> its first note
    for note in notes:
        with list_bad(skipped, file, note.row):
            if (other := first.setdefault(note.name, note)) is not note:
                raise BadInput(f"a second row of {note.name}, see row {other.row}.", fix="one row an image is read")
    for note in list(first.values())[: settings.limit]:
        group, path, boxed = groups[note.patient], folder / "images" / note.name, lungs.get(note.name)
        with list_bad(skipped, file, note.row):
            image = AnnotatedImage(
                image_id=f"{folder.name}/{note.name}",  # that of the region set
                image_path=path,
                modality=note.modality,
                group=group,
                dataset="covid_notes",
                split="val" if group in val else "train",
                size_px=read_image(path).size,
                regions=boxed.regions if boxed else (),
                phrases=boxed.phrases if boxed else (),
            )
            if settings.boxes_only and not image.phrases:
                continue
            sentences = ground_sentences(note.text, image.regions, load_labels(), image.size_px, is_patient_side=True)
            text = " ".join(sentence.text for sentence in sentences)
            reports.append(Report(report_id=f"covid_notes-{note.name}", image=image, text=text, sentences=sentences))
    return reports


def _read_notes(file: Path, max_sentences: int, skipped: Skipped) -> list[_Note]:
    """Every row with a note, second rows of an image among them."""
    notes: list[_Note] = []
    for number, row in read_csv(file, COLUMNS, skipped, errors="replace"):
        text = " ".join(split_sentences(tidy(row["clinical_notes"]))[:max_sentences])
        name = row["filename"].strip()
        with list_bad(skipped, file, number):
            if not text:
                raise BadInput("no note.", fix="nothing to do: the image has no text")
            if not name or Path(name).name != name:
                raise BadInput(f"filename is {name!r}.", fix="a file name without a folder")
            # Without a patient id an image is a patient of its own.
            patient = row["patientid"].strip() or f"image {name}"
            notes.append(_Note(row=number, name=name, patient=patient, modality=row["modality"], text=text))
    return notes


def tidy(text: str) -> str:
    """The note with single blanks, without characters that the collection has lost; a lone "?" was a dash."""
    return " ".join(re.sub(r" \? ", " - ", text.replace("\N{REPLACEMENT CHARACTER}", "")).split())


def group_patients(notes: Iterable[_Note]) -> dict[str, str]:
    """Patientid -> name of its group: patients that share an image file or a note word for word are one."""
    groups: dict[str, str] = {}
    owners: dict[str, str] = {}
    for note in notes:
        groups.setdefault(note.patient, note.patient)
        for shared in (f"file {note.name}", " ".join(re.findall(r"\w+", note.text.lower()))):
            # The group of who had it first takes in the whole group of who has it now.
            first, later = groups[owners.setdefault(shared, note.patient)], groups[note.patient]
            groups = {patient: first if group == later else group for patient, group in groups.items()}
    return groups
