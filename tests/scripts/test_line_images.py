"""Every image of a question is looked at, and what is found in each reaches the prompt and the record."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from medglip.grounding.bad_input import Skipped
from medglip.grounding.evidence import EvidenceSettings
from medglip.grounding.types import Region, Study
from medglip.report.task import Report
from medglip.scripts.line import Line
from medglip.vqa.mllm.generate import Generated
from medglip.vqa.mllm.predict import Job, _record
from medglip.vqa.task import Question


class Finder:
    """Finds every phrase it is asked for, in the corner; says what it was asked."""

    fingerprint, embedding_dim = "f" * 64, 2

    def __init__(self) -> None:
        self.asked: dict[str, tuple[str, ...]] = {}

    def ground(self, studies: Sequence[Study], phrases: Sequence[Sequence[str]]) -> list[list[Region]]:
        self.asked |= {study.study_id: tuple(row) for study, row in zip(studies, phrases, strict=True)}
        box = np.array([0, 0, 5, 5], np.float32)
        mask = np.ones((20, 30), bool)
        return [
            [Region(phrase=p, box_xyxy_px=box, mask=mask, embedding=np.ones(2, np.float32)) for p in row]
            for row in phrases
        ]


@pytest.fixture
def line(tmp_path: Path) -> Any:
    recipe = SimpleNamespace(sources=["none", "predicted"], evidence=EvidenceSettings(), seed=0)
    vocabulary = {"ct": ("liver",), "mr": ("brain",)}
    made: Any = SimpleNamespace(
        recipe=recipe, vocabulary=vocabulary, grounder=Finder(), out=tmp_path, skipped=Skipped(), caches=None
    )
    for name in ("query", "caches_of", "evidence", "examples"):
        setattr(made, name, getattr(Line, name).__get__(made))
    return made


def study(folder: Path, name: str, modality: str, shade: int) -> Study:
    path = folder / f"{name}.png"
    Image.new("L", (30, 20), shade).save(path)
    return Study(
        study_id=name, image_path=path, modality=modality, group=name, dataset="t", split="test", size_px=(30, 20)
    )


def test_every_image_of_a_question_and_the_first_of_a_report(line: Any, tmp_path: Path) -> None:
    a, b, c = (study(tmp_path, name, kind, k) for k, (name, kind) in enumerate([("a", "ct"), ("b", "mr"), ("c", "ct")]))
    question = Question(
        question_id="q", study=a, others=(b,), question="?", answer="yes", answer_type="closed", phrases=("cyst",)
    )
    report = Report(report_id="r", study=c, others=(a,), text="Clear.", section="findings")
    caches = line.caches_of([question, report])
    assert line.grounder.asked == {"a": ("cyst", "liver"), "b": ("cyst", "brain"), "c": ("liver",)}
    asked, written = line.examples("predicted", [question, report], caches)
    found = [(image, region.phrase) for image, region in asked.evidence.numbered]
    assert found == [(1, "cyst"), (1, "liver"), (2, "cyst"), (2, "brain")]
    assert all(region.mask is None for _, region in asked.evidence.numbered)
    assert (written.evidence.others, len(written.evidence.regions)) == ((), 1)
    fields = dict.fromkeys(("dataset", "split", "image_id", "cluster_id", "question", "answer"), "x")
    job = Job(example=asked, fields={**fields, "task": "vqa"})
    record = _record(job, Generated(text="yes", prompt_sha256="", seconds=0.0), EvidenceSettings(max_regions=3))
    # asked phrases come first, then the best; two of the first image
    assert [region["phrase"] for region in record.regions] == ["cyst", "liver"]
    assert [(row["image"], row["phrase"]) for row in record.meta["other_regions"]] == [(2, "cyst")]
    single = replace(job, example=replace(asked, evidence=replace(asked.evidence, others=())))
    assert (
        "other_regions"
        not in _record(single, Generated(text="yes", prompt_sha256="", seconds=0.0), EvidenceSettings()).meta
    )
