"""Pascal VOC: `Annotations/*.xml`, `JPEGImages/`, splits in `ImageSets/Main/`. Object names are the phrases.

Read with it here: BCCD, blood smears (github.com/Shenggan/BCCD_Dataset, MIT).
Traps: boxes are read as written, xmin and ymin from 0, xmax and ymax beyond the last pixel (labelling tools write them
so; the first VOC sets counted from 1); a few boxes have no area; some cells of BCCD are not labelled, though its three
names are taken as exhaustive. Patients are not recorded: every image is a group of its own.
"""

from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import numpy as np

from ...bad_input import BadInput, Skipped
from ...imaging.read import image_size
from ...types import AnnotatedImage, Region
from ...vocabulary.labels import load_labels
from ..rows import annotate, existing_folder, images_by_stem, region, skipping

_CORNERS = ("xmin", "ymin", "xmax", "ymax")


def read(folder: Path, skipped: Skipped, *, modality: str = "unknown") -> Iterator[AnnotatedImage]:
    """Images of the folder, one at a time; split as in `ImageSets/Main/{train,val,test}.txt`, else "".

    Every name that occurs in the set is annotated exhaustively on each image. Objects and files that cannot be used go
    to `skipped`. Raises `BadInput` if a folder is missing.
    """
    images = images_by_stem(folder / "JPEGImages")
    splits: dict[str, str] = {}
    for split in ("train", "val", "test"):  # trainval.txt and others are left alone
        file = folder / "ImageSets" / "Main" / f"{split}.txt"
        if file.is_file():
            splits.update(dict.fromkeys(file.read_text(encoding="utf-8").split(), split))
    roots: dict[Path, Element] = {}
    for file in sorted(existing_folder(folder / "Annotations").glob("*.xml")):
        with skipping(skipped, file):
            try:
                roots[file] = ElementTree.parse(file).getroot()
            except ElementTree.ParseError as error:
                raise BadInput(f"not XML: {error}.", file=file, fix="copy or export the file again") from error
    # a name of the set that no object of an image bears is absent there, so all files are parsed before the first image
    names = sorted({_phrase(item) for root in roots.values() for item in root.iter("object")} - {""})
    for file, root in roots.items():
        with skipping(skipped, file):
            if file.stem not in images:
                raise BadInput(f"no image {file.stem} in JPEGImages.", fix="add the image, or remove its XML file")
            path = images[file.stem]
            size = image_size(path)
            regions: list[Region] = []
            items = list(root.iter("object"))
            for number, item in enumerate(items, 1):
                with skipping(skipped, file, f"object {number}"):
                    if not _phrase(item):
                        raise BadInput("object without a name.", fix="give it a <name>")
                    corners = {name: item.findtext(f"bndbox/{name}") for name in _CORNERS}
                    if missing := [name for name, text in corners.items() if text is None]:
                        raise BadInput(f"box without {', '.join(missing)}.", fix="give xmin, ymin, xmax and ymax")
                    box = np.array([float(text or "") for text in corners.values()], np.float32)
                    regions.append(region(_phrase(item), box, size))
            named, facts = map(_phrase, items), {"modality": modality, "split": splits.get(file.stem, "")}
            yield annotate(folder, file.stem, path, regions, names, named, size_px=size, **facts)


def _phrase(item: Element) -> str:
    return load_labels().label(item.findtext("name", ""))
