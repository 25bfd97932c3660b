"""Every image of a question is looked at, and what is found in each reaches the prompt and the record."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from making import make_image
from PIL import Image

from medglip.grounding.bad_input import Skipped
from medglip.grounding.evidence.evidence import EvidenceSettings, select
from medglip.grounding.grounder import Grounder
from medglip.grounding.run_folder import RunFolder
from medglip.grounding.types import AnnotatedImage, Region
from medglip.report.task import Report
from medglip.scripts.inference.ask import ask
from medglip.scripts.inference.system import TrainedSystem
from medglip.scripts.pipeline.pipeline import Pipeline
from medglip.vqa.inference.generate import Generated, ScoredAnswer
from medglip.vqa.inference.predict import to_record
from medglip.vqa.prompt.prompt import Example, instruction_text
from medglip.vqa.task import Job, Question


class Finder(Grounder):
    """Finds every phrase it is asked for, in the corner; says what it was asked."""

    fingerprint, embedding_dim = "f" * 64, 2

    def __init__(self) -> None:
        self.asked: dict[str, tuple[str, ...]] = {}

    def ground(self, images: Sequence[AnnotatedImage], phrases: Sequence[Sequence[str]]) -> list[list[Region]]:
        self.asked |= {image.image_id: tuple(row) for image, row in zip(images, phrases, strict=True)}
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
        recipe=recipe,
        vocabulary=vocabulary,
        usual=vocabulary,
        grounder=Finder(),
        folder=RunFolder(tmp_path),
        skipped=Skipped(),
        caches=None,
        half_cores=(),
    )
    for name in ("query", "caches_of", "_finders", "_lookers", "evidence"):
        setattr(made, name, getattr(Pipeline, name).__get__(made))
    return made


def image(folder: Path, name: str, modality: str, shade: int) -> AnnotatedImage:
    path = folder / f"{name}.png"
    Image.new("L", (30, 20), shade).save(path)
    return make_image(name, image_path=path, modality=modality, size_px=(30, 20))


def test_every_image_of_a_question_and_of_a_report(line: Any, tmp_path: Path) -> None:
    a, b, c = (image(tmp_path, name, kind, k) for k, (name, kind) in enumerate([("a", "ct"), ("b", "mr"), ("c", "ct")]))
    question = Question(
        question_id="q", image=a, others=(b,), question="?", answer="yes", answer_type="closed", phrases=("cyst",)
    )
    report = Report(report_id="r", image=c, others=(a,), text="Clear.", section="findings")
    caches = line.caches_of([question, report])
    assert line.grounder.asked == {"a": ("cyst", "liver"), "b": ("cyst", "brain"), "c": ("liver",)}
    evidence = line.evidence("predicted", [question, report], caches)
    asked, written = question.to_example(evidence[0]), report.to_example(evidence[1])
    found = [(image, region.phrase) for image, region in asked.evidence.numbered]
    assert found == [(1, "cyst"), (1, "liver"), (2, "cyst"), (2, "brain")]
    assert all(region.mask is None for _, region in asked.evidence.numbered)
    assert [(image, region.phrase) for image, region in written.evidence.numbered] == [(1, "liver"), (2, "liver")]
    fields = dict.fromkeys(("dataset", "split", "image_id", "cluster_id", "question", "answer"), "x")
    job = Job(example=asked, fields={**fields, "task": "vqa"})
    settings = EvidenceSettings(max_regions=3)
    shown = select(asked.evidence, settings)
    record = to_record(job, Generated(text="yes", prompt_sha256="", seconds=0.0, evidence=shown), settings)
    # asked phrases come first, then the best; two of the first image
    assert [region["phrase"] for region in record.regions] == ["cyst", "liver"]
    assert [(row["image"], row["phrase"]) for row in record.meta["other_regions"]] == [(2, "cyst")]
    single = Generated(text="yes", prompt_sha256="", seconds=0.0, evidence=replace(shown, images=shown.images[:1]))
    assert "other_regions" not in to_record(job, single, EvidenceSettings()).meta


def test_a_report_of_one_image_is_asked_for_as_ever_and_of_several_image_by_image(line: Any, tmp_path: Path) -> None:
    a, b, c = (image(tmp_path, name, kind, k) for k, (name, kind) in enumerate([("a", "ct"), ("b", "mr"), ("c", "ct")]))
    single = Report(report_id="1", image=a, text="Clear.")
    several = replace(single, report_id="2", others=(b,), prior_image=c)
    settings = EvidenceSettings(forms=("text",))
    evidence = line.evidence("predicted", [single, several], line.caches_of([single, several]))
    alone, together = single.to_example(evidence[0]), several.to_example(evidence[1])
    assert instruction_text(alone, settings) == (
        "CT.\nEvidence (places on the image):\n1 liver, upper left, 0 0 17 25\n"
        "Write the findings of this image as a short report."
    )
    lines = instruction_text(together, settings).splitlines()
    assert lines[:7] == [
        "Evidence (places on the image):",
        "Image 1:",
        "1 liver, upper left, 0 0 17 25",
        "Image 2:",
        "2 brain, upper left, 0 0 17 25",
        "Image 3:",
        "3 liver, upper left, 0 0 17 25",
    ]


def test_ask_says_which_image_a_region_is_in(tmp_path: Path) -> None:
    finder, shown, seen = Finder(), EvidenceSettings(cite=True, max_regions=3), []
    run: Any = SimpleNamespace(
        folder=tmp_path,
        recipe=None,
        finder=finder,
        adapter=lambda source: None,
        vocabulary={"ct": ["liver"], "mr": ["brain"]},
        shown=shown,
        regions=lambda one, phrases: finder.ground([one], [phrases])[0],
        model=lambda source: None,
        evidence_settings=lambda source: shown,
    )
    for name in ("query", "look"):
        setattr(run, name, getattr(TrainedSystem, name).__get__(run))

    def answer(question: str, example: Example, *_: Any, **__: Any) -> ScoredAnswer:
        seen.append(example)
        return ScoredAnswer(text="yes [3, 4]", probability=0.5, evidence=select(example.evidence, shown))

    run.answer = answer
    first, second = image(tmp_path, "a", "ct", 1), image(tmp_path, "b", "mr", 2)
    told = ask(run, [first, second], "Is there a cyst?", "predicted")
    lines = [line for line in told if line.startswith(("evidence", "cites"))]
    assert [line.split(" 1.00 ")[0] for line in lines[:3]] == [
        "evidence 1: cyst",
        "evidence 2: liver",
        "evidence 3: cyst",
    ]
    assert [line.rpartition("]")[2] for line in lines[:3]] == [" in image 1", " in image 1", " in image 2"]
    assert "cites: [3]" in lines
    assert "cites a number that is not there: [4]" in lines
    assert [image for image, _ in select(seen[0].evidence, shown).numbered] == [1, 1, 2]
    of_one = ask(run, [first], "Is there a cyst?", "predicted")
    assert not any("image" in line for line in of_one if line.startswith("evidence"))
