"""Regions by the name of their picture, whatever format they come in."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path, PurePosixPath

from ...bad_input import BadInput
from ...datasets.corpus import one_spelling
from ...types import AnnotatedImage, Region

RegionsOf = Callable[[tuple[int, int]], list[Region]]
"""(width, height) of the picture as it is -> its regions; raises `BadInput` where the file means another size."""


class GivenRegions(ABC):
    """What a file holds. `phrases`: every name in it."""

    phrases: tuple[str, ...]

    @abstractmethod
    def of(self, image: AnnotatedImage) -> list[Region] | None:
        """The regions of a picture, whatever they are called; None where the file does not know it."""


class ByName(GivenRegions):
    """Regions under the names that the file gives its pictures: `a.png`, `x/a.jpg`, `a`."""

    def __init__(self, file: Path, rows: Mapping[str, RegionsOf], phrases: Iterable[str]):
        if not rows:
            raise BadInput("names no picture.", file=file, fix="give a file with regions")
        self.file, self.phrases = file, tuple(sorted(set(phrases)))
        self.rows = {one_spelling(name): regions for name, regions in rows.items()}
        self.names: dict[str, list[str]] = {}  # each way to say a name -> the names so said
        for name in self.rows:
            path = PurePosixPath(name.replace("\\", "/"))
            for said in dict.fromkeys((path.as_posix(), path.with_suffix("").as_posix(), path.name, path.stem)):
                self.names.setdefault(said, []).append(name)

    def of(self, image: AnnotatedImage) -> list[Region] | None:
        """By as much of the path as the file tells, then by the name alone, with its suffix or without.

        Raises `BadInput` where the name alone means several pictures.
        """
        parts = [one_spelling(part) for part in image.image_path.parts]
        for path in (PurePosixPath(*parts[start:]) for start in range(len(parts))):
            for said in (path.as_posix(), path.with_suffix("").as_posix()):
                names = self.names.get(said, [])
                if len(names) > 1 and said not in self.rows:
                    problem = f"{said!r} means several pictures: {', '.join(names[:3])}."
                    raise BadInput(problem, file=self.file, fix="name folders and pictures there as they lie here")
                if names:
                    return self.rows[said if said in self.rows else names[0]](image.size_px)
        return None
