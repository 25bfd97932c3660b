"""A metric from its sums: the value is the formula at unit weights, so that both can never part."""

from collections.abc import Callable, Sequence

import numpy as np

from ..statistics.measure import Floats, Sums


def sums(columns_NK: Floats, formula: Callable[[Floats], Floats], rows: Sequence[int] | None = None) -> Sums:
    """`Sums` of columns and a formula. `rows`: places among the inputs, by default all in order."""
    return Sums(
        value=float(formula(columns_NK.sum(0, keepdims=True))[0]),
        rows_N=np.arange(len(columns_NK)) if rows is None else np.asarray(rows, np.int64),
        columns_NK=columns_NK,
        formula=formula,
    )


def ratio(sums_R2: Floats) -> Floats:
    """float64[R]: the first sum over the second; nan over 0."""
    return divide(sums_R2[:, 0], sums_R2[:, 1], float("nan"))


def divide(upper: Floats, lower: Floats, otherwise: float) -> Floats:
    """The quotient of two arrays, `otherwise` where the lower is 0."""
    return np.divide(upper, lower, out=np.full(upper.shape, otherwise), where=lower != 0)
