"""Grounding records -> measures; one input a (record, phrase)."""

from collections.abc import Sequence

from .measure import Measured
from .metrics import detection
from .records import Record, asked_phrases, cluster, regions_by_phrase
from .settings import EvalSettings
from .strata import labels_of


def measure_grounding(records: Sequence[Record], settings: EvalSettings) -> Measured:
    """ap, ap50, ap75, miou, acc_iou50, and dice where there are true masks; one sample a (record, phrase)."""
    pairs: list[detection.Pair] = []
    for record in records:
        truths, found = regions_by_phrase(record, "answer"), regions_by_phrase(record, "prediction")
        pairs += [detection.make_pair(truths[name], found[name], settings.score_threshold) for name in truths]
    places = [place for place, record in enumerate(records) for _ in asked_phrases(record)]
    return Measured(
        protocol=detection.PROTOCOL,
        version=detection.VERSION,
        measures=detection.grounding_measures(pairs),
        clusters=[cluster(records[place]) for place in places],
        counts={
            "pairs": len(pairs),
            "pairs_without_truth": sum(not len(pair.truths_G4) for pair in pairs),
            "pairs_without_prediction": sum(not len(pair.scores_P) for pair in pairs),
        },
        strata={axis: [labels[place] for place in places] for axis, labels in labels_of(records).items()},
    )
