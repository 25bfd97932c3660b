"""Is a model sure where it is right? Calibration of the probabilities of answers, and what holding back would pay.

`ece`: expected calibration error of (`probability` of the record, the answer is right), 15 bins of equal width, as of
boxes (`detection/calibration.py`). `aurc`: area under the risk-coverage curve (`statistics/selective.py`), which is the
mean part of wrong answers over all coverages, the surest answers first. An answer is right as the protocol's
`overall_accuracy` says. Records without a probability have no part in either. `consistency`: of the answers drawn for a
question, the part that says what most of them say (Wang et al. 2023, arXiv 2203.11171), the mean over questions.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self, cast

import numpy as np

from ...grounding.bad_input import BadInput
from ..protocols import exact_match
from ..records import Record
from ..statistics.measure import Bools, Floats, Ints, Measure, Measures, mean, proportion
from .detection.calibration import calibration_error


def measures(records: Sequence[Record], accuracy: Measure) -> Measures:
    """Ece and aurc of the records that `accuracy` scores as right or wrong; none where no probability is known."""
    right_N = proportion(accuracy)
    if right_N is None:
        return {}
    chances_N = np.array([_probability(records[row]) for row in accuracy.rows_N], np.float64)
    known_N = np.isfinite(chances_N)
    if not known_N.any():
        return {}
    rows, chances, right = accuracy.rows_N[known_N], chances_N[known_N], right_N[known_N]
    error = calibration_error([(chances[n : n + 1], right[n : n + 1]) for n in range(len(rows))])
    samples = np.arange(len(rows))
    area = RiskArea(
        value=float("nan"), rows_N=rows, chances_D=chances, wrong_D=(~right).astype(np.float64), samples_D=samples
    )
    return {"ece": replace(error, rows_N=rows), "aurc": area.at_ones()}


def consistency(records: Sequence[Record]) -> Measures:
    """Of the records with `draws` (`with_draws`); none where there are none. One draw says what it says: 1."""
    rows, shares = list[int](), list[float]()
    for row, record in enumerate(records):
        texts: Any = record.get("draws")
        if texts:
            reference = str(record["answer"])
            said = Counter(exact_match.meaning(str(text), reference) for text in texts)
            rows.append(row)
            shares.append(max(said.values()) / len(texts))
    return {"consistency": mean(shares, rows)} if rows else {}


def with_draws(records: Sequence[Record], draws: Sequence[Sequence[Record]]) -> list[Record]:
    """The records with what was answered when each was asked again with a temperature, in the order of `draws`.

    Raises `BadInput` for a question that was drawn in some of them and not in all.
    """
    by_id = [{record["id"]: record["prediction"] or "" for record in rows} for rows in draws]
    ids = [record["id"] for record in records]
    drawn = {name: [rows[name] for rows in by_id if name in rows] for name in ids}
    if lost := [name for name, texts in drawn.items() if 0 < len(texts) < len(draws)]:
        problem = f"{len(lost)} questions, first {lost[0]!r}, are not in every file of draws."
        raise BadInput(problem, fix="draw the same questions, each time with another seed")
    if not any(drawn.values()):
        raise BadInput("no question is in the files of draws.", fix="draw the questions of the records")
    return [cast(Record, {**record, "draws": drawn[record["id"]]}) for record in records]


def _probability(record: Record) -> float:
    """In [0, 1]; nan for what is none."""
    value: Any = record.get("probability")
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1
    return value if is_number else float("nan")


@dataclass(frozen=True, kw_only=True, eq=False)
class RiskArea(Measure):
    """Area under the risk-coverage curve. `chances_D`, `wrong_D` of each answer; `samples_D`: its weight's index.

    Answers of one probability are given or held back together: their risk is that at the last of them.
    """

    chances_D: Floats
    wrong_D: Floats
    samples_D: Ints
    method: ClassVar[str] = "percentile"

    def value_at(self, weights_RN: Floats) -> Floats:
        """float64[R]: the risk at each answer's coverage, averaged over the answers; nan for no weight at all."""
        order_D = np.argsort(-self.chances_D, kind="stable")
        _, counts = np.unique(-self.chances_D, return_counts=True)
        last_D = np.repeat(counts.cumsum() - 1, counts)  # of the answers of one probability, the last
        weights_RD = weights_RN.take(self.samples_D[order_D], axis=1)
        wrong_RD = (weights_RD * self.wrong_D[order_D]).cumsum(1)[:, last_D]
        with np.errstate(invalid="ignore"):
            risks_RD = np.nan_to_num(wrong_RD / weights_RD.cumsum(1)[:, last_D])
            return (risks_RD * weights_RD).sum(1) / weights_RD.sum(1)

    def at_ones(self) -> Self:
        """Itself with its value."""
        return replace(self, value=float(self.value_at(np.ones((1, len(self.rows_N))))[0]))

    def subset(self, keep_N: Bools) -> Self:
        """The curve of some answers."""
        kept_D = keep_N[self.samples_D]
        return replace(
            self,
            rows_N=self.rows_N[keep_N],
            chances_D=self.chances_D[kept_D],
            wrong_D=self.wrong_D[kept_D],
            samples_D=(np.cumsum(keep_N) - 1)[self.samples_D[kept_D]],
        ).at_ones()

    def aggregate(self, codes_N: Ints, num: int) -> Self:
        """The same answers, each weighted with its cluster."""
        return replace(self, rows_N=np.arange(num), samples_D=codes_N[self.samples_D])

    def concat(self, other: Self) -> Self:
        """One curve of both systems' answers."""
        return replace(
            self,
            value=float("nan"),
            rows_N=np.arange(len(self.rows_N) + len(other.rows_N)),
            chances_D=np.concatenate([self.chances_D, other.chances_D]),
            wrong_D=np.concatenate([self.wrong_D, other.wrong_D]),
            samples_D=np.concatenate([self.samples_D, other.samples_D + len(self.rows_N)]),
        )
