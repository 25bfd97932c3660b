"""A report with the regions each sentence rests on, as one JSON file and one HTML page.

The JSON, keys in this order; `schema.py` has the JSON Schema, `medglip report schema` prints it:

    {"format": "medglip-report-1",
     "report_id": "covid_notes-17", "image": "17.jpg", "size_px": [512, 409],
     "sentences": [{"text": "Small nodule, upper left.", "is_negated": false, "regions": [0],
                    "cited": [0], "grounded": [0], "missing_citations": [], "is_normal": false, "support": "both",
                    "contradictions": [{"phrase": "nodule", "said": "present", "chance": 0.03}]}, ...],
     "regions": [{"phrase": "nodule", "box_xyxy_px": [x0, y0, x1, y1], "score": 0.91,
                  "path": ["chest", "lung"], "mask_rle": {"size": [height, width], "counts": [...]} or null}, ...],
     "presences": {"nodule": 0.03, ...}, "agreement": {"f1": 0.8, ...} or null,
     "model": "...", "adapter": "...", "grounder": "...", "negation": "rules", "evidence": "predicted",
     "other_views": ["17-lateral"], "versions": {"medglip": "0.1.0", ...}, "notice": "Research use, not for diagnosis."}

`sentences[i].regions` are places in `regions`; regions that no sentence speaks of stand there too. Boxes are pixels of
the original image, masks uncompressed COCO RLE. The file names the image and never its folder. `cited` to `support` are
there where a sentence was read both ways (`attribution.py`), `contradictions` where there is one. Files of before have
neither, nor `presences`, `agreement`, `grounder`, `negation`, `other_views`; they are read as ever.
"""

import hashlib
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ...grounding.bad_input import BadInput
from ...grounding.types import NOTICE as NOTICE
from ...grounding.types import Region, region_from_json, region_to_json
from ...grounding.vocabulary.contradictions import Contradiction, contradiction_to_json
from ...grounding.vocabulary.negation import Negation
from ...grounding.vocabulary.sentences import Sentence
from ..text.attribution import Agreement, Attribution, Support, agreement, agreement_to_json, attribution_to_json

FORMAT = "medglip-report-1"
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
    what is installed when left out. `attributions`: one a sentence, read with `regions`, or none at all;
    `contradictions`: flags of sentences; `presences`: the grounder's calibrated chance in [0, 1] by phrase; `negation`:
    who told what a sentence denies; `other_views`: ids of the reports of the same words about the study's other images.
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
    grounder: str = ""
    negation: Negation = "rules"
    attributions: tuple[Attribution, ...] = ()
    contradictions: tuple[Contradiction, ...] = ()
    presences: Mapping[str, float] = field(default_factory=dict)
    other_views: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if Path(self.image).name != self.image or "\\" in self.image:
            raise BadInput(f"image name {self.image!r} holds a folder.", fix="give the file's name alone")
        if self.attributions and len(self.attributions) != len(self.sentences):
            raise BadInput(f"{len(self.attributions)} attributions for {len(self.sentences)} sentences.")
        if any(not 0 <= found.sentence < len(self.sentences) for found in self.contradictions):
            raise BadInput("a contradiction flags a sentence that is not there.")

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

    @property
    def agreement(self) -> Agreement | None:
        """How far citing and grounding agree; None where sentences were not read both ways."""
        return agreement(self.attributions, self.regions) if self.attributions else None

    def flags(self, place: int) -> list[Contradiction]:
        """What contradicts a sentence."""
        return [found for found in self.contradictions if found.sentence == place]

    def support(self, place: int) -> Support | None:
        """Which way gives a sentence its regions; None where that is not known."""
        return self.attributions[place].support if self.attributions else None


def file_stem(report_id: str) -> str:
    """A file name of the id; a changed id gets a few characters of its hash, so that no two ids share a file."""
    stem = re.sub(r"[^\w.-]", "_", report_id, flags=re.ASCII).lstrip(".")[:100]
    return stem if stem == report_id else f"{stem}-{hashlib.sha256(report_id.encode()).hexdigest()[:8]}"


def to_json(report: GroundedReport) -> dict[str, Any]:
    """The dictionary described at the top of this file."""
    return {
        "format": FORMAT,
        "report_id": report.report_id,
        "image": report.image,
        "size_px": list(report.size_px),
        "sentences": [_sentence_to_json(report, place) for place in range(len(report.sentences))],
        "regions": [region_to_json(region) for region in report.all_regions],
        "presences": {phrase: round(chance, 4) for phrase, chance in report.presences.items()},
        "agreement": agreement_to_json(agreed) if (agreed := report.agreement) else None,
        "model": report.model,
        "adapter": report.adapter,
        "grounder": report.grounder,
        "negation": report.negation,
        "evidence": report.evidence,
        "other_views": list(report.other_views),
        "versions": dict(report.versions),
        "notice": report.notice,
    }


def _sentence_to_json(report: GroundedReport, place: int) -> dict[str, Any]:
    sentence = report.sentences[place]
    row: dict[str, Any] = {
        "text": sentence.text,
        "is_negated": sentence.is_negated,
        "regions": report.places(sentence),
    }
    if report.attributions:
        row |= attribution_to_json(report.attributions[place])
    if flags := report.flags(place):
        row["contradictions"] = [contradiction_to_json(found) for found in flags]
    return row


def from_json(values: Mapping[str, Any]) -> GroundedReport:
    """The inverse of `to_json`. Raises `BadInput` for another format, a missing key or an index without a region."""
    if values.get("format") != FORMAT:
        raise BadInput(f"format is {values.get('format')!r}.", fix=f"this version reads {FORMAT!r}")
    try:
        regions = tuple(region_from_json(region) for region in values["regions"])
        rows = values["sentences"]
        width, height = values["size_px"]
        return GroundedReport(
            report_id=values["report_id"],
            image=values["image"],
            size_px=(width, height),
            sentences=tuple(_sentence(row, regions) for row in rows),
            regions=regions,
            attributions=tuple(_attribution(row) for row in rows if "support" in row),
            contradictions=tuple(
                Contradiction(sentence=place, **flag)
                for place, row in enumerate(rows)
                for flag in row.get("contradictions", ())
            ),
            presences=values.get("presences", {}),
            grounder=values.get("grounder", ""),
            negation=values.get("negation", "rules"),
            other_views=tuple(values.get("other_views", ())),
            **{key: values[key] for key in ("model", "adapter", "evidence", "versions", "notice")},
        )
    except (KeyError, IndexError, TypeError) as error:
        raise BadInput(
            f"{type(error).__name__}: {error}.", fix="`medglip report schema` prints what the JSON holds"
        ) from error


def _sentence(values: Mapping[str, Any], regions: tuple[Region, ...]) -> Sentence:
    spoken = tuple(regions[place] for place in values["regions"])
    return Sentence(text=values["text"], regions=spoken, is_negated=values["is_negated"])


def _attribution(row: Mapping[str, Any]) -> Attribution:
    return Attribution(
        text=row["text"],
        cited=tuple(row["cited"]),
        grounded=tuple(row["grounded"]),
        missing=tuple(row["missing_citations"]),
        is_negated=row["is_negated"],
        is_normal=row["is_normal"],
    )
