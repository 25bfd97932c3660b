"""Reports of phantoms: each sentence is true by its regions, and together they tell every finding once."""

import json
import re
from pathlib import Path

import pytest

from medglip.grounding.bad_input import BadInput
from medglip.grounding.datasets.phantoms import dataset as phantom
from medglip.grounding.datasets.phantoms.draw import FINDINGS
from medglip.grounding.geometry import area, where
from medglip.grounding.types import Region
from medglip.grounding.vocabulary.labels import load_labels
from medglip.grounding.vocabulary.sentences import Sentence
from medglip.report.datasets.phantom import read_reports
from medglip.report.task import Report

NUMBERS = {"Two": 2, "Three": 3}


def _told(sentence: Sentence) -> Region:
    """The region the sentence places: the largest of its regions."""
    return max(sentence.regions, key=lambda region: float(area(region.box_xyxy_px)))


def test_sentences_make_the_text(reports: list[Report]) -> None:
    assert len(reports) == 105
    for report in reports:
        assert report.text == " ".join(sentence.text for sentence in report.sentences)
        assert 2 <= len(report.sentences) <= 4
        assert 15 <= len(report.text.split()) <= 40


def test_places_and_numbers_are_those_of_the_regions(reports: list[Report]) -> None:
    for report in reports:
        for sentence in (sentence for sentence in report.sentences if not sentence.is_negated):
            region = _told(sentence)
            place = where(region.box_xyxy_px, report.image.size_px)
            assert f"in the {place} part of the image." in sentence.text
            assert load_labels().phrases_in(sentence.text) == (region.phrase,)
            assert {r.phrase for r in sentence.regions} == {region.phrase}
            assert len(sentence.regions) == NUMBERS.get(sentence.text.split()[0], 1)


def test_every_finding_is_told_once_and_absence_is_true(reports: list[Report]) -> None:
    for report in reports:
        findings = [region for region in report.image.regions if region.phrase in FINDINGS[report.image.modality]]
        told = [region for sentence in report.sentences for region in sentence.regions]
        assert len([region for region in told if region.phrase in FINDINGS[report.image.modality]]) == len(findings)
        assert all(any(region is known for known in report.image.regions) for region in told)
        denied = {label for s in report.sentences if s.is_negated for label in load_labels().phrases_in(s.text)}
        assert denied == set(FINDINGS[report.image.modality]) - {region.phrase for region in findings}
        assert all(not sentence.regions for sentence in report.sentences if sentence.is_negated)


def test_reports_differ_from_picture_to_picture(reports: list[Report]) -> None:
    assert len({report.text for report in reports}) > 0.85 * len(reports)


@pytest.mark.parametrize("regions", [[99], [-1], ["liver"], None])
def test_a_bad_row_is_named(phantoms: Path, tmp_path: Path, regions: object) -> None:
    rows = [json.loads(line) for line in (phantoms / "reports.jsonl").read_text().splitlines()]
    rows[1]["sentences"][0]["regions"] = regions
    file = tmp_path / "reports.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(BadInput, match=f"^{re.escape(str(file))}: row 2: malformed sentence"):
        read_reports(tmp_path, phantom.read(phantoms))


def test_a_missing_column_or_file_is_named(phantoms: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"reports\.jsonl: no such file"):
        read_reports(tmp_path, phantom.read(phantoms))
    (tmp_path / "reports.jsonl").write_text('{"report_id": "a", "study_id": "b", "text": "c"}\n')
    with pytest.raises(BadInput, match="row 1: no sentences"):
        read_reports(tmp_path, phantom.read(phantoms))
