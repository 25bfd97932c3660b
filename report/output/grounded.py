"""A report with the regions each sentence rests on, as one JSON file and one HTML page.

The JSON, keys in this order; `schema.py` has the JSON Schema, `medglip report schema` prints it:

    {"format": "medglip-report-1",
     "report_id": "covid_notes-17", "image": "17.jpg", "size_px": [512, 409],
     "sentences": [{"text": "Small nodule, upper left.", "is_negated": false, "regions": [0],
                    "cited": [0], "grounded": [0], "missing_citations": [], "is_normal": false, "support": "both",
                    "cited_elsewhere": [7], "elsewhere": ["17-lateral"],
                    "contradictions": [{"phrase": "nodule", "said": "present", "chance": 0.03}]}, ...],
     "regions": [{"phrase": "nodule", "box_xyxy_px": [x0, y0, x1, y1], "score": 0.91,
                  "path": ["chest", "lung"], "mask_rle": {"size": [height, width], "counts": [...]} or null}, ...],
     "presences": {"nodule": 0.03, ...}, "agreement": {"f1": 0.8, ...} or null,
     "modality": "ct", "notes": ["modality: CT (a guess)"], "in_distribution": false, "ood_score": 0.7,
     "limits": {"absent_below": 0.1, "present_above": 0.6, "region_score": 0.5},
     "model": "...", "adapter": "...", "grounder": "...", "negation": "rules", "evidence": "predicted",
     "forms": ["text", "crops"], "other_views": ["17-lateral"],
     "versions": {"medglip": "0.1.0", ...}, "notice": "Research use, not for diagnosis."}

Boxes are pixels of the original image. `cited` to `support` are there where a sentence was read both ways
(`attribution.py`), `cited_elsewhere` to `remarks` where there is one, `in_distribution` and `ood_score` where the
grounder can tell. Older files have none of them, nor `presences`, `agreement`, `grounder`, `negation`, `forms`,
`other_views`, `modality`, `notes`, `limits`; they are still read.
"""

import hashlib
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ...grounding.bad_input import ROW_ERRORS, BadInput
from ...grounding.types import NOTICE as NOTICE
from ...grounding.types import Region, region_from_json, region_to_json
from ...grounding.vocabulary.attribution import (
    SUPPORTS,
    Agreement,
    Attribution,
    Support,
    agreement_to_json,
    attribution_from_json,
    attribution_to_json,
    count_agreement,
)
from ...grounding.vocabulary.contradictions import Contradiction, ContradictionSettings
from ...grounding.vocabulary.negation import Negation
from ...grounding.vocabulary.remarks import Remark
from ...grounding.vocabulary.sentences import Sentence

FORMAT = "medglip-report-1"
MARKED = "marked region"
"""The phrase of a box that a user drew and whose content has no name yet."""


def installed_versions() -> dict[str, str]:
    """Versions of the installed packages that shape a report; nothing is imported."""
    versions: dict[str, str] = {}
    for name in ("medglip", "torch", "transformers", "peft"):
        with suppress(PackageNotFoundError):
            versions[name] = version(name)
    return versions


def score_in_words(region: Region) -> str:
    """The score with two decimals; "" for a box that a user drew, which nobody has scored."""
    return "" if region.phrase == MARKED else f"{region.score:.2f}"


@dataclass(frozen=True, kw_only=True, eq=False)
class GroundedReport:
    """One generated report. `image`: its file name without a folder; `size_px`: (width, height) of the original.

    `regions`: the evidence shown to the model, spoken of or not; `evidence`: its source; `forms`: how it was shown;
    `versions`: software by name, what is installed when left out. `attributions`: one a sentence, read with `regions`,
    or none at all;
    `contradictions`: flags of sentences; `presences`: the grounder's calibrated chance in [0, 1] by phrase; `negation`:
    engine that decided what a sentence denies; `other_views`: ids of the reports of the same text about the study's
    other images. `remarks`: what else is to be looked at in a sentence; `limits`: from where on one is flagged.
    `modality`: our name, as told or guessed, "" where neither; `notes`: lines about the whole image; `ood_score` in
    [0, 1]: how unlike what the grounder learned from it is, None where that is not known, and then `in_distribution`.
    `date`: when it was written, `2026-01-31`; `indication`: why the images were taken, as the user told it;
    `prior`: what of the earlier study the model was shown, names of image files and `report`. `elsewhere`: sentences
    (by index) without a region in this image, and the ids of the study's other images in which they have one.
    """

    report_id: str
    image: str
    size_px: tuple[int, int]
    sentences: tuple[Sentence, ...]
    regions: tuple[Region, ...] = ()
    model: str = ""
    adapter: str = ""
    evidence: str = "none"
    forms: tuple[str, ...] = ()
    versions: Mapping[str, str] = field(default_factory=installed_versions)
    notice: str = NOTICE
    grounder: str = ""
    negation: Negation = "rules"
    attributions: tuple[Attribution, ...] = ()
    contradictions: tuple[Contradiction, ...] = ()
    presences: Mapping[str, float] = field(default_factory=dict)
    other_views: tuple[str, ...] = ()
    remarks: tuple[Remark, ...] = ()
    limits: ContradictionSettings = field(default_factory=ContradictionSettings)
    modality: str = ""
    notes: tuple[str, ...] = ()
    in_distribution: bool | None = None
    ood_score: float | None = None
    date: str = ""
    indication: str = ""
    prior: tuple[str, ...] = ()
    elsewhere: Mapping[int, tuple[str, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if Path(self.image).name != self.image or "\\" in self.image:
            raise BadInput(f"image name {self.image!r} holds a folder.", fix="give the file's name alone")
        if self.attributions and len(self.attributions) != len(self.sentences):
            raise BadInput(f"{len(self.attributions)} attributions for {len(self.sentences)} sentences.")
        if any(not 0 <= flag.sentence < len(self.sentences) for flag in (*self.contradictions, *self.remarks)):
            raise BadInput("a contradiction flags a sentence that is not there.")

    @property
    def text(self) -> str:
        """The sentences joined by a blank."""
        return " ".join(sentence.text for sentence in self.sentences)

    @property
    def all_regions(self) -> tuple[Region, ...]:
        """Every region once: `regions`, then those that only a sentence holds; in the order of the JSON."""
        of_sentences = [region for sentence in self.sentences for region in sentence.regions]
        # By identity, not by value: two regions may be equal and still be two.
        return tuple({id(region): region for region in [*self.regions, *of_sentences]}.values())

    def region_indices(self, sentence: Sentence) -> list[int]:
        """Indices into `all_regions` of the sentence's regions."""
        index_of = {id(region): index for index, region in enumerate(self.all_regions)}
        return [index_of[id(region)] for region in sentence.regions]

    @property
    def agreement(self) -> Agreement | None:
        """How far citing and grounding agree; None where sentences were not read both ways."""
        if not self.attributions:
            return None
        supports = [self.support(index) for index in range(len(self.attributions))]
        counts = count_agreement(self.attributions, self.regions)
        return replace(counts, supports=tuple(supports.count(name) for name in SUPPORTS))

    def flags(self, index: int) -> list[Contradiction]:
        """What contradicts a sentence."""
        return [flag for flag in self.contradictions if flag.sentence == index]

    def support(self, index: int) -> Support | None:
        """Which way gives a sentence regions of this study; None where that is not known.

        A citation of the earlier study, or of a region of another phrase, is none.
        """
        if not self.attributions:
            return None
        own, is_elsewhere = self.attributions[index].support, index in self.elsewhere
        if own != "not_needed" and not self.sentences[index].regions and not is_elsewhere:
            return "neither"
        return "grounded" if own == "neither" and is_elsewhere else own

    def checks(self, index: int) -> list[str]:
        """What a reader should look at in a sentence: what contradicts it, and a claim without any region."""
        checks = [flag.words for flag in self.flags(index)]
        checks += [remark.words for remark in self.remarks if remark.sentence == index]
        if self.support(index) == "neither":
            of_study = " of this study" if self.attributions[index].elsewhere else ""
            checks.append(f"rests on no region{of_study}, cited or found")
        if missing := self.attributions[index].missing if self.attributions else ():
            checks.append(f"cites {', '.join(f'[{number}]' for number in missing)}, which is not there")
        return [f"Sentence {index + 1} {check}." for check in checks]

    @property
    def all_checks(self) -> list[str]:
        """What a reader should look at, sentence by sentence: contradictions, claims and citations without a region."""
        return [check for index in range(len(self.sentences)) for check in self.checks(index)]

    @property
    def how_flagged(self) -> str:
        """From where on a sentence is flagged, in words."""
        limits = self.limits
        return (
            f"A denial from a chance of {limits.present_above:.2f} on, or a region of score {limits.region_score:.2f}; "
            f"a finding below a chance of {limits.absent_below:.2f}"
        )


def file_stem(report_id: str) -> str:
    """A file name of the id; a changed id gets a few characters of its hash, so that no two ids share a file."""
    stem = re.sub(r"[^\w.-]", "_", report_id, flags=re.ASCII).lstrip(".")[:100]
    return stem if stem == report_id else f"{stem}-{hashlib.sha256(report_id.encode()).hexdigest()[:8]}"


def to_json(report: GroundedReport) -> dict[str, Any]:
    """The dictionary described at the top of this file."""
    rows: list[dict[str, Any]] = []
    for index, sentence in enumerate(report.sentences):
        regions = report.region_indices(sentence)
        rows.append({"text": sentence.text, "is_negated": sentence.is_negated, "regions": regions})
        if report.attributions:
            one = report.attributions[index]
            rows[-1] |= attribution_to_json(one) | {"support": report.support(index)}
            rows[-1] |= {"cited_elsewhere": list(one.elsewhere)} if one.elsewhere else {}
        if names := report.elsewhere.get(index):
            rows[-1]["elsewhere"] = list(names)
        if flags := report.flags(index):
            rows[-1]["contradictions"] = [_flag_to_json(flag, report.limits) for flag in flags]
        if remarks := [remark.words for remark in report.remarks if remark.sentence == index]:
            rows[-1]["remarks"] = remarks
    known = {"in_distribution": report.in_distribution, "ood_score": report.ood_score}
    told = {"date": report.date, "indication": report.indication, "prior": list(report.prior)}
    return {
        "format": FORMAT,
        "report_id": report.report_id,
        "image": report.image,
        "size_px": list(report.size_px),
        "sentences": rows,
        "regions": [region_to_json(region) for region in report.all_regions],
        "presences": {phrase: round(chance, 4) for phrase, chance in report.presences.items()},
        "agreement": agreement_to_json(agreement) if (agreement := report.agreement) else None,
        "modality": report.modality,
        "notes": list(report.notes),
        **{key: value for key, value in known.items() if value is not None},
        **{key: value for key, value in told.items() if value},
        "limits": report.limits.model_dump(),
        **{key: getattr(report, key) for key in ("model", "adapter", "grounder", "negation", "evidence")},
        "forms": list(report.forms),
        "other_views": list(report.other_views),
        "versions": dict(report.versions),
        "notice": report.notice,
    }


def _flag_to_json(flag: Contradiction, limits: ContradictionSettings) -> dict[str, Any]:
    row: dict[str, Any] = {key: getattr(flag, key) for key in ("phrase", "said", "chance")}
    # a region spoke against the denial, not the chance
    return row if flag.limit == limits.present_above else row | {"limit": flag.limit}


def from_json(values: Mapping[str, Any]) -> GroundedReport:
    """The inverse of `to_json`. Raises `BadInput` for another format, a missing key or an index without a region."""
    if values.get("format") != FORMAT:
        raise BadInput(f"format is {values.get('format')!r}.", fix=f"this version reads {FORMAT!r}")
    try:
        regions = tuple(region_from_json(region) for region in values["regions"])
        rows = values["sentences"]
        width, height = map(int, values["size_px"])
        # before, denials were flagged above a chance of 0.9
        limits = ContradictionSettings.model_validate(values.get("limits", {"present_above": 0.9}))
        for key in ("report_id", "image", "model", "adapter", "evidence"):
            if not isinstance(values[key], str):
                raise BadInput(f"{key} is {values[key]!r}.", fix="give a text")
        return GroundedReport(
            report_id=values["report_id"],
            image=values["image"],
            size_px=(width, height),
            sentences=tuple(
                Sentence(
                    text=str(row["text"]),
                    regions=tuple(regions[k] for k in row["regions"]),
                    is_negated=row["is_negated"],
                )
                for row in rows
            ),
            regions=regions,
            # Rows of older files have no `support`: they were read one way.
            attributions=tuple(
                replace(attribution_from_json(row), elsewhere=tuple(row.get("cited_elsewhere", ())))
                for row in rows
                if "support" in row
            ),
            elsewhere={index: tuple(row["elsewhere"]) for index, row in enumerate(rows) if row.get("elsewhere")},
            contradictions=tuple(
                Contradiction(**{"sentence": index, "limit": limits.present_above, **flag})
                for index, row in enumerate(rows)
                for flag in row.get("contradictions", ())
            ),
            remarks=tuple(
                Remark(sentence=index, words=str(words))
                for index, row in enumerate(rows)
                for words in row.get("remarks", ())
            ),
            limits=limits,
            modality=str(values.get("modality", "")),
            notes=tuple(values.get("notes", ())),
            in_distribution=values.get("in_distribution"),
            ood_score=values.get("ood_score"),
            date=str(values.get("date", "")),
            indication=str(values.get("indication", "")),
            prior=tuple(values.get("prior", ())),
            presences=dict(values.get("presences", {})),
            grounder=str(values.get("grounder", "")),
            negation=values.get("negation", "rules"),
            other_views=tuple(values.get("other_views", ())),
            forms=tuple(values.get("forms", ())),
            versions=dict(values["versions"]),
            **{key: values[key] for key in ("model", "adapter", "evidence", "notice")},
        )
    except BadInput:
        raise
    except ROW_ERRORS as error:
        fix = "`medglip report schema` prints what the JSON holds"
        raise BadInput(f"{type(error).__name__}: {error}.", fix=fix) from error
