"""`regions.jsonl`: a line a picture with `image`, `size_px` and `regions`, as `medglip grounding predict` writes it."""

from pathlib import Path
from typing import Any

from ...bad_input import BadInput, explain
from ...files import numbered_lines
from ...types import Region, region_from_json
from .by_name import ByName, RegionsOf


def fits(path: Path) -> bool:
    """By its suffix."""
    return path.suffix == ".jsonl" and path.is_file()


def read(path: Path, references: Path | None) -> ByName:
    """The last line of a picture counts. Raises `BadInput` with the row that is none."""
    rows: dict[str, RegionsOf] = {}
    phrases: list[str] = []
    for number, row in numbered_lines(path):
        with explain("no line of regions", KeyError, TypeError, ValueError, file=path, fix="give image and regions"):
            regions = [region_from_json(region) for region in row["regions"]]
            rows[str(row["image"])] = _regions(path, number, row, regions)
        phrases += [region.phrase for region in regions]
    return ByName(path, rows, phrases)


def _regions(path: Path, number: int, row: dict[str, Any], regions: list[Region]) -> RegionsOf:
    def of(size_px: tuple[int, int]) -> list[Region]:
        check_size(row.get("size_px"), size_px, path, number)
        for region in regions:
            check_inside(region, size_px, path, number)
        return regions

    return of


def check_size(stated: Any, size_px: tuple[int, int], path: Path, row: int | str) -> None:
    """Raises `BadInput` where regions are of a picture of another size, so that boxes would lie elsewhere."""
    if stated is not None and tuple(stated) != size_px:
        problem = f"regions of a picture of {tuple(stated)} pixels, but it has {size_px}."
        raise BadInput(problem, file=path, row=row, fix="use the picture that they were found in")


def check_inside(region: Region, size_px: tuple[int, int], path: Path, row: int | str) -> None:
    """Raises `BadInput` for a box that lies beyond its picture, by more than a rounding."""
    x0, y0, x1, y1 = region.box_xyxy_px
    if min(x0, y0) < -1 or x1 > size_px[0] + 1 or y1 > size_px[1] + 1:
        problem = f"box of {region.phrase!r} leaves the picture of {size_px} pixels."
        raise BadInput(problem, file=path, row=row, fix="boxes are pixels of the picture as it is stored")
