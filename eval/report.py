"""Report records -> measures, by the protocol, tokenisation and metrics of the settings."""

from collections.abc import Sequence

from .measure import Measured
from .metrics import report
from .records import Record, cluster
from .settings import EvalSettings
from .strata import labels_of


def measure_report(records: Sequence[Record], settings: EvalSettings) -> Measured:
    """bleu_1 .. bleu_4, rouge_l, cider; the tokenisation stands in the settings."""
    predictions, references = ([record[name] for record in records] for name in ("prediction", "answer"))
    return Measured(
        protocol=report.PROTOCOL,
        version=report.VERSION,
        measures=report.report_measures(predictions, references, settings.tokenization),
        clusters=[cluster(record) for record in records],
        counts={"empty_predictions": sum(not text.strip() for text in predictions)},
        strata=labels_of(records),
    )
