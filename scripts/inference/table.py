"""Results as a CSV file, for spreadsheets; the JSON lines beside it hold everything."""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

from ...grounding.files import write_atomic
from ...grounding.types import Region

COLUMNS = ("image", "question", "answer", "probability")
REGION_COLUMNS = ("image", "phrase", "score", "x0", "y0", "x1", "y1")


class Table:
    """A CSV file that is written row by row, so that an interrupted call keeps what it has."""

    def __init__(self, path: Path, columns: Sequence[str]):
        self.path = path
        write_atomic(path, ",".join(columns) + "\n")

    def add(self, rows: Iterable[Sequence[object]]) -> None:
        """One line a row, in the order of the columns; None is an empty cell, numbers have four places."""
        plain = [[round(cell, 4) if isinstance(cell, float) else cell for cell in row] for row in rows]
        with self.path.open("a", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows(plain)


def region_rows(image: str, regions: Iterable[Region]) -> list[tuple[object, ...]]:
    """A row a region; boxes in pixels of the image."""
    return [(image, r.phrase, float(r.score), *(round(float(value), 1) for value in r.box_xyxy_px)) for r in regions]
