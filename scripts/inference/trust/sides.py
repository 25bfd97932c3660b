"""Whose left and right an answer or a sentence means, and at which side of an image the patient's left is seen."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ....grounding.imaging.read import is_dicom
from ....grounding.types import MIN_SCORE, AnnotatedImage, Region
from ....grounding.vocabulary.places import Frame
from ....vqa.model.shipped import FACTS
from ....vqa.publish.adapter_card import IMAGE_SETS, read_facts, taught_frame

_OFF_CENTRE = 0.1
"""Part of the image's width by which the centre of a box must lie off the middle for its side to be sure."""


def bare_frame(recipe: Any, adapter: Path | None, task: str) -> Frame:
    """Whose a side is that names no frame, in texts of a model: see `taught_frame`; a run knows by its recipe."""
    if recipe is not None:
        names = getattr(getattr(recipe, task, None), "sets", ())
        return "patient" if names and not set(names) & set(IMAGE_SETS) else "image"
    file = adapter / FACTS if adapter else None
    return taught_frame(read_facts(file), task) if file and file.is_file() else "image"


def frame_by_region(side: str, regions: Sequence[Region], size_px: tuple[int, int]) -> Frame | None:
    """Whose `side` it is, where the best of the regions that are asked about lies off the middle; None where none."""
    if not regions:
        return None
    x0, _, x1, _ = (float(value) for value in regions[0].box_xyxy_px)
    off = (x0 + x1) / 2 / size_px[0] - 0.5
    if abs(off) < _OFF_CENTRE:
        return None
    return "image" if (off < 0) == (side == "left") else "patient"


def patient_left(image: AnnotatedImage, regions: Sequence[Region] = ()) -> str:
    """At which side of the image the patient's left is seen, "left" or "right"; "" where that is not known.

    A DICOM file says it; of other images the regions of "left lung" and "right lung" do, and an X-ray of the chest is
    taken for a frontal view. No side is guessed of anything else.
    """
    if is_dicom(image.image_path):
        from ....grounding.imaging.dicom import patient_left as read_patient_left

        if told := read_patient_left(image.image_path):
            return told
    # chambers of the heart are left and right by name, not by side
    sided = [r for r in _best(regions) if r.phrase.startswith(("left ", "right ")) and "heart" not in r.path]
    seen = {_lies(r, image) == r.phrase.partition(" ")[0] for r in sided}
    if len(sided) > 1 and len(seen) == 1:
        return "left" if seen.pop() else "right"
    return "right" if image.modality == "xray" and image.body_part == "chest" and not is_dicom(image.image_path) else ""


def _best(regions: Sequence[Region]) -> list[Region]:
    """The best region of each phrase, where it counts as found: a faint second "left lung" may lie anywhere."""
    best = dict[str, Region]()
    for region in sorted(regions, key=lambda region: -region.score):
        if region.score >= MIN_SCORE:
            best.setdefault(region.phrase, region)
    return list(best.values())


def side_note(wanted: Frame | None, left: str) -> str:
    """The line that says whose left and right are meant."""
    if wanted == "patient" and not left:
        return "sides: of the image; the patient's are not known here: neither file nor regions tell how the image lies"
    if wanted == "patient":
        return f"sides: of the patient, whose left is seen at the image's {left}"
    return "sides: of the image, as it is seen; names of anatomy keep the patient's"


def taken_for(frame: Frame) -> str:
    """The line that says whose left and right a question was taken to mean that leaves it open."""
    return "sides: of the patient, as in what taught the model" if frame == "patient" else side_note("image", "")


def _lies(region: Region, image: AnnotatedImage) -> str:
    x0, _, x1, _ = (float(value) for value in region.box_xyxy_px)
    return "left" if x0 + x1 < image.size_px[0] else "right"
