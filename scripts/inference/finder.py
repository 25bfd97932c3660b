"""The grounder that looks for a user's phrases, from a checkpoint or a finished run, and pictures of what it found."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from ...grounding.bad_input import BadInput
from ...grounding.grounder import Grounder
from ...grounding.grounders.pretrained import is_shipped, load_grounder, vocabulary_of
from ...grounding.imaging.drawing import draw_regions, tell_apart
from ...grounding.imaging.read import keep_images, read_image
from ...grounding.types import NOTICE, AnnotatedImage, Region, region_to_json
from .given import is_picture
from .trust.knowledge import know, modality_lines, phrase_lines
from .user_image import user_image

MIN_SIDE_PX = 640
"""Longer side of a drawn picture at least: labels have no room in smaller ones."""


@dataclass(frozen=True)
class Finder:
    """A grounder, and the phrases that are usually looked for in each modality."""

    grounder: Grounder
    usual: Mapping[str, Sequence[str]]

    @classmethod
    def of(
        cls, checkpoint: str | None, run: Path | None, device: str | None = None, *, download: bool = False
    ) -> "Finder":
        """The grounder of a checkpoint, else of a run, else `small`, else of `DEFAULT_RUN`.

        Hub names are read from the local cache, with `download` also from the hub. Raises `BadInput` if there is no
        grounder, and if both a checkpoint and a run are given.
        """
        if checkpoint and run:
            raise BadInput("both --checkpoint and --run are given.", fix="leave one out")
        if checkpoint is None and run is None and is_shipped("small"):
            checkpoint = "small"
        if checkpoint is not None:
            return cls(load_grounder(checkpoint, device=device, allow_download=download), vocabulary_of(checkpoint))
        from .systems import DEFAULT_RUN, RunSystem  # who answers questions is not needed to find regions

        run = run or DEFAULT_RUN  # only where no core came with the package
        if run == DEFAULT_RUN and not run.is_dir():
            fix = "give --checkpoint FOLDER, or --run FOLDER of a finished run (`make quickstart` makes one)"
            raise BadInput("no checkpoint comes with this version, and there is no run.", file=run, fix=fix)
        finished = RunSystem(run)
        return cls(finished.grounder, finished.vocabulary)

    def find(
        self,
        image: Path,
        phrases: Sequence[str],
        modality: str | None,
        min_score: float,
        out: Path,
        body_part: str = "",
    ) -> tuple[AnnotatedImage, list[Region], dict[str, Any]]:
        """The image, its regions, and their JSON line; the regions are drawn as a file in folder `out`.

        `notes` of the line: what the grounder knows of the image and of the phrases that were asked for. Where `out` is
        an image file (.png, .jpg), they are drawn there, and the line holds the notes alone. Raises `BadInput` for an
        image that cannot be read, and where there is nothing to look for.
        """
        annotated = user_image(image, modality, body_part)
        wanted = list(phrases or self.usual.get(annotated.modality, ()))
        if not wanted:
            lines = modality_lines(annotated.modality, self.usual)
            problem = f"{lines[0]}." if lines else f"nothing to look for in modality {annotated.modality!r}."
            raise BadInput(problem, file=image, fix="give --phrase" if lines else "give --phrase or --modality")
        with keep_images(image):
            known = know(self.grounder, annotated, self.usual)
            regions = [r for r in self.grounder.ground([annotated], [wanted])[0] if r.score >= min_score]
            notes = [*known.lines, *modality_lines(annotated.modality, self.usual)]
            notes += phrase_lines(phrases, regions, self.usual, known.modality)
            # one file for one image, or a folder for many
            if is_picture(out):
                out.parent.mkdir(parents=True, exist_ok=True)
                draw_on_image(annotated, regions).save(out)
                return annotated, regions, {"notes": notes}
            out.mkdir(parents=True, exist_ok=True)
            return annotated, regions, draw(annotated, wanted, regions, out) | known.to_json() | {"notes": notes}


def draw(image: AnnotatedImage, phrases: Sequence[str], regions: Sequence[Region], out: Path) -> dict[str, Any]:
    """Write `<image>.regions.png` with masks, boxes, phrases and scores into `out`; return the image's JSON line."""
    path = out / f"{image.image_path.stem}.regions.png"
    draw_on_image(image, regions).save(path)
    return {
        "image": image.image_path.name,
        "modality": image.modality,
        "size_px": list(image.size_px),
        "phrases": list(phrases),
        "regions": [region_to_json(region) for region in regions],
        "picture": path.name,
        "notice": NOTICE,
    }


def draw_on_image(image: AnnotatedImage, regions: Sequence[Region]) -> Image.Image:
    """The RGB image, small ones enlarged, with half-transparent masks, boxes, and `phrase score` at each box."""
    colours, names = tell_apart(regions)
    labels = [f"{name} {region.score:.2f}" for name, region in zip(names, regions, strict=True)]
    min_side = MIN_SIDE_PX if regions else 0
    return draw_regions(read_image(image.image_path), regions, colours, labels, min_side=min_side)
