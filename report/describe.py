"""One marked region in words: its box and its crop as evidence, and what the model is asked about it."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ..grounding.bad_input import BadInput
from ..grounding.evidence.evidence import Evidence, EvidenceSettings
from ..grounding.evidence.names import Form
from ..grounding.geometry import area, clip_box, iou, where
from ..grounding.types import AnnotatedImage, Region
from ..grounding.vocabulary.attribution import SAME_PLACE_IOU
from ..grounding.vocabulary.labels import load_labels
from ..grounding.vocabulary.places import image_place
from ..grounding.vocabulary.remarks import Remark, named_modality
from ..grounding.vocabulary.sentences import Sentence
from ..vqa.prompt.context import context_of
from ..vqa.prompt.prompt import Example
from .output.grounded import MARKED

INSTRUCTION = "Describe region 1 of this image in a short report."
NOT_DESCRIBED = "The model cannot describe this box: what it wrote is about the whole image."
NOT_BACKED = "The model cannot describe this box: nothing known was found there that could back its words."
_MOST = 0.8


def parse_box(text: str, size_px: tuple[int, int]) -> Region:
    """`x0,y0,x1,y1` in pixels of an image of (width, height) as a region, cut at the image's edge.

    Raises `BadInput` for anything but four numbers, and for a box without area in the image.
    """
    try:
        numbers = [float(number) for number in text.replace(" ", "").split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != 4 or not all(abs(number) < 1e9 for number in numbers):  # NaN is not, either
        raise BadInput(f"box {text!r} is not four numbers.", fix="--box x0,y0,x1,y1 in pixels of the image")
    return Region(phrase=MARKED, box_xyxy_px=clip_box(np.array(numbers, np.float32), size_px))


def is_whole(text: str, marked: Region) -> bool:
    """Whether the box that was given (`parse_box`) lies in the image as it is."""
    return bool(np.allclose([float(number) for number in text.split(",")], marked.box_xyxy_px, atol=0.5))


def name_region(marked: Region, regions: Sequence[Region]) -> Region:
    """The marked region under the phrase of the best of the regions that lies at its place, if there is one."""
    for region in sorted(regions, key=lambda region: -region.score):
        if iou(marked.box_xyxy_px, region.box_xyxy_px)[0, 0] >= SAME_PLACE_IOU:
            return replace(marked, phrase=region.phrase, path=region.path, score=region.score, mask=region.mask)
    return marked


def what_is_there(marked: Region, regions: Sequence[Region], size_px: tuple[int, int]) -> str:
    """What boxes alone say of the marked one: where it lies, in what, and what was found there or that nothing was.

    Region 1 lies in the upper left of the image, inside the left lung (0.92). A nodule was found there (0.78).
    """
    around = [r for r in regions if r.phrase != marked.phrase and _part_inside(marked, r) >= _MOST]
    # the smallest of what holds it says most
    around = sorted(around, key=lambda region: float(area(region.box_xyxy_px)))[:1]
    inside = "".join(f", inside what was found as {region.phrase} ({region.score:.2f})" for region in around)
    place = image_place(where(marked.box_xyxy_px, size_px))
    found = f"{marked.phrase} was found there ({marked.score:.2f})"
    found = "nothing that this core knows was found as this box" if marked.phrase == MARKED else found
    return f"Region 1 lies at the {place}{inside}: {found}."


def _part_inside(marked: Region, other: Region) -> float:
    """Part of the marked box that lies inside the other one."""
    (x0, y0, x1, y1), (u0, v0, u1, v1) = marked.box_xyxy_px, other.box_xyxy_px
    shared = max(0.0, float(min(x1, u1) - max(x0, u0))) * max(0.0, float(min(y1, v1) - max(y0, v0)))
    return shared / float(area(marked.box_xyxy_px))


def is_about(text: str, marked: Region) -> bool:
    """Whether a sentence can be about the marked region: it names its phrase, or none, and is no title."""
    if named_modality(text):
        return False
    named = load_labels().phrases_in(text)
    return not named or marked.phrase in named


def tell(there: str, marked: Region, written: Sequence[Sentence]) -> tuple[tuple[Sentence, ...], tuple[Remark, ...]]:
    """What boxes say (`there`), then what the model wrote of the marked region, which stands first in each; remarks.

    Where nothing is named or nothing of it is told, a sentence without a region says so. A sentence that names no
    label, "The hemothema is seen.", is remarked: no region can speak for it.
    """
    own = [sentence for sentence in written if marked.phrase != MARKED and is_about(sentence.text, marked)]
    told = [
        replace(sentence, regions=(marked, *(region for region in sentence.regions if region is not marked)))
        for sentence in (Sentence(text=there), *own)
    ]
    cannot = [] if own else [Sentence(text=NOT_BACKED if marked.phrase == MARKED else NOT_DESCRIBED)]
    names_none = [k for k, one in enumerate(own, 1) if not (one.is_negated or load_labels().phrases_in(one.text))]
    remarks = tuple(Remark(sentence=index, words="names nothing that was found in this box") for index in names_none)
    return (*told, *cannot), remarks


def to_example(image: AnnotatedImage, marked: Region) -> Example:
    """The prompt's parts; there is no target."""
    return Example(
        example_id=image.image_id,
        image_path=image.image_path,
        instruction=INSTRUCTION,
        target=None,
        evidence=Evidence.of_image("predicted", image.size_px, [marked], [marked.phrase]),
        context=context_of([image]),
    )


def show_region(settings: EvidenceSettings) -> EvidenceSettings:
    """The same settings, with text and crops among the forms, and the region shown whatever its score."""
    forms: tuple[Form, ...] = tuple(dict.fromkeys([*settings.forms, "text", "crops"]))
    return settings.model_copy(update={"forms": forms, "min_score": 0.0, "cite": False, "max_crops": 1})
