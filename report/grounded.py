"""A report with the regions each sentence rests on, as one JSON file and one HTML page.

The JSON, keys in this order:

    {"format": "medglip-report-1",
     "report_id": "covid_notes-17", "image": "17.jpg", "size_px": [512, 409],
     "sentences": [{"text": "Small nodule, upper left.", "is_negated": false, "regions": [0]}, ...],
     "regions": [{"phrase": "nodule", "box_xyxy_px": [x0, y0, x1, y1], "score": 0.91,
                  "path": ["chest", "lung"], "mask_rle": {"size": [height, width], "counts": [...]} or null}, ...],
     "model": "...", "adapter": "...", "evidence": "predicted", "versions": {"medglip": "0.1.0", ...},
     "notice": "Research use only, not for diagnosis."}

`sentences[i].regions` are places in `regions`; regions that no sentence speaks of stand there too. Boxes are pixels of
the original image, masks uncompressed COCO RLE. The file names the image and never its folder.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ..grounding.bad_input import BadInput
from ..grounding.types import Region, region_from_json, region_to_json
from .task import Sentence

FORMAT = "medglip-report-1"
NOTICE = "Research use only, not for diagnosis."
_PACKAGES = ("medglip", "torch", "transformers", "peft")


def installed_versions() -> dict[str, str]:
    """Versions of the installed packages that shape a report; nothing is imported."""
    found: dict[str, str] = {}
    for name in _PACKAGES:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


@dataclass(frozen=True, kw_only=True, eq=False)
class GroundedReport:
    """One generated report. `image`: its file name without a folder; `size_px`: (width, height) of the original.

    `regions`: the evidence shown to the model, spoken of or not; `evidence`: its source; `versions`: software by name,
    what is installed when left out.
    """

    report_id: str
    image: str
    size_px: tuple[int, int]
    sentences: tuple[Sentence, ...]
    regions: tuple[Region, ...] = ()
    model: str = ""
    adapter: str = ""
    evidence: str = "none"
    versions: Mapping[str, str] = field(default_factory=installed_versions)
    notice: str = NOTICE

    def __post_init__(self) -> None:
        if Path(self.image).name != self.image or "\\" in self.image:
            raise BadInput(f"image name {self.image!r} holds a folder.", fix="give the file's name alone")

    @property
    def text(self) -> str:
        """The sentences joined by a blank."""
        return " ".join(sentence.text for sentence in self.sentences)

    @property
    def all_regions(self) -> tuple[Region, ...]:
        """Every region once: `regions`, then those that only a sentence holds. Their places are the JSON's indices."""
        spoken = [region for sentence in self.sentences for region in sentence.regions]
        return tuple({id(region): region for region in [*self.regions, *spoken]}.values())

    def places(self, sentence: Sentence) -> list[int]:
        """Indices into `all_regions` of the sentence's regions."""
        index = {id(region): place for place, region in enumerate(self.all_regions)}
        return [index[id(region)] for region in sentence.regions]


def to_json(report: GroundedReport) -> dict[str, Any]:
    """The dictionary described at the top of this file."""
    return {
        "format": FORMAT,
        "report_id": report.report_id,
        "image": report.image,
        "size_px": list(report.size_px),
        "sentences": [
            {"text": sentence.text, "is_negated": sentence.is_negated, "regions": report.places(sentence)}
            for sentence in report.sentences
        ],
        "regions": [region_to_json(region) for region in report.all_regions],
        "model": report.model,
        "adapter": report.adapter,
        "evidence": report.evidence,
        "versions": dict(report.versions),
        "notice": report.notice,
    }


def from_json(values: Mapping[str, Any]) -> GroundedReport:
    """The inverse of `to_json`. Raises `BadInput` for another format, a missing key or an index without a region."""
    if values.get("format") != FORMAT:
        raise BadInput(f"format is {values.get('format')!r}.", fix=f"this version reads {FORMAT!r}")
    try:
        regions = tuple(region_from_json(region) for region in values["regions"])
        sentences = tuple(_sentence(sentence, regions) for sentence in values["sentences"])
        width, height = values["size_px"]
        return GroundedReport(
            report_id=values["report_id"],
            image=values["image"],
            size_px=(width, height),
            sentences=sentences,
            regions=regions,
            **{key: values[key] for key in ("model", "adapter", "evidence", "versions", "notice")},
        )
    except (KeyError, IndexError) as error:
        raise BadInput(
            f"{type(error).__name__}: {error}.", fix="the JSON is described in report/grounded.py"
        ) from error


def _sentence(values: Mapping[str, Any], regions: tuple[Region, ...]) -> Sentence:
    spoken = tuple(regions[place] for place in values["regions"])
    return Sentence(text=values["text"], regions=spoken, is_negated=values["is_negated"])
