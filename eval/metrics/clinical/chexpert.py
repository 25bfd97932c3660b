"""CheXpert's fourteen labels of a text by words, and MIMIC-CXR-JPG's own as the reference of label F1.

A record without `meta.labels` is scored against its `meta.chexpert`, MIMIC-CXR-JPG's labels (`{"Edema": 1,
"Pneumonia": -1}`, those that are not mentioned left out); its prediction is read by the words below. Such scores are
`label_*`, never `chexbert_*`: no CheXbert has read anything. Words: our choice after the mention lists of CheXpert
(Irvin et al. 2019); what a sentence denies is told by the rules of `grounding.vocabulary.negation`, and a finding that
may be there counts as there.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

from ....grounding.vocabulary.negation import blank_denied
from ....grounding.vocabulary.sentences import split_sentences
from ...records import Record, meta_of
from .chexbert import CHEXPERT, NO_FINDING

RULES = "rules"
"""`by` of labels that words have told."""
_HEART = r"(?:heart|cardiac (?:silhouette|shadow|contour))"
_WORDS = {
    "Enlarged Cardiomediastinum": r"(?:enlarged|widened|prominent) (?:cardio)?mediastin\w+"
    r"|mediastinal (?:widening|enlargement)",
    "Cardiomegaly": rf"cardiomegaly|(?:enlarged|large) {_HEART}|{_HEART}[^.,;]*\benlarged|cardiac enlargement"
    rf"|enlargement of the (?:cardiac|{_HEART})",
    "Lung Opacity": r"opaci\w+|infiltrat\w+|airspace disease|interstitial (?:markings?|pattern|disease)|hazy|haziness",
    "Lung Lesion": r"nodul\w+|mass(?:es)?|(?:lung|pulmonary) (?:lesions?|tumou?rs?)|cavit(?:y|ies|ary|ation)"
    r"|granulomas?",
    "Edema": r"o?edema|heart failure|chf|(?:vascular|pulmonary) congestion|congestive",
    "Consolidation": r"consolidat\w+",
    "Pneumonia": r"pneumonias?|infectio(?:n|us)\w*",
    "Atelectasis": r"atelecta\w+|collapsed?|volume loss",
    "Pneumothorax": r"(?:hydro)?pneumothora(?:x|ces)",
    "Pleural Effusion": r"(?<!pericardial )effusions?|pleural fluid",
    "Pleural Other": r"pleural (?:thickening|plaques?|scar\w*)|fibrothorax",
    "Fracture": r"fractur\w+",
    "Support Devices": r"tubes?|catheters?|(?:central|picc|venous|jugular|subclavian) lines?|picc|pacemakers?|pacer"
    r"|icd|sternotomy|wires?|clips?|stents?|port-a-cath|valve replacement|prosthe\w+|leads?|drains?",
}
_PATTERNS = {label: re.compile(rf"\b(?:{words})\b", re.IGNORECASE) for label, words in _WORDS.items()}


def read_labels(text: str) -> dict[str, int]:
    """The fourteen labels of a report: 1 there, 0 denied or not mentioned; `No Finding` where no finding is there."""
    affirmed = " . ".join(blank_denied(sentence) for sentence in split_sentences(text))
    marks = {label: int(bool(pattern.search(affirmed))) for label, pattern in _PATTERNS.items()}
    none = not any(value for label, value in marks.items() if label != "Support Devices")
    marks[NO_FINDING] = int(none and bool(text.strip()))
    return {label: marks[label] for label in CHEXPERT}


def chexpert_marks(told: Mapping[str, Any]) -> dict[str, Any]:
    """All fourteen labels of MIMIC-CXR-JPG's file, None where it leaves one out; `No Finding` is 1 or 0."""
    return {label: told.get(label) for label in CHEXPERT} | {NO_FINDING: int(told.get(NO_FINDING) == 1)}


def with_chexpert(record: Record) -> Record:
    """The record with `meta.labels`: what it lacks of them comes from `meta.chexpert`, where it holds that."""
    if not isinstance(meta := meta_of(record), Mapping):  # told by whoever reads a field of it
        return record
    chexpert, labels = meta.get("chexpert"), meta.get("labels")
    lacks = labels is None or (isinstance(labels, Mapping) and "reference" not in labels)
    if not lacks or not isinstance(chexpert, Mapping) or not isinstance(record["prediction"], str):
        return record
    made: dict[str, Any] = {"reference": chexpert_marks(chexpert)}
    made |= labels or {"prediction": read_labels(record["prediction"]), "by": RULES}
    return cast(Record, {**record, "meta": {**meta, "labels": made}})


def with_references(records: Sequence[Record]) -> list[Record]:
    """`with_chexpert` of each."""
    return [with_chexpert(record) for record in records]
