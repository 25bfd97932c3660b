"""The data card of a built dataset: what is in it, by every property a row has; what was left out, and why."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ...types import NOTICE
from ...vocabulary.labels import load_labels
from .harmonize import NOT_STATED, Notes
from .manifest import BuildSettings

_BY_ROW = ("dataset", "modality", "body_region", "licence", "source")
TALLIED = (*_BY_ROW, "split", "size_px", "regions")
"""Columns that `tally` counts over, as far as a table has them."""

_MAX_LABELS = 2000
_LABELS_SHOWN = 100
_SIZES = ((0.01, "below 1 % of the image"), (0.1, "1 to 10 %"), (1.01, "above 10 %"))
Tally = Counter[tuple[str, str, str, str]]


def tally(rows: pa.RecordBatch | pa.Table) -> Tally:
    """Counts by (property, value, split, "images" or "regions"): columns of a row, label level, box size.

    The level of a region is its label's (organ, part, finding); its size is its box's part of the image's area.
    """
    counter: Tally = Counter()
    splits = rows["split"].to_pylist()
    regions = rows["regions"].combine_chunks() if isinstance(rows, pa.Table) else rows["regions"]
    counts = pc.list_value_length(regions).to_pylist()  # pyright: ignore
    for name in (name for name in _BY_ROW if name in rows.schema.names):
        for value, split, count in zip(rows[name].to_pylist(), splits, counts, strict=True):
            counter[name, value or NOT_STATED, split, "images"] += 1
            counter[name, value or NOT_STATED, split, "regions"] += count
    # regions of all rows in one flat list, with the row of each: two rows with 2 and 1 of them have the owners 0 0 1
    areas = np.array(rows["size_px"].to_pylist(), float).reshape(-1, 2).prod(1)
    owners = np.repeat(np.arange(len(splits)), counts)
    flat = regions.flatten()
    level_of = cache(load_labels().level)
    levels = [level_of(phrase) or "outside the tree" for phrase in flat.field("phrase").to_pylist()]
    boxes = flat.field("box_xyxy_px").flatten().to_numpy(zero_copy_only=False).reshape(-1, 4)
    parts = (boxes[:, 2:] - boxes[:, :2]).prod(1) / areas[owners]
    for owner, level, part in zip(owners.tolist(), levels, parts.tolist(), strict=True):
        size = next(name for limit, name in _SIZES if part < limit or limit > 1)
        counter["level", level, splits[owner], "regions"] += 1
        counter["box size", size, splits[owner], "regions"] += 1
    return counter


def tally_rows(counts: Tally, name: str) -> list[dict[str, Any]]:
    """One row a value of a property, sorted: value, images and regions, and for each split "images / regions"."""
    splits = sorted({split for key, _, split, _ in counts if key == name}, key=lambda s: (s != "train", s != "val", s))
    values = sorted({value for key, value, _, _ in counts if key == name})
    rows: list[dict[str, Any]] = []
    for value in values:
        row: dict[str, Any] = {name: value}
        for unit in ("images", "regions"):
            row[unit] = sum(counts[name, value, split, unit] for split in splits)
        for split in splits:
            row[split] = f"{counts[name, value, split, 'images']} / {counts[name, value, split, 'regions']}"
        # levels and box sizes are properties of regions: "0 / 5" becomes "5", and the column of images goes
        rows.append(row if row["images"] else {k: str(v).removeprefix("0 / ") for k, v in row.items() if k != "images"})
    return rows


@dataclass
class CardFacts:
    """Everything the card says. `excluded`: (set, kind) -> rows; `labels`: (set, its label, ours, kind) -> regions."""

    name: str
    kept: int
    alike_left_in: int
    read: Counter[str] = field(default_factory=Counter)
    tightened: int = 0
    labels: Counter[tuple[str, str, str, str]] = field(default_factory=Counter)
    excluded: Counter[tuple[str, str]] = field(default_factory=Counter)
    tally: Tally = field(default_factory=Counter)
    shards: list[dict[str, Any]] = field(default_factory=list)

    def add_notes(self, source: str, notes: Notes) -> None:
        """Count the notes of a part; of labels the first 2,000 of each kind, so that sentences cannot fill memory."""
        self.read[source] += notes.rows
        self.tightened += notes.tightened
        for key, count in notes.labels.items():
            if (source, *key) in self.labels or len(self.labels) < _MAX_LABELS:
                self.labels[source, *key] += count

    def labels_of(self, *kinds: str) -> list[dict[str, Any]]:
        """Labels that came about so: set, label, what became of it, regions."""
        rows = sorted((key, count) for key, count in self.labels.items() if key[3] in kinds)
        names = ("set", "its label", "here", "how")
        return [{**dict(zip(names, key, strict=True)), "regions": count} for key, count in rows]

    def to_json(self) -> dict[str, Any]:
        """Plain values; the inverse of `from_json`."""
        names = ("read", "labels", "excluded", "tally")
        return {**vars(self), **{name: [[key, n] for key, n in sorted(getattr(self, name).items())] for name in names}}

    @staticmethod
    def from_json(values: Mapping[str, Any]) -> "CardFacts":
        """The facts of `shards.json`."""
        counters = {
            name: Counter({tuple(key) if isinstance(key, list) else key: n for key, n in values[name]})
            for name in ("read", "labels", "excluded", "tally")
        }
        return CardFacts(**{**values, **counters})


def card(settings: BuildSettings, facts: CardFacts) -> str:
    """The card as Markdown, with the front matter that dataset hubs read."""
    regions = sum(n for key, n in facts.tally.items() if key[0] == "dataset" and key[3] == "regions")
    kinds = sorted({kind for _, kind in facts.excluded})
    left_out: list[dict[str, Any]] = []
    for name in (source.set_name for source in settings.sources):
        left_out.append({"set": name, "read": facts.read[name], **{k: facts.excluded[name, k] for k in kinds}})
    reasons = (
        "Each with its reason in `excluded.jsonl`. unreadable: rows, regions or files that the reader could not use; "
        "labels: images of which no label stayed; copy: pixels of a row of an earlier set, or of a held-out row of the "
        "same set; near copy: look of a row of an earlier set (difference hashes within 2 bits, thumbnails that "
        f"correlate at 0.95). Within a set {facts.alike_left_in} train images look like a held-out one and stayed: "
        "slices of one kind are alike."
    )
    open_rows, given = facts.labels_of("unknown", "ambiguous"), facts.labels_of("mapped", "left out")
    more = f"\n\n... and {len(open_rows) - _LABELS_SHOWN} more" if len(open_rows) > _LABELS_SHOWN else ""
    explained = [f"## Labels that the manifest explains\n\n{_table(given)}"] if given else []
    parts = [
        "---\nconfigs:\n- config_name: default\n  data_files: data-*.parquet\n---",
        f"# {facts.name}",
        f"{facts.kept} images with {regions} regions of {len(settings.sources)} sets, built by `medglip data build`. "
        f"{NOTICE} Each row keeps the licence of its set: mind it before anything is passed on.",
        "Read with `datasets.load_dataset('parquet', data_files='data-*.parquet', streaming=True)`, or as layout "
        "`built` of a recipe. Manifest: `build.json`. Splits: the set's own where it has any, else by group (patient) "
        f"with seed {settings.seed}.",
        *(f"## By {name}\n\n{_table(tally_rows(facts.tally, name))}" for name in (*_BY_ROW[:4], "level", "box size")),
        "In the columns of splits: images / regions, or regions alone.",
        f"## Left out\n\n{_table(left_out)}\n\n{reasons}",
        "## Unknown and ambiguous labels\n\nLabels that the tree does not hold, or that mean several things in it; "
        f"nothing is guessed.\n\n{_table(open_rows[:_LABELS_SHOWN]) or 'None.'}{more}",
        *explained,
        f"{facts.tightened} boxes were drawn anew, tight around their masks.",
    ]
    return "\n\n".join(parts) + "\n"


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows of one shape as a Markdown table."""
    if not rows:
        return ""
    cells = [list(rows[0]), ["---"] * len(rows[0]), *([str(value) for value in row.values()] for row in rows)]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in cells)
