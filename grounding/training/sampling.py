"""Which data set is drawn how often: by size, by weight, and old sets for rehearsal."""

import sys
from collections import Counter
from collections.abc import Sequence

from datasets import Dataset

from ..datasets.schema import tables
from ..datasets.settings import DataSettings
from .examples import Example
from .settings import MixtureSettings


def chances(datasets: Sequence[str], sets: Sequence[DataSettings], mixture: MixtureSettings) -> list[float] | None:
    """Chance of each example, by the name of its data set, up to a factor; None where all are alike.

    `sets`: what the recipe says of them; a set that it does not name has weight 1.
    """
    known, sizes = {d.name: d for d in sets}, Counter(datasets)
    weight = {d: n ** (1 / mixture.temperature - 1) * (known[d].weight if d in known else 1) for d, n in sizes.items()}
    is_old = {d: d in known and known[d].rehearse for d in sizes}
    old, new = (sum(weight[d] * sizes[d] for d in sizes if is_old[d] is kind) for kind in (True, False))
    if old and new:
        share = {True: mixture.rehearsal / old, False: (1 - mixture.rehearsal) / new}
        weight = {d: w * share[is_old[d]] for d, w in weight.items()}
    return None if len(set(weight.values())) < 2 else [weight[name] for name in datasets]


def datasets_of(examples: Sequence[Example], rows: Dataset) -> list[str]:
    """Data set of each example; where none was skipped, images need not be read for it."""
    if len(examples) < len(rows):
        return [example.image.dataset for example in examples]
    names = (name for part in tables(rows, ["dataset"]) for name in part["dataset"].to_pylist())
    return [sys.intern(name) for name in names]  # one string a set, not one a row
