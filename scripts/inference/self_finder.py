"""`--grounder self`: the model that answers is first asked for its own boxes, which then are its evidence.

The control of those who say that models do worse with boxes of their own (arXiv 2604.27720).
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ...grounding.bad_input import BadInput
from ...grounding.evidence.evidence import Evidence
from ...grounding.files import sha256
from ...grounding.grounder import Grounder, Images, Phrases, unique_phrases
from ...grounding.grounders.pretrained import SELF, load_grounder
from ...grounding.types import AnnotatedImage, Region
from ...grounding.vocabulary.box_notation import BoxCodec, Frame, Size
from ...grounding.vocabulary.box_reading import read_boxes
from ...grounding.vocabulary.labels import load_labels
from ...vqa.inference.settings import GenerateSettings
from ...vqa.prompt.prompt import Example

if TYPE_CHECKING:
    from .system import TrainedSystem

MAX_TOKENS = 512
"""After how many tokens a list of boxes is cut."""


class Refusal(BadInput):
    """A model does not want to answer."""


class SelfFinder(Grounder):
    """The boxes that a model writes when it is asked for phrases, in its notation; each as sure as any other."""

    def __init__(
        self, system: "TrainedSystem", codec: BoxCodec, frame_of: Callable[[Size], Frame | None], adapter: str = ""
    ):
        if not codec.form:
            raise BadInput("without a notation no box is written.", fix="give another --boxes")
        self.system, self.codec, self.frame_of = system, codec, frame_of
        self.fingerprint = sha256(f"{SELF} {system.model_name} {adapter} {codec} {asking(['x'], codec)}")

    def ground(self, images: Images, phrases: Phrases) -> list[list[Region]]:
        """One request an image. What the model calls otherwise than it was asked, and boxes without area, are left out;
        so is a phrase that it does not write.
        """
        return [self._ground(image, unique_phrases(row)) for image, row in zip(images, phrases, strict=True)]

    def _ground(self, image: AnnotatedImage, phrases: Sequence[str]) -> list[Region]:
        if not phrases:
            return []
        facts = {"example_id": image.image_id, "image_path": image.image_path, "target": None}
        example = Example(instruction=asking(sorted(phrases), self.codec), evidence=Evidence.none(), **facts)
        try:
            text = self.system.write(example, "withheld", GenerateSettings(max_new_tokens=MAX_TOKENS)).text
        except Refusal:
            return []
        tree, regions = load_labels(), list[Region]()
        meant = {tree.label(phrase): phrase for phrase in phrases}
        for box in read_boxes(text, self.codec, image.size_px, self.frame_of(image.size_px)):
            name = meant.get(tree.label(box.label.strip())) or (phrases[0] if len(phrases) == 1 else None)
            x0, y0, x1, y1 = box.box_xyxy_px
            if name and x0 < x1 and y0 < y1:
                regions.append(Region(phrase=name, box_xyxy_px=box.box_xyxy_px, path=tree.path(name)))
        return regions


def asking(phrases: Sequence[str], codec: BoxCodec) -> str:
    """The request for boxes in a notation."""
    names = ("y0", "x0", "y1", "x1") if codec.is_y_first else ("x0", "y0", "x1", "y1")
    across = "pixels of the image" if codec.steps is None else f"0 to {codec.steps * codec.unit:g} across the image"
    return (
        f"Find in the image: {', '.join(phrases)}. For each place write one line, the name and its box "
        f"{codec.form.format(*names)}, in {across}. Leave out what is not there."
    )


def finder_of(system: "TrainedSystem", name: str) -> Grounder:
    """The grounder of a name; `self` is the system's own model."""
    if name != SELF:
        return load_grounder(name)
    model = system.warm_model("withheld")
    adapter = system.adapter("withheld")
    frame_of = lambda size_px: model.family.frame(size_px, model.processor)  # noqa: E731
    return SelfFinder(system, model.family.boxes, frame_of, str(adapter or ""))
