"""Any grounder on any COCO-style set: every category is looked for in every image; records, scores with intervals.

Category names are the phrases; the grounder gets them in the words of the label tree, records keep their own.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from ...eval.probes import ProbeResult, original_id, probe
from ...eval.records import Record, question_of, read_records
from ...eval.score import EvalSettings, Scores, score
from ...eval.statistics.strata import Strata
from ...eval.table import by_metric, table
from ...eval.tasks.grounding import MAX_LABELS
from ...grounding.assets import cache_folder
from ...grounding.bad_input import BadInput, Skipped
from ...grounding.datasets.corpus import stay_inside
from ...grounding.datasets.layouts.coco import image_name, read_annotated, read_file
from ...grounding.datasets.load import load_images
from ...grounding.datasets.rows import skipping
from ...grounding.datasets.schema import images as images_of
from ...grounding.datasets.schema import split_of
from ...grounding.datasets.settings import DataSettings
from ...grounding.files import read_lines
from ...grounding.grounder import Grounder
from ...grounding.imaging.corruptions import SEVERITIES, corrupted, corrupted_record, mark_of
from ...grounding.modalities import parse_modality
from ...grounding.records import RecordFile, grounding_record, record_id
from ...grounding.settings import validate
from ...grounding.types import AnnotatedImage, Region
from ...grounding.vocabulary.labels import load_labels

METRICS = ("ap50", "miou", "acc_iou50", "dice", "presence_auroc")
"""What is printed; the score file holds every measure of grounding."""
MAX_PER_PHRASE = 100  # regions per phrase, as COCO counts them


@dataclass(frozen=True, kw_only=True)
class CocoSet:
    """A COCO-style file: its images, what of it could not be used, notes for the reader of scores."""

    images: list[AnnotatedImage]
    skipped: Skipped
    notes: tuple[str, ...] = ()

    def record_ids(self) -> set[str]:
        """Of every phrase of every image; a file of records may hold more, of an earlier call with a larger limit."""
        return {record_id(image, phrase) for image in self.images for phrase in image.phrases}


def read_coco(
    references: Path, images: Path, limit: int | None = None, seed: int = 0, *, allow_outside: bool = False
) -> CocoSet:
    """Images of an instances file, their pixels below `images`; `limit` of them are drawn with the seed, in file order.

    An image may carry `modality` (left out, or unknown to us: unknown) and `group` (patient: the unit of the
    intervals). Images and annotations that cannot be used are listed. A category is not looked for in an image where
    one of its annotations is lost or is a crowd, since it is neither absent nor known there. With
    `allow_outside` file names may leave the folder. Raises `BadInput` for no COCO file, and when no image is left.
    """
    skipped = Skipped()
    coco = read_file(references, lambda name: " ".join(str(name).split()), skipped)
    if len(set(coco.phrases.values())) < len(coco.phrases):
        fix = "names are phrases: give each its own"
        raise BadInput("two categories have the same name.", file=references, fix=fix)
    chosen = coco.images
    if limit is not None and limit < len(chosen):
        indices = np.random.default_rng(seed).choice(len(chosen), limit, replace=False)
        chosen = [chosen[index] for index in sorted(indices.tolist())]
    # `kvasir/annotations.json` is called by its folder, `instances_val.json` by its name
    dataset = references.parent.name if references.stem == "annotations" else references.stem
    annotated_images: list[AnnotatedImage] = []
    unknown: dict[str, None] = {}
    for image in chosen:
        with skipping(skipped, references, f"image {image_name(image)}"):
            name, modality = str(image["file_name"]), "unknown"
            try:
                modality = parse_modality(str(image.get("modality") or ""))
            except BadInput:
                unknown[str(image.get("modality"))] = None
            row = image | {"modality": modality}
            path = stay_inside(images, name, allow_outside)
            annotated = read_annotated(coco, row, path, skipped, group=name)
            annotated_images.append(replace(annotated, image_id=name, dataset=dataset, split="test"))
    if not annotated_images:
        raise BadInput("no image can be used.", file=references, fix=f"is --images right? {skipped.summary()}")
    notes = tuple(f"modality {word!r} is none of ours: taken as unknown" for word in unknown)
    return CocoSet(images=annotated_images, skipped=skipped, notes=notes)


def read_dataset(
    layout: str, folder: Path, limit: int | None = None, seed: int = 0, *, allow_outside: bool = False
) -> CocoSet:
    """Images of split test of a folder in a layout of ours, such as phantom; `limit` of them are drawn with the seed.

    Every annotated phrase of an image, present or absent, is looked for. Raises `BadInput` for an unknown layout, one
    that needs more than a folder, and a set without images to report on.
    """
    settings = validate(DataSettings, {"layout": layout, "path": str(folder.resolve()), "allow_outside": allow_outside})
    data, skipped = load_images([settings], seed)
    images = list(images_of(split_of(data, "test", limit, seed)))
    if not images:
        raise BadInput("no image of split test.", file=folder, fix=f"is the folder right? {skipped.summary()}")
    return CocoSet(images=images, skipped=skipped)


def predict(
    grounder: Grounder,
    images: Sequence[AnnotatedImage],
    out: Path,
    skipped: Skipped,
    *,
    model: str = "",
    batch_size: int = 8,
    severity: int = 0,
    seed: int = 0,
) -> list[Record]:
    """Ground every phrase of every image and append the records to `out`; what is there already is not done again.

    Returns all records of the file, those of earlier calls too. `severity`: of the corruption that is drawn for each
    image with the seed; 0: the image as it is.

    Images that cannot be read are left out and listed. Raises `BadInput` if `out` holds records of another grounder.
    """
    fingerprint = grounder.fingerprint[:16]
    file = RecordFile(out)
    first = next(read_lines(out), None) if out.exists() else None
    if first is not None and (first.get("meta") or {}).get("grounder") != fingerprint:
        raise BadInput("holds records of another grounder or of other settings.", file=out, fix="give another file")
    # an image is done when every phrase of it has its record; records are appended image by image
    mark = mark_of(severity)
    missing = [image for image in images if any(f"{record_id(image, p)}{mark}" not in file.done for p in image.phrases)]
    fields: dict[str, Any] = {"model": model, "meta": {"grounder": fingerprint}}
    there = len(images) - len(missing)
    with tqdm(total=len(images), initial=there, desc="grounding", unit="image", disable=None) as bar:
        for start in range(0, len(missing), batch_size):
            batch = missing[start : start + batch_size]
            pictures = cache_folder() / "corrupted"
            shown = [corrupted(image, severity, pictures, seed) for image in batch] if severity else batch
            original = {one.image_id: image for one, image in zip(shown, batch, strict=True)}
            for one, by_phrase in _ground(grounder, shown, skipped):
                image = original[one.image_id]
                rows = [grounding_record(image, phrase, *by_phrase[phrase], **fields) for phrase in image.phrases]
                file.append([corrupted_record(row, image, severity, seed) if severity else row for row in rows])
            bar.update(len(batch))
    return read_records([out], "grounding")


def _ground(
    grounder: Grounder, batch: Sequence[AnnotatedImage], skipped: Skipped
) -> Iterator[tuple[AnnotatedImage, dict[str, tuple[list[Region], float | None]]]]:
    """Of each image by phrase its regions, and the probability of its presence where the grounder gives one."""
    tree = load_labels()
    labels = [{phrase: tree.label(phrase) for phrase in image.phrases} for image in batch]
    try:
        results = grounder.ground_with_presence(batch, [list(by_phrase.values()) for by_phrase in labels])
    except BadInput as error:
        # one image of the batch cannot be read: one by one, so that the others are not lost
        if len(batch) > 1:
            yield from (pair for image in batch for pair in _ground(grounder, [image], skipped))
        else:
            skipped.add(str(batch[0].image_path), error)
        return
    for image, by_phrase, (regions, presences) in zip(batch, labels, results, strict=True):
        named = {p: [replace(r, phrase=p) for r in regions if r.phrase == label] for p, label in by_phrase.items()}
        yield image, {phrase: (named[phrase], presences.get(label)) for phrase, label in by_phrase.items()}


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
        rows = predict(grounder, coco.images, path, coco.skipped, model=model, batch_size=batch_size)
    ids = coco.record_ids()
    rows = [row for row in rows if row["id"] in ids]
    scores = score(rows, "grounding", settings)
    strata = _strata(scores, rows) if settings.strata else {}
    notes = [*scores.notes, *coco.notes]
    if "dice" not in scores.metrics:
        notes.append("no dice: no category has masks (`segmentation`) throughout an image")
    if "presence_auroc" not in scores.metrics:
        notes.append("no presence_auroc: every category that is known of an image is on it")
    if settings.strata and "category" not in strata:
        notes.append(f"not scored by category: there are more than {MAX_LABELS}")
    # what the grounder could not read has been added by now
    notes += [coco.skipped.summary()] if coco.skipped.entries else []
    return replace(scores, strata=strata, notes=notes)


def evaluate_corrupted(
    grounder: Grounder,
    coco: CocoSet,
    settings: EvalSettings,
    records: Path | None = None,
    *,
    model: str = "",
    batch_size: int = 8,
) -> ProbeResult:
    """The drops of each metric under corrupted pictures of five severities, paired with the originals.

    `records`: those of the originals, `evaluate`'s; the others stay beside them, `NAME.corrupt.jsonl`.
    """
    with TemporaryDirectory() as scratch:
        path = records or Path(scratch) / "records.jsonl"
        options: dict[str, Any] = {"model": model, "batch_size": batch_size, "seed": settings.seed}
        files = [path, path.with_suffix(".corrupt.jsonl")]
        rows: dict[Path, list[Record]] = {}
        for severity in (0, *SEVERITIES):  # each call gives all records of its file: the last one's are kept
            file = files[severity > 0]
            rows[file] = predict(grounder, coco.images, file, Skipped(), severity=severity, **options)
    ids = coco.record_ids()
    kept = [[row for row in rows[file] if original_id(row, ids) in ids] for file in files]
    return probe(kept, [file.name for file in files], settings)


def _strata(scores: Scores, rows: Sequence[Record]) -> Strata:
    """By category and modality first, also where all samples share one; then the others."""
    strata = dict(scores.strata)
    modalities = {str((row.get("meta") or {}).get("modality")) for row in rows}
    shared = {"label": {question_of(row) for row in rows}, "modality": modalities}
    for axis, labels in shared.items():
        if len(labels) == 1:  # `score` makes no stratum of it: it holds every sample
            strata[axis] = {labels.pop(): dict(scores.metrics)}
    first = {"category": strata.pop("label", {}), "modality": strata.pop("modality", {})}
    return {axis: cells for axis, cells in (first | strata).items() if cells}


def scores_text(scores: Scores) -> str:
    """The headline metrics for the terminal, of all and by category and modality: value, interval, n."""
    parts = [table({"all": {name: scores.metrics[name] for name in METRICS if name in scores.metrics}})]
    for axis in ("category", "modality"):
        if axis in scores.strata:
            parts.append(table(by_metric(scores.strata[axis], METRICS), corner=axis))
    counts = scores.counts
    parts.append(f"{counts['records']} pairs of image and phrase, {counts['pairs_without_truth']} of them absent")
    return "\n\n".join([*parts, *scores.notes])
