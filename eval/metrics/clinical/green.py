"""GREEN: findings that a report has in common with its reference, against its errors, as a judge counted them.

Where they stand: `meta.green` of a record, `{"matched": 3, "significant": {"a": 1, ...}, "insignificant": {...}}`.
Errors: a, a finding that is not there; b, one that is missing; c, a wrong place; d, a wrong severity; e, a comparison
that the reference has not; f, a comparison left out. Rules: Ostmeier et al. 2024 (arXiv 2405.03595): matched findings
over these and the clinically significant errors; 0 where nothing matches.
"""

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import BaseModel, Field

from ...statistics.measure import Measures, mean

ERRORS = ("a", "b", "c", "d", "e", "f")
Count = Annotated[int, Field(ge=0)]


class Counts(BaseModel):
    """`meta.green` of one record."""

    matched: Count
    significant: dict[str, Count] = {}
    insignificant: dict[str, Count] = {}


Form = Counts


def green(counts: Counts) -> float:
    """In [0, 1]."""
    errors = sum(counts.significant.values())
    return counts.matched / (counts.matched + errors) if counts.matched else 0.0


def measures(values: Sequence[Counts], rows: Sequence[int], *_others: Any) -> tuple[Measures, list[str]]:
    """`green`, the mean over reports, and green_errors, significant errors a report; there is nothing to note."""
    errors = [float(sum(value.significant.values())) for value in values]
    return {"green": mean([green(value) for value in values], rows), "green_errors": mean(errors, rows)}, []
