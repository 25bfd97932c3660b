"""Label F1: findings named in a report against those in its reference, on given labels (CheXbert's, or any set).

Where they stand: `meta.labels` of a record, `{"reference": {"Edema": 1, ...}, "prediction": {...}}`, each label 1
(present), 0 (absent), -1 (uncertain) or null (not mentioned; counts as absent). CheXpert's fourteen labels may come as
a list in CheXbert's order as well; a reference that is not given is `meta.chexpert` (see `chexpert.py`). Rules:
CheXbert (Smit et al. 2020) as f1chexbert and RadEval score it, with scikit-learn's averages.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, BeforeValidator, model_validator

from ....grounding.bad_input import BadInput
from ...settings import EvalSettings
from ...statistics.measure import Bools, Floats, Ints, Measures, divide, from_sums, mean

UncertainPolicy = Literal["positive", "negative", "ignore"]

NO_FINDING = "No Finding"
CHEXPERT = (
    *("Enlarged Cardiomediastinum", "Cardiomegaly", "Lung Opacity", "Lung Lesion", "Edema", "Consolidation"),
    *("Pneumonia", "Atelectasis", "Pneumothorax", "Pleural Effusion", "Pleural Other", "Fracture"),
    *("Support Devices", NO_FINDING),
)
"""CheXpert's labels in the order of CheXbert's heads: thirteen of four classes, and `No Finding`, yes or no."""
TOP_5 = ("Cardiomegaly", "Edema", "Consolidation", "Atelectasis", "Pleural Effusion")


def _mark(value: Any) -> int:
    if value not in (None, "") and not (isinstance(value, int | float) and value in (1, 0, -1)):
        raise ValueError(f"{value!r} is no label: give 1, 0, -1 (uncertain) or null (not mentioned)")
    return int(value or 0)


def _name_marks(value: Any) -> Any:
    """A list of fourteen marks, which has CheXbert's order, as a mapping; a mapping as it is."""
    if not isinstance(value, list):
        return value
    if len(value) != len(CHEXPERT):
        raise ValueError(f"a list of {len(value)} labels: give {len(CHEXPERT)} in CheXbert's order, or name them")
    return dict(zip(CHEXPERT, value, strict=True))


Side = Annotated[dict[str, Annotated[int, BeforeValidator(_mark)]], BeforeValidator(_name_marks)]


class Labels(BaseModel):
    """`meta.labels` of one record, both sides under the same names. `by`: `rules` where words told the prediction's."""

    reference: Side
    prediction: Side
    by: str = ""

    @model_validator(mode="after")
    def _check(self) -> "Labels":
        if not self.reference:
            raise ValueError("no labels")
        if other := sorted(self.reference.keys() ^ self.prediction.keys()):
            raise ValueError(f"on one side only: {', '.join(other)}")
        if -1 in (self.reference.get(NO_FINDING), self.prediction.get(NO_FINDING)):
            raise ValueError(f"{NO_FINDING} is 1 or 0, never uncertain")
        return self


Form = Labels
SIDES = ("reference", "prediction")


def measures(
    values: Sequence[Labels], rows: Sequence[int], ids: Sequence[str], settings: EvalSettings
) -> tuple[Measures, list[str]]:
    """`label_measures`, and how many uncertain labels are left out.

    Raises `BadInput` naming the first record whose label names differ from those of the first one.
    """
    for name, labels in zip(ids, values, strict=True):
        if other := sorted(labels.reference.keys() ^ values[0].reference.keys()):
            problem = f"meta.labels of {name!r} and of {ids[0]!r} differ in {', '.join(other)}."
            raise BadInput(problem, fix="all records of a run hold the same labels")
    marks_SNL = _marks(values, list(values[0].reference))
    left_out = int((marks_SNL < 0).any(0).sum()) if settings.uncertain_policy == "ignore" else 0
    notes = [f"label F1: {left_out} uncertain labels of {marks_SNL[0].size} left out."] if left_out else []
    if by_rules := sum(one.by == "rules" for one in values):
        what = "meta.chexpert is the reference, and words tell what was written"
        notes.append(f"label F1: of {by_rules} of {len(values)} records {what}: no figure of CheXbert.")
    return label_measures(values, settings.uncertain_policy, rows), notes


def label_measures(
    labels: Sequence[Labels], policy: UncertainPolicy = "positive", rows: Sequence[int] | None = None
) -> Measures:
    """F1 in [0, 1] of labels of one set of names: micro, macro and by example, a label or report without any is 0.

    `chexbert_{micro,macro,example}_f1_14` and `_5` for CheXpert's fourteen, `label_{micro,macro,example}_f1` for any
    other names, and where words told the labels. `policy`: an uncertain label is present or absent, or leaves the
    comparison on both sides.
    `rows`: indices among the inputs.
    """
    names = list(labels[0].reference)
    truth_NL, predicted_NL = _marks(labels, names)
    truth_NL, predicted_NL = decide(truth_NL, predicted_NL, policy)
    if set(names) != set(CHEXPERT) or any(one.by == "rules" for one in labels):
        return _f1s(truth_NL, predicted_NL, rows, "label_{}_f1")
    top = [names.index(name) for name in TOP_5]
    top_5 = _f1s(truth_NL[:, top], predicted_NL[:, top], rows, "chexbert_{}_f1_5")
    return _f1s(truth_NL, predicted_NL, rows, "chexbert_{}_f1_14") | top_5


def decide(truth_NL: Ints, predicted_NL: Ints, policy: UncertainPolicy) -> tuple[Bools, Bools]:
    """Present or not. F1 counts no agreement on absence, so that a label made absent on both sides is left out."""
    if policy == "ignore":
        is_known = (truth_NL >= 0) & (predicted_NL >= 0)
        return (truth_NL > 0) & is_known, (predicted_NL > 0) & is_known
    present = (1, -1) if policy == "positive" else (1,)
    return np.isin(truth_NL, present), np.isin(predicted_NL, present)


def _marks(labels: Sequence[Labels], names: Sequence[str]) -> Ints:
    """int64[2, N, L]: of the references, and of the predictions."""
    return np.array([[[getattr(one, side)[name] for name in names] for one in labels] for side in SIDES], np.int64)


def _f1s(truth_NL: Bools, predicted_NL: Bools, rows: Sequence[int] | None, name: str) -> Measures:
    hits_NL = (truth_NL & predicted_NL).astype(np.float64)
    marks_NL = truth_NL.astype(np.float64) + predicted_NL
    micro_N2 = np.stack([hits_NL.sum(1), marks_NL.sum(1)], 1)  # all labels as if they were one
    return {
        name.format("micro"): from_sums(micro_N2, macro_f1, rows),
        name.format("macro"): from_sums(np.concatenate([hits_NL, marks_NL], 1), macro_f1, rows),
        name.format("example"): mean(macro_f1(micro_N2), rows),
    }


def macro_f1(sums_RK: Floats) -> Floats:
    """float64[R]: mean F1 of K/2 labels. Columns: for each label the hits, then the labels on either side.

    2 tp / (2 tp + fp + fn), 0 for a label that neither side holds; of a single label, F1 itself.
    """
    hits_RL, marks_RL = np.split(sums_RK, 2, axis=1)
    return divide(2 * hits_RL, marks_RL, 0.0).mean(1)
