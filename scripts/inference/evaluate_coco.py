"""Any grounder on any COCO-style set: every category asked on every image, records, scores with intervals.

Category names are the phrases; they are asked in the words of the label tree and reported in their own.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from ...eval.grounding import MOST_LABELS
from ...eval.records import Record, read_records
from ...eval.score import EvalSettings, Scores, score
from ...eval.statistics.strata import Strata
from ...eval.table import by_metric, table
from ...grounding.bad_input import BadInput, Skipped
from ...grounding.datasets.layouts.coco import image_name, read_annotated, read_file
from ...grounding.datasets.layouts.rows import skipping
from ...grounding.files import read_lines
from ...grounding.grounder import Grounder, answers
from ...grounding.modalities import parse_modality
from ...grounding.records import RecordFile
from ...grounding.types import AnnotatedImage, Region
from ...grounding.vocabulary.labels import load_labels
from ..records import grounding_record, record_id

METRICS = ("ap50", "miou", "acc_iou50", "dice", "presence_auroc")
"""What is printed; the score file holds every measure of grounding."""
MAX_PER_PHRASE = 100
"""Regions a phrase, as COCO counts them."""


def threshold_of(grounder: Grounder) -> float:
    """The score from which its regions count as said: its own, chosen on validation images, or 0.5."""
    return float(getattr(grounder, "threshold", 0.5))


@dataclass(frozen=True, kw_only=True)
class CocoSet:
    """A COCO-style file that was read: its studies, what of it could not be used, notes for the reader of scores."""

    images: list[AnnotatedImage]
    skipped: Skipped
    notes: tuple[str, ...] = ()


def read_coco(references: Path, images: Path, limit: int | None = None, seed: int = 0) -> CocoSet:
    """Studies of an instances file, images below `images`; `limit` images are drawn with the seed, in file order.

    An image may carry `modality` (else, and where it is none of ours, it is unknown) and `group` (patient: the unit of
    the intervals). Images and annotations that cannot be used are listed; a category one of whose annotations is lost
    on an image, or is a crowd there, is not asked on that image, since it is neither absent nor known. Raises
    `BadInput` for no COCO file, and when no image is left.
    """
    skipped = Skipped()
    coco = read_file(references, _words, skipped)
    if len(set(coco.phrases.values())) < len(coco.phrases):
        fix = "names are phrases: give each its own"
        raise BadInput("two categories have the same name.", file=references, fix=fix)
    chosen = coco.images
    if limit is not None and limit < len(chosen):
        places = np.random.default_rng(seed).choice(len(chosen), limit, replace=False)
        chosen = [chosen[place] for place in sorted(places.tolist())]
    dataset = references.parent.name if references.stem == "annotations" else references.stem
    annotated_images: list[AnnotatedImage] = []
    strange: dict[str, None] = {}
    for image in chosen:
        with skipping(skipped, references, f"image {image_name(image)}"):
            name = str(image["file_name"])
            told = {"image_id": name, "group": name, "dataset": dataset, "split": "test"}
            ours = image | {"modality": _modality(image.get("modality"), strange)}
            annotated_images.append(read_annotated(coco, ours, images / name, skipped, **told))
    if not annotated_images:
        raise BadInput("no image can be used.", file=references, fix=f"is --images right? {skipped.summary()}")
    notes = tuple(f"modality {word!r} is none of ours: taken as unknown" for word in strange)
    return CocoSet(images=annotated_images, skipped=skipped, notes=notes)


def _modality(word: Any, strange: dict[str, None]) -> str:
    """Our name of an image's modality, `unknown` for one that is none of ours, which is then among `strange`."""
    try:
        return parse_modality(str(word or ""))
    except BadInput:
        strange[str(word)] = None
        return "unknown"


def _words(name: Any) -> str:
    """A category's own name, as one line."""
    return " ".join(str(name).split())


def predict(
    grounder: Grounder,
    images: Sequence[AnnotatedImage],
    out: Path,
    skipped: Skipped,
    *,
    model: str = "",
    batch_size: int = 8,
) -> None:
    """Ground every phrase of every study and append the records to `out`; what is there already is not done again.

    Images that cannot be read are left out and listed. Raises `BadInput` if `out` holds records of another grounder.
    """
    file = RecordFile(out)
    _check_same(out, grounder)
    missing = [image for image in images if any(record_id(image, phrase) not in file.done for phrase in image.phrases)]
    bar = tqdm(total=len(images), initial=len(images) - len(missing), desc="grounding", unit="image", disable=None)
    for start in range(0, len(missing), batch_size):
        batch = missing[start : start + batch_size]
        told = {"model": model, "meta": {"grounder": grounder.fingerprint[:16]}}
        for image, answered in _ground(grounder, batch, skipped):
            file.append([grounding_record(image, p, *answered[p], **told) for p in image.phrases])
        bar.update(len(batch))
    bar.close()


def _check_same(out: Path, grounder: Grounder) -> None:
    first = next(read_lines(out), None) if out.exists() else None
    if first is not None and (first.get("meta") or {}).get("grounder") != grounder.fingerprint[:16]:
        raise BadInput("holds records of another grounder or of other settings.", file=out, fix="give another file")


def _ground(
    grounder: Grounder, batch: Sequence[AnnotatedImage], skipped: Skipped
) -> Iterator[tuple[AnnotatedImage, dict[str, tuple[list[Region], float | None]]]]:
    """Of each study by phrase the regions, and the chance that it is there where the grounder says it.

    If the batch holds an image that cannot be read, one by one without it.
    """
    tree = load_labels()
    try:
        found = answers(grounder, batch, [[tree.label(phrase) for phrase in image.phrases] for image in batch])
    except BadInput as error:
        if len(batch) > 1:
            yield from (pair for image in batch for pair in _ground(grounder, [image], skipped))
        else:
            skipped.add(str(batch[0].image_path), error)
        return
    for image, (regions, chances) in zip(batch, found, strict=True):
        words = {phrase: tree.label(phrase) for phrase in image.phrases}
        own = {p: [replace(r, phrase=p) for r in regions if r.phrase == word] for p, word in words.items()}
        yield image, {p: (own[p], chances.get(word)) for p, word in words.items()}


def evaluate(
    grounder: Grounder,
    coco: CocoSet,
    settings: EvalSettings,
    records: Path | None = None,
    *,
    model: str = "",
    batch_size: int = 8,
) -> Scores:
    """Scores of a grounder on a set, with strata `category` and `modality`; predictions stay in `records`, if given.

    What had to be left out is added to `coco.skipped` and named in the notes, as are the metrics that the set cannot
    give: Dice needs masks, presence absent categories.
    """
    with TemporaryDirectory() as scratch:
        path = records or Path(scratch) / "records.jsonl"
        predict(grounder, coco.images, path, coco.skipped, model=model, batch_size=batch_size)
        asked = {record_id(image, phrase) for image in coco.images for phrase in image.phrases}
        rows = [row for row in read_records([path], "grounding") if row["id"] in asked]
    found = score(rows, "grounding", settings)
    strata = _strata(found, rows) if settings.strata else {}
    left_out = [coco.skipped.summary()] if coco.skipped.entries else []
    return replace(found, strata=strata, notes=[*found.notes, *coco.notes, *_missing(found, strata), *left_out])


def _strata(scores: Scores, rows: Sequence[Record]) -> Strata:
    """By category and modality first, also where all samples share one; then the others."""
    shared = {"label": {row["question"] for row in rows}, "modality": {row["meta"]["modality"] for row in rows}}
    found = dict(scores.strata)
    for axis, labels in shared.items():
        if len(labels) == 1:
            found[axis] = {labels.pop(): dict(scores.metrics)}
    named = {"category": found.pop("label", {}), "modality": found.pop("modality", {})}
    return {axis: cells for axis, cells in (named | found).items() if cells}


def _missing(scores: Scores, strata: Strata) -> list[str]:
    """Why a headline metric, or the part by category, is not there."""
    reasons = {
        "dice": "no dice: no category has masks (`segmentation`) throughout an image",
        "presence_auroc": "no presence_auroc: every category that is known of an image is on it",
    }
    found = [reason for name, reason in reasons.items() if name not in scores.metrics]
    many = f"not scored by category: there are more than {MOST_LABELS}"
    return found if "category" in strata or not scores.settings["strata"] else [*found, many]


def scores_text(scores: Scores) -> str:
    """The headline metrics for the terminal, of all and by category and modality: value, interval, n."""
    parts = [table({"all": {name: scores.metrics[name] for name in METRICS if name in scores.metrics}})]
    for axis in ("category", "modality"):
        if axis in scores.strata:
            parts.append(table(by_metric(scores.strata[axis], METRICS), corner=axis))
    counts = scores.counts
    parts.append(f"{counts['records']} pairs of image and phrase, {counts['pairs_without_truth']} of them absent")
    return "\n\n".join([*parts, *scores.notes])
