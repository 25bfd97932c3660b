"""ProbMed: an image scores only where the question about it and its adversarial partner are both right.

Rules of eric-ai-lab/ProbMed `eval/calculate_score.py`; `qa_type` names the dimension: `modality_*`, `body_part_*`,
`abnormality`, `entity_gt_k` with `entity_hallu_k`, `entity_hallu` alone (a healthy image), `grounding_gt_k` with
`grounding_hallu_k`. Read case-sensitively: "Not seen" and "None" count as No. All values are fractions.

Upstream's total weights the accuracy of each image type by a `num` that, for entity and grounding, also counts images
without such questions, and its `main` prints one variable three times. Ours pools the images that have questions;
upstream's weighting is in `upstream_weighted` alone.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ..records import Record, meta_of
from ..statistics.measure import Measures, mean

VERSION = "1"

DIMENSIONS = ("modality", "body_part", "abnormality", "entity", "grounding")

Marks = tuple[bool, ...]
"""Right or wrong: of a question and its adversarial partner, or of a question that has none."""


@dataclass
class ImageMarks:
    """What was scored of one image. `row`: place of its first record; `skipped`: questions without their partner."""

    row: int
    image_type: str
    marks: dict[str, list[Marks]] = field(default_factory=dict)
    skipped: int = 0


def says(response: str, answer: str) -> bool:
    """Whether a response says the answer, `yes` or else no: capitalised anywhere in it, or alone in any case."""
    word, text = ("yes" if answer == "yes" else "no"), response.strip()
    return word.capitalize() in text or text.lower() in (word, f"{word}.")


def qa_type(record: Record) -> str:
    """ProbMed's `qa_type`, in the record or its `meta`; "" for other records."""
    return str(record.get("qa_type") or meta_of(record).get("qa_type") or "")


def dimension(kind: str) -> str:
    """The dimension of a `qa_type`; whatever is none of the first four is grounding, as upstream has it."""
    return next((name for name in DIMENSIONS if name in kind), "grounding")


def image_marks(records: Sequence[Record]) -> list[ImageMarks]:
    """The marks of each image, for records with a `qa_type`; a question whose partner is missing is skipped."""
    images: dict[tuple[str, str], ImageMarks] = {}
    is_right: defaultdict[tuple[str, str], dict[str, bool]] = defaultdict(dict)  # of each image, by kind of question
    for row, record in enumerate(records):
        if kind := qa_type(record):
            image_type = str(meta_of(record).get("image_type") or record.get("image_type") or "")
            key = image_type, f"{record['dataset']}/{record['image_id']}"
            images.setdefault(key, ImageMarks(row, image_type))
            is_right[key][kind] = says(str(record["prediction"]), str(record["answer"]).strip().lower())
    for key, image in images.items():
        for name in DIMENSIONS:
            kinds = {kind: right for kind, right in is_right[key].items() if dimension(kind) == name}
            pairs = _pairs(name, kinds)
            image.skipped += len(kinds) - sum(map(len, pairs))
            if pairs:
                image.marks[name] = pairs
    return list(images.values())


def _pairs(name: str, is_right: Mapping[str, bool]) -> list[Marks]:
    """The question first, its partner second; abnormality and the lone `entity_hallu` have none.

    dimension   kinds of one image                              pairs
    modality    modality_gt, modality_hallu                     [(gt, hallu)]
    abnormality abnormality                                     [(right,)]
    entity      entity_gt_1, entity_hallu_1, entity_gt_2        [(gt_1, hallu_1)], gt_2 is skipped
    entity      entity_hallu                                    [(right,)], a healthy image
    """
    if name == "abnormality":
        return [(right,) for right in is_right.values()]
    if name in ("modality", "body_part"):
        ordered = sorted(is_right, key=lambda kind: "hallu" in kind)  # stable: in the order asked where none says so
        return [(is_right[ordered[0]], is_right[ordered[1]])] if len(ordered) == 2 else []
    if "entity_hallu" in is_right:
        return [(is_right["entity_hallu"],)]
    partners = {kind: kind.replace("_gt_", "_hallu_") for kind in is_right if "_gt_" in kind}
    return [(is_right[kind], is_right[partner]) for kind, partner in partners.items() if partner in is_right]


def measures(images: Sequence[ImageMarks]) -> Measures:
    """`probmed_DIMENSION` and `probmed_DIMENSION_first`, over the images that have such questions.

    The former: all questions and their partners right; the latter: all questions, whatever their partners.
    `probmed_overall` and `probmed_overall_first` are over images and dimensions; `_first` leaves out abnormality,
    which has no partners, as upstream has it.
    """
    scores: Measures = {}
    samples = [(name, image.row, marks) for name in DIMENSIONS for image in images if (marks := image.marks.get(name))]
    for name in (*DIMENSIONS, "overall"):
        own = [sample for sample in samples if name in (sample[0], "overall")]
        paired = [sample for sample in own if sample[0] != "abnormality"]
        for end, here, is_right in (("", own, _all_right), ("_first", paired, _first_right)):
            if here:
                rows = [row for _, row, _ in here]
                scores[f"probmed_{name}{end}"] = mean([is_right(marks) for *_, marks in here], rows)
    return scores


def upstream_weighted(images: Sequence[ImageMarks]) -> dict[str, float]:
    """The totals with upstream's weights, mistakes included: see the head of this file."""
    sums: defaultdict[str, Marks | list[float]] = defaultdict(lambda: [0.0, 0.0])
    for image_type in sorted({image.image_type for image in images}):
        # upstream counts all images of a type for entity and grounding, also those without such questions
        here = [image for image in images if image.image_type == image_type]
        for name in DIMENSIONS:
            scored = [image.marks[name] for image in here if name in image.marks]
            if not scored:
                continue
            num = len(here) if name in ("entity", "grounding") else len(scored)
            parts = {"": np.mean([_all_right(marks) for marks in scored])}
            if name != "abnormality":
                parts["_first"] = np.mean([_first_right(marks) for marks in scored])
            for total in (name, "overall"):
                for part, value in parts.items():  # each total: a sum of values times weights, and of weights
                    weighted, weight = sums[total + part]
                    sums[total + part] = [weighted + float(value) * num, weight + num]
    return {f"probmed_upstream_{name}": weighted / weight for name, (weighted, weight) in sums.items()}


def _all_right(marks: Sequence[Marks]) -> bool:
    return all(all(pair) for pair in marks)


def _first_right(marks: Sequence[Marks]) -> bool:
    return all(pair[0] for pair in marks)
