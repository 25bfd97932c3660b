"""Where the images of a page, a table or a case come from, in words, by the data sets that the records name."""

from collections.abc import Iterable

from ..records import Record

DRAWN = ("phantom",)
"""Data sets whose images are drawn."""
SYNTHETIC = "All images are synthetic phantoms: drawn, not of patients."


def origin(dataset: str) -> str:
    """Where an image of a data set comes from: "phantom, synthetic", "iu_xray"."""
    return f"{dataset}, synthetic" if dataset in DRAWN else dataset


def origins(records: Iterable[Record]) -> str:
    """How many images come from where: "84 of phantom, synthetic; 14 of iu_xray"; each image counts once."""
    images = dict.fromkeys((record["dataset"], record["image_id"]) for record in records)
    counts: dict[str, int] = {}
    for dataset, _ in images:
        counts[dataset] = counts.get(dataset, 0) + 1
    return "; ".join(f"{count} of {origin(dataset)}" for dataset, count in counts.items())


def where_from(records: Iterable[Record]) -> str:
    """The sentence on top of a page: synthetic is said only of images that are."""
    rows = list(records)
    drawn = [row["dataset"] in DRAWN for row in rows]
    if rows and all(drawn):
        return SYNTHETIC
    some = " Phantoms are drawn, not of patients." if any(drawn) else ""
    return f"Images: {origins(rows)}.{some}"
