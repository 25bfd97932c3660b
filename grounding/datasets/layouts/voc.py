"""Pascal VOC: `Annotations/*.xml`, `JPEGImages/`, splits in `ImageSets/Main/`. Object names are the phrases.

Read with it here: BCCD, blood smears (github.com/Shenggan/BCCD_Dataset, MIT).
Traps: boxes are read as written, xmin and ymin from 0, xmax and ymax beyond the last pixel (labelling tools write them
so; the first VOC sets counted from 1); a few boxes have no area; some cells of BCCD are not labelled, though its three
names are taken as exhaustive. Patients are not recorded: every image is a group of its own.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import numpy as np

from ...bad_input import BadInput, Skipped, explain
from ...foreign import read_text
from ...imaging.read import image_size
from ...types import AnnotatedImage, Region
from ...vocabulary.labels import load_labels
from ..corpus import one_spelling
from ..rows import annotate, existing_folder, images_by_stem, region, skipping

_CORNERS = ("xmin", "ymin", "xmax", "ymax")


def read(folder: Path, skipped: Skipped, *, modality: str = "unknown") -> Iterator[AnnotatedImage]:
    """Images of the folder, one at a time; split as in `ImageSets/Main/{train,val,test}.txt`, else "".

    Every name that occurs in the set is annotated exhaustively on each image. Objects and files that cannot be used go
    to `skipped`. Raises `BadInput` if a folder is missing.
    """
    images = images_by_stem(folder / "JPEGImages")
    splits = _read_splits(folder / "ImageSets" / "Main", images, skipped)
    roots: dict[Path, Element] = {}
    for file in sorted(existing_folder(folder / "Annotations").glob("*.xml")):
        with skipping(skipped, file), explain("not XML", ElementTree.ParseError, fix="copy or export the file again"):
            roots[file] = ElementTree.parse(file).getroot()
    # a name of the set that no object of an image bears is absent there, so all files are parsed before the first image
    names = sorted({object_phrase(item) for root in roots.values() for item in root.iter("object")} - {""})
    for file, root in roots.items():
        with skipping(skipped, file):
            if (stem := one_spelling(file.stem)) not in images:
                raise BadInput(f"no image {file.stem} in JPEGImages.", fix="add the image, or remove its XML file")
            path = images[stem]
            size = image_size(path)
            regions: list[Region] = []
            items = list(root.iter("object"))
            for number, item in enumerate(items, 1):
                with skipping(skipped, file, f"object {number}"):
                    regions.append(object_region(item, size))
            named, facts = map(object_phrase, items), {"modality": modality, "split": splits.get(stem, "")}
            yield annotate(folder, file.stem, path, regions, names, named, size_px=size, **facts)


def _read_splits(folder: Path, images: Mapping[str, Path], skipped: Skipped) -> dict[str, str]:
    """Split of each image by stem, as the lists name it: one name a line, with or without its suffix.

    A class's list has a number behind the name, `000001 -1`. Lines that fit no image, and an image in a second list,
    go to `skipped`; of two lists test goes before val, val before train, so that nothing scored is trained on.
    """
    stems = {name: stem for stem, path in images.items() for name in (one_spelling(path.name), stem)}
    splits: dict[str, str] = {}
    for split in ("test", "val", "train"):  # trainval.txt and others are left alone
        file = folder / f"{split}.txt"
        for number, line in enumerate(read_text(file).splitlines() if file.is_file() else (), 1):
            with skipping(skipped, file, number):
                said = one_spelling(line.strip())
                names = (said, re.sub(r"\s+-?[01]$", "", said))
                stem = next((stems[name] for name in names if name in stems), None)
                if names[0] and stem is None:
                    raise BadInput(
                        f"no image {names[0]!r} in JPEGImages.", fix="one name a line, as the file is called"
                    )
                if stem is not None and splits.setdefault(stem, split) != split:
                    raise BadInput(f"{stem} is in {splits[stem]}.txt too.", fix="name an image in one list")
    return splits


def object_region(item: Element, size_px: tuple[int, int]) -> Region:
    """The region of an object. Raises `BadInput` for one without name or corners."""
    if not object_phrase(item):
        raise BadInput("object without a name.", fix="give it a <name>")
    corners = {name: item.findtext(f"bndbox/{name}") for name in _CORNERS}
    if missing := [name for name, text in corners.items() if text is None]:
        raise BadInput(f"box without {', '.join(missing)}.", fix="give xmin, ymin, xmax and ymax")
    box = np.array([float(text or "") for text in corners.values()], np.float32)
    return region(object_phrase(item), box, size_px)


def object_phrase(item: Element) -> str:
    """Its label; "" where it has no name."""
    return load_labels().label(item.findtext("name", ""))
