"""The switch of the page: whose regions an answer rests on; those of sources, of the user, of another image."""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from ...grounding.bad_input import BadInput, check_name
from ...grounding.evidence.controls import transplant
from ...grounding.evidence.evidence import Evidence, gather
from ...grounding.evidence.names import Source
from ...grounding.imaging.read import read_image
from ...grounding.types import AnnotatedImage, Region
from ...report.describe import parse_box
from ...report.output.grounded import MARKED
from ...vqa.inference.rules import NAME as RULES
from ...vqa.prompt.prompt import Example
from ...vqa.served.chat import to_chat
from ..inference.ask import Asked, ask_question
from ..inference.served import ServedSystem
from ..inference.system import TrainedSystem
from .desk import Desk

Switch = Literal["none", "predicted", "own", "shuffled", "withheld"]
SWITCHES: dict[Switch, tuple[Source, str]] = {
    "none": ("none", "no evidence, of an adapter that learned without where there is one"),
    "predicted": ("predicted", "regions found in the image"),
    "own": ("oracle", "the boxes that the user gives"),
    "shuffled": ("shuffled", "regions found in another image: they are not true here"),
    "withheld": ("withheld", "no evidence, of the adapter that learned with it"),
}
"""Name -> the source that records and prompts know it by, and what it is."""
_NUMBER = r"\s*-?\d+(?:\.\d+)?\s*"
_BOX = re.compile(rf"\[?({','.join([_NUMBER] * 4)})\]?\s*(.*)", re.DOTALL)


def parse_boxes(text: str, size_px: tuple[int, int]) -> list[Region]:
    """`12,20,80,96 left lung; 30,40,50,60` as regions of score 1, cut at the image's edge; a box may have no phrase.

    Raises `BadInput` for what is no box, and for one outside the image.
    """
    regions: list[Region] = []
    for part in filter(str.strip, re.split(r"[;\n]", text)):
        if (match := _BOX.fullmatch(part.strip())) is None:
            raise BadInput(f"{part.strip()[:60]!r} is no box.", fix="x0,y0,x1,y1 and a phrase; several with ; between")
        phrase = " ".join(match[2].split()) or MARKED
        regions.append(replace(parse_box(match[1], size_px), phrase=phrase))
    return regions


def ask_switched(
    desk: Desk, system: TrainedSystem, images: Sequence[AnnotatedImage], question: str, switch: str, boxes: str = ""
) -> Asked:
    """The answer with the evidence of a switch. `boxes`: those of the user, in the first image.

    Raises `BadInput` for an unknown switch, and for `own` without a box.
    """
    name = check_name(switch, SWITCHES, "evidence")
    source = SWITCHES[name][0]
    if name == "own":
        return ask_question(system, images, question, source, given=own_evidence(system, images[0], boxes))
    if name == "shuffled":
        given = shuffled_evidence(desk, system, images[0], question)
        return ask_question(system, images, question, source, given=given)
    return ask_question(system, images, question, plain_source(system) if name == "none" else source)


def plain_source(system: TrainedSystem) -> Source:
    """`none`, or `withheld` where there is no adapter that learned without evidence."""
    try:
        system.adapter("none")
    except BadInput:
        return "withheld"
    return "none"


def own_evidence(system: TrainedSystem, image: AnnotatedImage, boxes: str) -> Evidence:
    """The user's boxes, with the core's vectors where the model reads them."""
    regions = parse_boxes(boxes, image.size_px)
    if not regions:
        raise BadInput("no box is given.", fix="draw one, or write x0,y0,x1,y1 and a phrase")
    if str(system.folder) != RULES and not isinstance(system, ServedSystem):
        regions = system.grounder.embed([image], [regions])[0]
    return Evidence.of_image("oracle", image.size_px, regions, [region.phrase for region in regions])


def shuffled_evidence(desk: Desk, system: TrainedSystem, image: AnnotatedImage, question: str) -> Evidence:
    """What is found in a sample of the same modality, else of any, scaled to this image."""
    others = [one for one in desk.samples.values() if not _same_pixels(one, image)]
    donor = next((one for one in others if one.modality == image.modality), others[0])
    query = system.query(donor, question).first
    found = replace(query.evidence, regions=tuple(system.regions(donor, query.phrases)))
    own = replace(query.evidence, size_px=image.size_px)
    return Evidence(source="shuffled", images=(transplant(own, gather(found, system.shown)),))


def _same_pixels(one: AnnotatedImage, other: AnnotatedImage) -> bool:
    if one.size_px != other.size_px:
        return False
    return read_image(one.image_path).tobytes() == read_image(other.image_path).tobytes()


def prompt_of(system: TrainedSystem, asked: Asked) -> str:
    """What the model read, as text; "" where templates answered and no model read anything."""
    if asked.example is None or str(system.folder) == RULES:
        return ""
    return prompt_text(system, asked.example, asked.source)


def prompt_text(system: TrainedSystem, example: Example, source: Source) -> str:
    """The words of an example as its model reads them."""
    settings = system.evidence_settings(source)
    if isinstance(system, ServedSystem):
        content = to_chat(example, settings, system.notation).messages[0]["content"]
        parts = [content] if isinstance(content, str) else [part.get("text", "<image>") for part in content]
        return "\n".join(parts)
    return system.warm_model(source).render(example, settings).text
