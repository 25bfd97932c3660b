"""Grounding records -> measures; one input a (record, phrase)."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...grounding.bad_input import BadInput
from ...grounding.geometry import area
from ...grounding.types import Region
from ..metrics.detection import calibration, froc, phrase
from ..metrics.detection.pairs import Pair, Pairs, make_pair
from ..records import Record, cluster, meta_of, phrases_of, regions_by_phrase
from ..settings import EvalSettings
from ..statistics.measure import Floats, Measured, count_samples
from ..statistics.strata import labels_of

MAX_LABELS = 60
"""The most different phrases that are strata of their own."""
_MAX_POINTS = 500


def measure_grounding(records: Sequence[Record], settings: EvalSettings) -> Measured:
    """Every measure of `grounding_measures`; one sample a (record, phrase), of which `n` counts all.

    A phrase with a true region and no prediction has failed, and so has one whose record's prediction is null; an
    absent phrase without a prediction is right, so scored.
    """
    pairs, truths = _pairs(records, settings)
    inputs = [(record, name) for record in records for name in phrases_of(record)]  # what each pair is of
    has_truth = Pairs(pairs).has_truth_N
    has_none = np.array([len(pair.scores_P) == 0 for pair in pairs], bool)
    is_lost = np.array([bool(record.get("failed")) for record, _ in inputs], bool)
    return Measured(
        protocol=phrase.PROTOCOL,
        version=phrase.VERSION,
        measures=phrase.grounding_measures(pairs),
        clusters=[cluster(record) for record, _ in inputs],
        counts=count_samples(len(pairs), failed=int((has_truth & has_none | is_lost).sum()))
        | {
            "pairs": len(pairs),
            "pairs_without_truth": int((~has_truth).sum()),
            "pairs_without_prediction": int(has_none.sum()),
        },
        strata=_strata(inputs, truths),
    )


def curves(records: Sequence[Record], settings: EvalSettings) -> dict[str, list[dict[str, float]]]:
    """The points of the reliability diagram, the precision-recall and the FROC curve at IoU .5, thinned for a page.

    `reliability`: low, high, score, accuracy, boxes; `pr`: threshold, recall, precision; `froc`: threshold,
    false_positives an image, sensitivity.
    """
    pairs, _ = _pairs(records, settings)
    hits = Pairs(pairs).hits
    scores_P = np.concatenate([pair.scores_P for pair in pairs])
    right_P = np.concatenate([pair.right_P for pair in pairs])
    thresholds_U, wrong_1U, right_1U = froc.count_by_score(hits, np.ones((1, len(pairs))))
    wrong_U, right_U = wrong_1U[0], right_1U[0]
    recalls_U = right_U / hits.truths_N.sum()
    # at most so many points, evenly, the first and the last among them
    num = len(thresholds_U)
    indices = np.unique(np.linspace(0, num - 1, min(num, _MAX_POINTS)).round().astype(int))

    def points(**columns: Floats) -> list[dict[str, float]]:
        rows = zip(*(column_U[indices].tolist() for column_U in columns.values()), strict=True)
        return [dict(zip(columns, row, strict=True)) for row in rows]

    return {
        "reliability": calibration.reliability(scores_P, right_P),
        "pr": points(threshold=thresholds_U, recall=recalls_U, precision=right_U / (right_U + wrong_U)),
        "froc": points(threshold=thresholds_U, false_positives=wrong_U / len(pairs), sensitivity=recalls_U),
    }


def _pairs(records: Sequence[Record], settings: EvalSettings) -> tuple[list[Pair], list[list[Region]]]:
    """The pairs in order, and the true regions of each. Raises `BadInput` naming the record."""
    pairs: list[Pair] = []
    truths: list[list[Region]] = []
    for record in records:
        try:
            wanted, predicted = regions_by_phrase(record, "answer"), regions_by_phrase(record, "prediction")
            for name, regions in wanted.items():  # in the order of the phrases, as `phrases_of` has them
                presence = _of_phrase(record, "presence", name)
                pairs.append(make_pair(regions, predicted[name], settings.score_threshold, presence))
                truths.append(regions)
        except BadInput as error:
            raise BadInput(f"record {record['id']!r}: {error.problem}", fix=error.fix) from error
    return pairs, truths


def _of_phrase(record: Record, name: str, phrase: str) -> Any:
    """What `meta` says under `name`: of each phrase by a mapping, or of all."""
    value = meta_of(record).get(name)
    return value.get(phrase) if isinstance(value, Mapping) else value


def _strata(inputs: Sequence[tuple[Record, str]], truths: Sequence[Sequence[Region]]) -> dict[str, list[str]]:
    """Those of records, and of phrases: `level`, `region_size`, and `label`, the phrase, where there are few of them.

    `level`: `meta.level`, else the depth of the first true region's path, from 1. `region_size`, see `region_size`.
    """
    strata = labels_of([record for record, _ in inputs])
    strata |= {"level": [], "region_size": [], "label": [name for _, name in inputs]}
    for (record, name), regions in zip(inputs, truths, strict=True):
        level = _of_phrase(record, "level", name)
        depth = len(regions[0].path) if regions else 0  # 0: no region, or no label tree
        strata["level"].append(str(level if level is not None else depth or ""))
        strata["region_size"].append(region_size(regions, meta_of(record).get("size_px")))
    if len(set(strata["label"])) > MAX_LABELS:
        del strata["label"]
    return {axis: labels for axis, labels in strata.items() if any(labels)}


def region_size(truths: Sequence[Region], size_px: Sequence[float] | None) -> str:
    """small, medium or large by the largest true box; "" without one.

    As a part of the image of `size_px` (width, height): below 1 %, to 10 %, above. Without a size, COCO's rule:
    below 32 x 32 pixels, to 96 x 96, above.
    """
    if not truths:
        return ""
    largest = max(float(area(region.box_xyxy_px)) for region in truths)
    low, high = 32.0**2, 96.0**2
    if size_px:
        width, height = size_px
        low, high = 0.01 * width * height, 0.1 * width * height
    return "small" if largest < low else "medium" if largest <= high else "large"
