"""Chest ImaGenome: `silver_dataset/scene_graph/*_SceneGraph.json`, `silver_dataset/splits/*.csv`, beside MIMIC-CXR.

Source: physionet.org/content/chest-imagenome/1.0.0 (PhysioNet Credentialed Health Data License 1.5.0: access by
training and agreement only, nothing of it may be passed on); Wu et al. 2021, "Chest ImaGenome Dataset for Clinical
Reasoning" (NeurIPS Datasets and Benchmarks), doi 10.13026/wv01-y230. 242,072 frontal images of MIMIC-CXR. Boxes are of
an atlas-based detector and attributes of rules over the report's sentences: both are silver, not drawn by hand.
Layout: `scene_graph.zip` unpacked in its place (also one folder deeper); `path` holds links to MIMIC-CXR-JPG's `files`
and its -split and -metadata csv.gz. A graph has `objects` ({bbox_name, original_x1, original_y1, original_x2,
original_y2 ...}, pixels of the original image) and `attributes` ({bbox_name, attributes: [["anatomicalfinding|yes|lung
opacity", ...], ...]}, one list a sentence).
Regions: the 29 places of the paper, and findings, diseases, tubes and devices that a sentence sees in one of them,
in the boxes of that place; of places inside each other the smaller one. What a sentence denies, and none sees, is
absent; what one sees and another denies at one place is unknown.
Split: `train`, `valid`, `test` by patient, not those of MIMIC-CXR. A patient whom either of them tests, or of
`images_to_avoid.csv` (the gold set's patients), is `test`; so no test patient of MIMIC-CXR is ever learned.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...bad_input import BadInput, Skipped
from ...foreign import read_csv
from ...geometry import area
from ...imaging.read import image_size
from ...types import AnnotatedImage, Region
from ...vocabulary.labels import load_labels
from ..mimic import SPLITS, Film, film_file, have_same_shape, read_films, splits_by_subject, strictest
from ..published import Published
from ..rows import annotate, need_images, read_object, region, skipping

PUBLISHED = Published(
    version="1.0.0",
    licence="PhysioNet Credentialed Health Data License 1.5.0",
    citation="Wu et al. 2021, doi 10.13026/wv01-y230",
    images={"": 242_072},
    note="; its split files name 237,867 of them",
)
_SIDED = ("lung", "apical zone", "upper lung zone", "mid lung zone", "lower lung zone", "hilar structures")
_SIDED += ("costophrenic angle", "hemidiaphragm", "clavicle")
PLACES = (
    *(f"{side} {name}" for side in ("right", "left") for name in _SIDED),
    *("mediastinum", "upper mediastinum", "cardiac silhouette", "trachea", "spine", "right atrium"),
    *("cavoatrial junction", "svc", "carina", "aortic arch", "abdomen"),
)
"""The 29 places by their names in the files."""
_SEEN = ("anatomicalfinding", "disease", "tubesandlines", "device")
_COLUMNS = ("dicom_id", "subject_id", "path")
_NESTED = 0.9
"""A place whose box lies with so much of its area in another's is inside it."""


def read(folder: Path, skipped: Skipped, *, modality: str = "xray") -> Iterator[AnnotatedImage]:
    """Images that have a scene graph, one at a time, in the order of the split files.

    Images without a graph or a file go to `skipped`. Raises `BadInput` for a missing csv file or column, for graphs
    that are still packed, and where no image is left.
    """
    silver = folder / "silver_dataset"
    graphs = next((p for p in (silver / "scene_graph" / "scene_graph", silver / "scene_graph") if p.is_dir()), None)
    if graphs is None:
        fix = "unpack scene_graph.zip there" if (silver / "scene_graph.zip").is_file() else "is `layout` right?"
        raise BadInput("no such folder.", file=silver / "scene_graph", fix=fix)
    films = read_films(folder)
    rows = _read_splits(silver / "splits", films)

    def images() -> Iterator[AnnotatedImage]:
        for dicom_id, (split, stated) in rows.items():
            file = graphs / f"{dicom_id}_SceneGraph.json"
            with skipping(skipped, file):
                graph = read_object(file, ("objects", "attributes"))
                path, film = film_file(folder, stated, dicom_id), films.get(dicom_id)
                yield _image(folder, graph, dicom_id, path, film, skipped, file, modality=modality, split=split)

    return need_images(images(), folder, skipped)


def _read_splits(folder: Path, films: Mapping[str, Film]) -> dict[str, tuple[str, str]]:
    """(split, published path) of each image by DICOM id, the strictest split of its patient."""
    mimic, avoided, gold = splits_by_subject(films), folder / "images_to_avoid.csv", set[str]()
    if avoided.is_file():
        for _, row in read_csv(avoided, ("dicom_id",)):
            film = films.get(row["dicom_id"])
            gold.add(row.get("subject_id") or (film.subject if film else ""))
    rows: dict[str, tuple[str, str]] = {}
    for name in ("train", "valid", "test"):
        for _, row in read_csv(folder / f"{name}.csv", _COLUMNS):
            subject = row["subject_id"]
            split = strictest(SPLITS[name], mimic.get(subject, ""), "test" if subject in gold else "")
            rows[row["dicom_id"]] = split, row["path"]
    return rows


def _image(
    folder: Path,
    graph: Mapping[str, Any],
    dicom_id: str,
    path: Path,
    film: Film | None,
    skipped: Skipped,
    file: Path,
    **facts: str,
) -> AnnotatedImage:
    size = image_size(path)
    recorded = film.size_px if film and film.size_px else size
    if not have_same_shape(size, recorded):
        problem = f"boxes are for {recorded[0]} x {recorded[1]} pixels, the image of {size} has another shape."
        raise BadInput(problem, file=path, fix="resize the original image without cropping or padding")
    scale = np.array([size[0] / recorded[0], size[1] / recorded[1]] * 2, np.float32)
    boxes: dict[str, NDArray[np.float32]] = {}
    regions: list[Region] = []
    for number, row in enumerate(graph["objects"], 1):
        with skipping(skipped, file, f"object {number}"):
            if (name := row["bbox_name"]) in PLACES and name not in boxes:
                corners = np.array([row[f"original_{key}"] for key in ("x1", "y1", "x2", "y2")], np.float32)
                regions.append(region(load_labels().label(name), corners * scale, size))
                boxes[name] = regions[-1].box_xyxy_px
    places = [load_labels().label(name) for name in boxes]
    seen, denied = _findings(graph["attributes"])
    named = dict.fromkeys([*places, *seen])
    for phrase, where in seen.items():
        sure = [name for name in where if name in boxes and name not in denied.get(phrase, ())]
        regions += [region(phrase, boxes[name], size) for name in _innermost(sure, boxes)]
    there = {word for phrase in named for word in (phrase, *load_labels().path(phrase))}
    absent = [phrase for phrase in denied if phrase not in there]
    group = f"p{film.subject}" if film else f"p{graph.get('patient_id', dicom_id)}"
    looked_for = [*named, *absent]
    return annotate(
        folder, dicom_id, path, regions, looked_for, named, size_px=size, group=group, body_part="chest", **facts
    )


def _findings(rows: list[dict[str, Any]]) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """(phrase -> places where a sentence sees it, phrase -> places where one denies it), in the order of the file."""
    seen: dict[str, list[str]] = {}
    denied: dict[str, list[str]] = {}
    for row in rows:
        for text in dict.fromkeys(text for sentence in row.get("attributes", ()) for text in sentence):
            kind, answer, name = [part.strip() for part in text.split("|", 2)]
            if kind in _SEEN:
                places = (seen if answer == "yes" else denied).setdefault(load_labels().label(name), [])
                places.append(row["bbox_name"])
    return seen, denied


def _innermost(names: list[str], boxes: Mapping[str, NDArray[np.float32]]) -> list[str]:
    """Of places inside each other the smaller ones: an opacity of the left lung's base is not one of all of it."""
    sizes = {name: float(area(boxes[name])) for name in names}

    def holds(outer: str, inner: str) -> bool:
        a, b = boxes[outer], boxes[inner]
        shared = np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None).prod()
        return sizes[outer] > sizes[inner] and float(shared) >= _NESTED * sizes[inner]

    return [name for name in dict.fromkeys(names) if not any(holds(name, other) for other in names)]
