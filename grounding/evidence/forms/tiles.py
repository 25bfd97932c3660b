"""The control of crops at equal image tokens: the picture in as many parts, wherever its regions are."""

from collections import Counter

from PIL import Image

from ...vocabulary.box_notation import BoxText
from ..evidence import Evidence, EvidenceSettings
from . import EvidenceForm, Images
from .crops import chosen


class TilesForm(EvidenceForm):
    """As many parts of each image as the form `crops` would cut out of it; that number is all they tell of regions."""

    def make_images(self, images: Images, evidence: Evidence, settings: EvidenceSettings) -> list[Image.Image]:
        """The parts of each image in turn, row by row."""
        return [part for of, num in _counts(evidence, settings) for part in tile(images[of - 1], num)]

    def caption_images(self, evidence: Evidence, settings: EvidenceSettings, box_text: BoxText) -> list[str]:
        """`part 1 of 2 of image 1`."""
        counts = _counts(evidence, settings)
        return [f"part {part} of {num} of image {of}" for of, num in counts for part in range(1, num + 1)]


def _counts(evidence: Evidence, settings: EvidenceSettings) -> list[tuple[int, int]]:
    """(number of an image, how many parts of it)."""
    return sorted(Counter(of for _, of, _ in chosen(evidence, settings)).items())


def tile(image: Image.Image, num: int) -> list[Image.Image]:
    """The image in `num` equal parts that cover it, row by row: of all grids of so many, the one nearest to squares."""
    grids = [(columns, num // columns) for columns in range(1, num + 1) if num % columns == 0]

    def stretch(grid: tuple[int, int]) -> float:
        sides = image.width / grid[0], image.height / grid[1]
        return max(sides) / min(sides)

    columns, rows = min(grids, key=stretch)
    xs = [image.width * column // columns for column in range(columns + 1)]
    ys = [image.height * row // rows for row in range(rows + 1)]
    return [image.crop((xs[c], ys[r], xs[c + 1], ys[r + 1])) for r in range(rows) for c in range(columns)]


FORM = TilesForm()
