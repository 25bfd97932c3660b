"""VQA records -> measures, by the protocol of the settings."""

from collections.abc import Sequence

from .measure import Measured
from .metrics import vqa
from .records import Record, cluster
from .settings import EvalSettings
from .strata import labels_of


def measure_vqa(records: Sequence[Record], settings: EvalSettings) -> Measured:
    """open_accuracy, open_f1, open_recall, closed_accuracy, overall_accuracy; kinds without questions are left out."""
    predictions, references, types = (
        [record.get(name, "") for record in records] for name in ("prediction", "answer", "answer_type")
    )
    return Measured(
        protocol=vqa.PROTOCOL,
        version=vqa.VERSION,
        measures=vqa.vqa_measures(predictions, references, types),
        clusters=[cluster(record) for record in records],
        counts=vqa.vqa_counts(predictions, references, types),
        strata=labels_of(records),
    )
