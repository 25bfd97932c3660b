"""What the owners of a set have published about it, and how many of that is here: `medglip data check` prints it.

A layout's file may hold `PUBLISHED`, and `describe_reading(**options) -> str`, which says what its options do to boxes.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from .settings import LAYOUTS, DataSettings

if TYPE_CHECKING:
    from datasets import Dataset


@dataclass(frozen=True, kw_only=True)
class Published:
    """`images`: their number by our name of a split, or under "" where only that of the whole set is known.

    `pairs`: of an image and a phrase that has boxes there, of the whole set; 0: not published. `note`: why a whole copy
    shows another number, after the version.
    """

    version: str
    licence: str
    citation: str
    images: Mapping[str, int]
    pairs: int = 0
    note: str = ""


def count_pairs(data: "Dataset") -> Counter[str]:
    """Of each data set the pairs of an image and a phrase that has a region there (`IMAGE_FEATURES`)."""
    from .schema import region_phrases, tables  # pyarrow

    counts: Counter[str] = Counter()
    for table in tables(data, ["dataset", "regions"]):
        for name, phrases in zip(table["dataset"].to_pylist(), region_phrases(table), strict=True):
            counts[name] += len(set(phrases))
    return counts


def compare(
    sets: Iterable[DataSettings], rows: Iterable[Mapping[str, Any]], pairs: Mapping[str, int] | None = None
) -> list[str]:
    """Lines on each set whose layout states what was published.

    `rows`: those of `export.describe`; `pairs`: of `count_pairs`, None where nobody counted.
    """
    counts: Counter[tuple[str, str]] = Counter()
    for row in rows:
        counts[row["dataset"], row["split"]] += row["images"]
        counts[row["dataset"], ""] += row["images"]
    lines: list[str] = []
    for settings in sets:
        layout = LAYOUTS[settings.layout]
        if layout.module:
            continue
        module = import_module(f".layouts.{settings.layout}", __package__)
        if (published := getattr(module, "PUBLISHED", None)) is not None:
            parts = [
                f"{counts[settings.name, split]:,} of {number:,} published images" + (f" of {split}" if split else "")
                for split, number in published.images.items()
            ]
            if published.pairs and pairs is not None:
                here = pairs.get(settings.name, 0)
                parts.append(f"{here:,} of {published.pairs:,} published image-sentence pairs with boxes")
            lines.append(f"{settings.name}: {', '.join(parts)} (version {published.version}{published.note})")
            lines.append(f"{settings.name}: {published.licence}; cite {published.citation}")
        if (describe := getattr(module, "describe_reading", None)) is not None:
            options = {name: getattr(settings, name) for name in layout.options}
            lines.append(f"{settings.name}: {describe(**{name: value for name, value in options.items() if value})}")
    return lines
