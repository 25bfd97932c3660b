"""Training examples: letterboxed once, kept in memory while they fit, changed a little at each draw.

S side of the square input in pixels, G true boxes, K phrases, h w of the masks: S by the stride of the core's masks.
"""

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow.compute as pc
import torch
from datasets import Dataset
from numpy.typing import NDArray
from tqdm.auto import tqdm

from ..bad_input import BadInput, Skipped
from ..datasets.schema import region_phrases, row_to_image, tables
from ..datasets.settings import DataSettings
from ..geometry import Boxes, Letterbox
from ..grounder import is_about
from ..imaging.read import read_image
from ..model.losses import Target
from ..model.processing import MedGlipProcessor
from ..types import AnnotatedImage
from ..vocabulary.labels import load_labels
from ..vocabulary.phrases import mirror, with_description
from .augment import View, augment
from .settings import DrawSettings, MixtureSettings


@dataclass(frozen=True, eq=False)
class Example:
    """One image with its truth: uint8[S, S, 3], boxes float32[G, 4] in its frame, masks uint8[G, h, w], the part of
    each cell that is covered, in 255ths: as fine as the model's own.
    """

    image: AnnotatedImage
    square: NDArray[np.uint8]
    boxes_G4: Boxes
    masks_Ghw: NDArray[np.uint8]
    has_mask_G: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Draw:
    """What one draw gives the collator. `labels` are what is asked, `phrases` the words for it; `about`: everything
    that the annotations name, be it in the image or not.
    """

    square: NDArray[np.uint8]
    labels: list[str]
    phrases: list[str]
    modality: str
    target: Target
    about: frozenset[str]


def load_example(annotated: AnnotatedImage, side_px: int, mask_stride: int = 4) -> Example:
    """Read and letterbox one image. Raises `BadInput` if it is unreadable or not of the annotations' size."""
    image = read_image(annotated.image_path)
    if image.size != tuple(annotated.size_px):
        problem = f"image is {image.size}, its annotations are for {annotated.size_px}."
        raise BadInput(problem, file=annotated.image_path, fix="annotate the image as stored")
    letterbox = Letterbox(image.size, side_px)
    empty = np.zeros((side_px, side_px), bool)
    masks = [empty if r.mask is None else letterbox.mask(r.mask) for r in annotated.regions]
    # cells of 4 x 4 pixels at stride 4, as fine as the model's own masks: the covered part of each, in 255ths
    num_cells = side_px // mask_stride
    cells = np.array(masks, bool).reshape(-1, num_cells, mask_stride, num_cells, mask_stride)
    covered_Ghw = cells.mean((2, 4), dtype=np.float32)
    return Example(
        image=replace(annotated, regions=tuple(replace(r, mask=None) for r in annotated.regions)),
        square=np.asarray(letterbox.image(image)),
        boxes_G4=letterbox.forward(np.array([r.box_xyxy_px for r in annotated.regions], np.float32).reshape(-1, 4)),
        masks_Ghw=np.rint(covered_Ghw * 255).astype(np.uint8),
        has_mask_G=np.array([r.mask is not None for r in annotated.regions], bool),
    )


class Lazy(Sequence[Example]):
    """Examples read from disk at every draw, for sets larger than memory."""

    def __init__(self, rows: Dataset, side_px: int, mask_stride: int):
        self.rows, self.side_px, self.mask_stride = rows, side_px, mask_stride

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Example:  # pyright: ignore[reportIncompatibleMethodOverride]
        return load_example(row_to_image(self.rows[index]), self.side_px, self.mask_stride)


def load_examples(
    rows: Dataset, side_px: int, memory_gb: float, skipped_file: Path, mask_stride: int = 4
) -> Sequence[Example]:
    """All examples, in memory if they fit into `memory_gb`; those that cannot be read are listed in the file, or, when
    read from disk at every draw, raise `BadInput` there.
    """
    skipped, loaded = Skipped(), list[Example]()
    skipped.write(skipped_file)  # the list of an earlier training goes
    counts = (pc.sum(pc.list_value_length(part["regions"])).as_py() for part in tables(rows, ["regions"]))  # pyright: ignore[reportAttributeAccessIssue]
    # in planes of S x S bytes: three of pixels an image, at stride 4 a sixteenth for each region's mask
    num_planes = 3 * len(rows) + sum(count or 0 for count in counts) / mask_stride**2
    if num_planes * side_px**2 > memory_gb * 1e9:
        return Lazy(rows, side_px, mask_stride)
    for row in tqdm(rows, desc="training images", unit="image"):
        try:
            loaded.append(load_example(row_to_image(row), side_px, mask_stride))  # pyright: ignore[reportArgumentType]
        except BadInput as error:
            skipped.add(str(row["image_id"]), error)  # pyright: ignore[reportArgumentType, reportCallIssue]
    skipped.write(skipped_file)
    return loaded


def draw(
    example: Example,
    rng: np.random.Generator,
    settings: DrawSettings,
    own_labels: Mapping[str, frozenset[str]] = MappingProxyType({}),
) -> Draw:
    """Choose phrases and modality, augment, and say what is true; everything from `rng`.

    `own_labels`: by data set its labels that are asked first of those that are absent (`labels_of_sets`).
    """
    image = example.image
    if settings.hierarchy == "off":  # labels that have nothing above them
        image = replace(image, regions=tuple(replace(region, path=()) for region in image.regions))
    labels = _choose_phrases(image, rng, settings, own_labels.get(image.dataset, frozenset()))
    if settings.siblings and settings.hierarchy != "off":
        # siblings in the label tree of what is present, which the data set does not annotate
        tree = load_labels()
        known = {tree.label(phrase) for phrase in (*labels, *image.phrases)}
        present = sorted({region.phrase for region in image.regions})
        siblings = sorted({label for phrase in present for label in tree.siblings(phrase)} - known)
        labels += [siblings[i] for i in rng.permutation(len(siblings))[: settings.siblings]]
    annotated = {*image.phrases, *(region.phrase for region in image.regions)}
    is_hidden = rng.random() < settings.unknown_modality
    shape = (len(image.regions), len(labels))
    about_GK = np.array([[is_about(r, p, image) for p in labels] for r in image.regions], bool).reshape(shape)
    within_GK = np.zeros(shape, bool)
    if settings.hierarchy == "is_a":
        within = [[p != r.phrase and _is_within(r.path, p) for p in labels] for r in image.regions]
        within_GK = about_GK & np.array(within, bool).reshape(shape)
    # a box of which no phrase is asked is no target: an organ that is asked is not looked for at the box of its tumor
    target_G = np.flatnonzero((about_GK & ~within_GK).any(1))
    view = View(example.square, example.boxes_G4[target_G], example.masks_Ghw[target_G])
    is_mirrored = False
    if settings.augment:
        view, is_mirrored = augment(view, image, rng, settings)
    if view.seen_G is not None:
        target_G = target_G[view.seen_G]
        view = View(view.square, view.boxes_G4[view.seen_G], view.masks_Ghw[view.seen_G])
    words = [_reword(label, rng, settings) for label in labels]
    about = annotated | {word for region in example.image.regions for word in region.path}
    sided = mirror if is_mirrored else str
    return Draw(
        square=view.square,
        labels=[sided(label) for label in labels],
        phrases=[sided(word) for word in words],
        modality="unknown" if is_hidden else image.modality,
        target=Target(
            boxes_G4=torch.from_numpy(view.boxes_G4),
            labels_GK=torch.from_numpy((about_GK & ~within_GK)[target_G]),
            within_GK=torch.from_numpy(within_GK[target_G]),
            masks_Ghw=torch.from_numpy(view.masks_Ghw.astype(np.float32) / 255),
            has_mask_G=torch.from_numpy(example.has_mask_G[target_G]),
            known_K=torch.tensor([label in annotated for label in labels], dtype=torch.bool),
            present_K=torch.from_numpy(about_GK[target_G].any(0) | within_GK.any(0)),
        ),
        about=frozenset(sided(word) for word in about),
    )


@cache
def _is_within(path: tuple[str, ...], phrase: str) -> bool:
    """Whether the last label of the path is a part of what the phrase names or a finding in it, not a kind of it."""
    return phrase in path[:-1] and phrase not in load_labels().kinds_of(path[-1])


def collate(draws: list[Draw], processor: MedGlipProcessor, batch_negatives: int = 0) -> dict[str, Any]:
    """A batch for `losses.losses_of`."""
    if batch_negatives:
        draws = [_add_negatives(one, draws, batch_negatives) for one in draws]
    inputs = processor([d.square for d in draws], [d.phrases for d in draws], [d.modality for d in draws])
    return {**inputs, "targets": [d.target for d in draws]}


def _add_negatives(one: Draw, draws: list[Draw], max_num: int) -> Draw:
    """The draw, asked phrases of the others as well that cannot be true of its boxes; elsewhere they are unknown."""
    others = {label: word for d in draws if d is not one for label, word in zip(d.labels, d.phrases, strict=True)}
    tree, known = load_labels(), one.about | set(one.labels)
    # No label that is asked already or could be true of a box of this image: "lung" is no negative of "left lung".
    chosen = [label for label in others if not any(tree.is_near(label, other) for other in known)][:max_num]
    target = one.target
    none_GK = torch.zeros(len(target.boxes_G4), len(chosen), dtype=torch.bool)
    return replace(
        one,
        labels=[*one.labels, *chosen],
        phrases=[*one.phrases, *(others[label] for label in chosen)],
        target=replace(
            target,
            labels_GK=torch.cat([target.labels_GK, none_GK], 1),
            within_GK=torch.cat([target.within_GK, none_GK], 1),
            known_K=torch.cat([target.known_K, torch.zeros(len(chosen), dtype=torch.bool)]),
            present_K=torch.cat([target.present_K, torch.zeros(len(chosen), dtype=torch.bool)]),
        ),
    )


def _reword(label: str, rng: np.random.Generator, settings: DrawSettings) -> str:
    """The label, now and then a synonym, now and then with its description."""
    tree = load_labels()
    others, phrase = tree.synonyms(label), label
    if others and rng.random() < settings.synonyms:
        phrase = others[rng.integers(len(others))]
    return with_description(phrase, tree) if rng.random() < settings.descriptions else phrase


def _choose_phrases(
    image: AnnotatedImage, rng: np.random.Generator, settings: DrawSettings, of_set: frozenset[str]
) -> list[str]:
    """Present phrases, absent ones that are annotated, those `of_set` first, now and then an ancestor; never what is
    merely unknown.
    """
    own = {region.phrase for region in image.regions}
    known = list(dict.fromkeys([*image.phrases, *(region.phrase for region in image.regions)]))
    shuffled = [known[i] for i in rng.permutation(len(known))]
    present = [p for p in shuffled if p in own or any(is_about(r, p, image) for r in image.regions)]
    absent = sorted((p for p in shuffled if p not in present), key=lambda p: p not in of_set)
    # Of 4 phrases at most 3 are present ones while an absent one is known: every draw has something to deny.
    #     present a b c d e, absent x y  ->  a b c | x        present a, absent x y z u  ->  a | x y z
    # Absent ones of the set itself, X Y, have up to half of the places:    a b c d e, X Y z  ->  a b | X Y
    max_num = settings.phrases_per_image
    max_present = min(max_num - 1, max(max_num // 2, max_num - sum(p in of_set for p in absent)))
    chosen = (present[:max_present] + absent + present[max_present:])[:max_num]
    above = sorted({p for region in image.regions for p in region.path} - set(known))
    if above and len(chosen) < max_num and rng.random() < settings.ancestor_share:
        chosen.append(above[rng.integers(len(above))])
    return chosen


def chances(datasets: Sequence[str], sets: Sequence[DataSettings], mixture: MixtureSettings) -> list[float] | None:
    """Chance of each example, by the name of its data set, up to a factor; None where all are alike.

    `sets`: what the recipe says of them; a set that it does not name has weight 1.
    """
    # Sizes 900 and 100, temperature 2: weights 1/30 and 1/10 an example, so the two sets share the draws 30 : 10.
    known, sizes = {d.name: d for d in sets}, Counter(datasets)
    weight = {d: n ** (1 / mixture.temperature - 1) * (known[d].weight if d in known else 1) for d, n in sizes.items()}
    is_old = {d: d in known and known[d].rehearse for d in sizes}
    old, new = (sum(weight[d] * sizes[d] for d in sizes if is_old[d] is kind) for kind in (True, False))
    if old and new:
        share = {True: mixture.rehearsal / old, False: (1 - mixture.rehearsal) / new}
        weight = {d: w * share[is_old[d]] for d, w in weight.items()}
    return None if len(set(weight.values())) < 2 else [weight[name] for name in datasets]


def labels_of_sets(rows: Dataset) -> dict[str, frozenset[str]]:
    """By data set the labels of its regions."""
    labels: dict[str, set[str]] = {}
    for part in tables(rows, ["dataset", "regions"]):
        for name, phrases in zip(part["dataset"].to_pylist(), region_phrases(part), strict=True):
            labels.setdefault(name, set()).update(phrases)
    return {name: frozenset(own) for name, own in labels.items()}


def datasets_of(examples: Sequence[Example], rows: Dataset) -> list[str]:
    """Data set of each example; where none was skipped, images need not be read for it."""
    if len(examples) < len(rows):
        return [example.image.dataset for example in examples]
    names = (name for part in tables(rows, ["dataset"]) for name in part["dataset"].to_pylist())
    return [sys.intern(name) for name in names]  # one string a set, not one a row
