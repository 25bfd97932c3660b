"""What a report's JSON holds, as a JSON Schema (draft 2020-12): `medglip report schema` prints it.

Keys that `grounded.py` writes since later versions have defaults, so that every file of this format is valid.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from ...grounding.vocabulary.attribution import Support
from ...grounding.vocabulary.negation import Negation
from .grounded import FORMAT

Chance = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]
Index = Annotated[int, Field(ge=0, description="Index into `regions`")]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True, title=None)


class MaskRle(_Part):
    """Uncompressed COCO RLE: column-major run lengths, the first counts background."""

    size: Annotated[list[Count], Field(min_length=2, max_length=2)]
    """Height, width of the original image."""
    counts: list[Count]
    """Run lengths; they add up to height times width."""


class RegionRow(_Part):
    """One place in the image and what is there."""

    phrase: str
    """What it was found for."""
    box_xyxy_px: Annotated[list[float], Field(min_length=4, max_length=4)]
    """x0, y0, x1, y1 in pixels of the original image, half open."""
    score: Chance
    """The grounder's, calibrated where the checkpoint is; 1 for a `marked region`, which a user drew."""
    path: list[str] = []
    """Labels above it in the label tree, from the outside in."""
    mask_rle: MaskRle | None = None
    """Its mask in the original image, null where it has none."""


class ContradictionRow(_Part):
    """A claim that the grounder speaks against; the text is not changed."""

    phrase: str
    """The label."""
    said: Literal["present", "absent"]
    """What the sentence says of it."""
    chance: Chance
    """The grounder's calibrated chance that it is in the image; with `limit` the score of its best region."""
    limit: Chance | None = None
    """The score from which on a region speaks against a denial; left out: a chance does, `limits` of the report."""


class SentenceRow(_Part):
    """One sentence of the report."""

    text: str
    """Without citations."""
    is_negated: bool
    """It only denies."""
    regions: list[Index]
    """Regions that it rests on, either way."""
    cited: list[Index] = []
    """Regions that it cites."""
    grounded: list[Index] = []
    """Regions found for its words afterwards."""
    missing_citations: list[int] = []
    """Numbers it cites, from 1, that no region has."""
    is_normal: bool = False
    """It says that something is as it should be, and names no finding."""
    support: Support | None = None
    """Which way gives it regions; `neither`: a claim without any. Null or left out: not read both ways."""
    cited_elsewhere: list[int] = []
    """Numbers it cites, from 1, of regions in other images."""
    elsewhere: list[str] = []
    """Ids of the reports of the study's other images in which it has regions; none where it has one in this image."""
    contradictions: list[ContradictionRow] = []
    """Claims of it that the grounder speaks against."""
    remarks: list[str] = []
    """What else is to be looked at in it: a place, a modality."""


class AgreementRow(_Part):
    """How far cited and grounded regions are the same places (`grounding/vocabulary/attribution.py`)."""

    num_cited: Count
    """Pairs of a sentence and a region that it cites."""
    num_grounded: Count
    """Pairs of a sentence and a region found for it."""
    precision: Chance | None
    """Part of the cited pairs that grounding finds too."""
    recall: Chance | None
    """Part of the grounded pairs that are cited."""
    f1: Chance | None
    """Harmonic mean of the two."""
    sentences: dict[Support, Count]
    """Sentences by support."""


class LimitsRow(_Part):
    """From where on a sentence is flagged."""

    absent_below: Chance
    """A finding that is said to be there, below this chance."""
    present_above: Chance
    """A finding that is denied, from this chance on."""
    region_score: Chance
    """A finding that is denied, where a region of it has this score or more."""


class ReportRow(_Part):
    """A grounded report of one image. Research use, not for diagnosis."""

    format: Literal["medglip-report-1"] = FORMAT
    """Name and version of this format."""
    report_id: str
    """Of the study or image."""
    image: Annotated[str, Field(pattern=r"^[^/\\]*$")]
    """File name without a folder."""
    size_px: Annotated[list[Annotated[int, Field(gt=0)]], Field(min_length=2, max_length=2)]
    """Width, height of the original image."""
    sentences: list[SentenceRow]
    """In order; joined by a blank they are the text."""
    regions: list[RegionRow]
    """Every region once, spoken of or not."""
    presences: dict[str, Chance] = {}
    """Calibrated chance of each phrase that was asked."""
    agreement: AgreementRow | None = None
    """Null where sentences were not read both ways."""
    modality: str = ""
    """What the image is, as file or user told it, else the grounder's guess, which a note calls so; else empty."""
    notes: list[str] = []
    """Lines about the whole image: a guessed modality, an image unlike those learned from, whose sides are named."""
    in_distribution: bool | None = None
    """Whether the image is like those that the grounder learned from; left out where it cannot tell."""
    ood_score: Chance | None = None
    """How unlike those it is; left out where the grounder cannot tell."""
    date: str = ""
    """When it was written, as 2026-01-31; left out: not known."""
    indication: str = ""
    """Why the images were taken, as the user told it; left out: not told."""
    prior: list[str] = []
    """What of the earlier study was shown to the model: file names of its images, `report`; left out: nothing."""
    limits: LimitsRow | None = None
    """From where on sentences are flagged."""
    model: str
    """The language model."""
    adapter: str
    """Its adapter; empty for none."""
    grounder: str = ""
    """What found the regions."""
    negation: Negation = "rules"
    """Engine that decides what a sentence denies (`grounding/vocabulary/negation`); `off`: nothing is denied."""
    other_views: list[str] = []
    """Ids of the reports of the same words about the study's other images."""
    evidence: str
    """Source of the regions shown to the model."""
    forms: list[str] = []
    """How they were shown: words, tokens, crops ..."""
    versions: dict[str, str]
    """Software by name."""
    notice: str
    """Research use, not for diagnosis."""


def schema() -> dict[str, Any]:
    """The JSON Schema as a dictionary; another one at each call."""
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": FORMAT}
    return head | {key: value for key, value in ReportRow.model_json_schema().items() if key != "title"}
