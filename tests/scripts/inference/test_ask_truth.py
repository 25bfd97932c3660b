"""What `medglip vqa ask` says, holds back, and leaves to the regions: a model that always says the same."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from making import make_image
from PIL import Image

from medglip.grounding.evidence.evidence import EvidenceSettings, select
from medglip.grounding.grounder import Grounder
from medglip.grounding.types import AnnotatedImage, Region
from medglip.scripts.inference.answers import as_json
from medglip.scripts.inference.ask import Asked, ask_question
from medglip.scripts.inference.system import TrainedSystem
from medglip.scripts.inference.systems import RulesSystem
from medglip.scripts.inference.trust.sides import patient_left
from medglip.vqa.inference.confidence import FILE, Confidence, KindScore
from medglip.vqa.inference.generate import ScoredAnswer
from medglip.vqa.inference.rules import ABSTENTION


class Finder(Grounder):
    """Finds two white blood cells and the left lung, and is asked of microscopy and X-rays alone."""

    fingerprint = "finder"
    found = (
        Region(phrase="white blood cell", box_xyxy_px=np.array([2, 4, 12, 14], np.float32), score=0.9),
        Region(phrase="white blood cell", box_xyxy_px=np.array([20, 4, 30, 14], np.float32), score=0.8),
        Region(phrase="left lung", box_xyxy_px=np.array([40, 4, 58, 38], np.float32), score=0.9),
    )

    def ground(self, images: Sequence[AnnotatedImage], phrases: Sequence[Sequence[str]]) -> list[list[Region]]:
        return [[one for one in self.found if one.phrase in row] for row in phrases]


class Says(TrainedSystem):
    """An adapter that gives one answer to everything."""

    checkpoint, core_name, mllm = None, "tiny", None  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    folder, shown = Path("adapter"), EvidenceSettings(forms=("text",))
    vocabulary = {"xray": ["left lung", "nodule"], "microscopy": ["white blood cell"]}  # noqa: RUF012  # pyright: ignore
    finder = reader = Finder()  # pyright: ignore

    def __init__(self, text: str, probability: float | None = 0.9, adapter: Path | None = None):
        self.text, self.probability, self.own = text, probability, adapter

    @property
    def core(self) -> Path:
        raise NotImplementedError

    def adapter(self, source: str) -> Path | None:
        return self.own

    def has_learned(self, task: str) -> bool:
        return True

    def answer(self, question: str, example: Any, source: str, *, is_closed: bool) -> ScoredAnswer:
        return ScoredAnswer(text=self.text, probability=self.probability, evidence=select(example.evidence, self.shown))


@pytest.fixture
def image(tmp_path: Path) -> AnnotatedImage:
    path = tmp_path / "a.png"
    Image.new("L", (60, 40), 90).save(path)
    return make_image("a", image_path=path, modality="xray", dataset="user", size_px=(60, 40))


def asked(image: AnnotatedImage, question: str, says: Says, **options: Any) -> Asked:
    return ask_question(says, [image], question, "predicted", **options)


@pytest.mark.parametrize(
    ("question", "says", "held"),
    [
        ("Where is the nodule?", Says("right", 0.9), "nothing of nodule was found"),
        ("Where is the left lung?", Says("right", 0.9), ""),
        ("Is there a nodule?", Says("no", 0.9), ""),  # that it is not seen is an answer
        ("Is there a nodule?", Says("yes", 0.9), "nothing of nodule was found"),
        ("How many nodules are there?", Says("two", 0.9), "nothing of nodule was found"),
        ("How many nodules are there?", Says("0", 0.9), ""),
        ("Is there a kidney?", Says("no", 0.9), "this core never learned it"),
        ("Is there a nodule?", Says("no", 0.1), "its probability of 0.10 is below 0.25"),
        ("What is abnormal?", Says("pleural thickening", 0.9), "no region of pleural thickening was found"),
        ("What is this?", Says("a chest", 0.9), ""),
        ("What organ is this?", Says("gallbladder", 0.9), "no region of gallbladder was found"),
        ("What organ is this?", Says("lung", 0.9), ""),
        ("Is there a Herz?", Says("yes", 0.9), "nothing of Herz was looked for, which is no label"),
    ],
)
def test_an_answer_that_nothing_supports_is_held_back(
    image: AnnotatedImage, question: str, says: Says, held: str
) -> None:
    found = asked(image, question, says)
    assert held in found.held
    assert (found.text == ABSTENTION) is bool(held)
    assert any(line.startswith("answer: ") for line in found.lines)
    assert as_json(found).get("held_back") == (found.said if held else None)


class FaintFinder(Finder):
    """Has a guess where a nodule would be."""

    found = (*Finder.found, Region(phrase="nodule", box_xyxy_px=np.array([40, 4, 58, 38], np.float32), score=0.1))


@pytest.mark.parametrize("is_rules", [False, True])
def test_an_answer_that_rests_on_a_guess_is_held_back_and_told(image: AnnotatedImage, is_rules: bool) -> None:
    says: TrainedSystem = RulesSystem() if is_rules else Says("right", 0.9)
    says.finder = FaintFinder()  # pyright: ignore
    if not is_rules:
        says.reader = says.finder  # pyright: ignore
    found = ask_question(says, [image], "Where is the nodule?", "predicted")
    assert (found.text, found.held) == (ABSTENTION, "nothing of nodule was found")
    assert found.answered.evidence.regions[0].phrase == "nodule"
    assert found.said.startswith(("right", "the image's right", "right part"))
    assert "nodule: not seen" in found.notes
    # whether it is there, a guess does not tell
    open_question = ask_question(says, [image], "Is there a nodule?", "predicted")
    assert "nodule" not in [region.phrase for region in open_question.answered.evidence.regions]


def test_a_place_that_no_region_shows_is_held_back(image: AnnotatedImage) -> None:
    unknown = replace(image, modality="unknown")  # nothing is looked for
    assert asked(unknown, "On which side is it?", Says("right")).held == "no region that shows a place was found"
    assert asked(unknown, "What is this?", Says("a chest")).held == ""


def test_the_threshold_of_the_adapter_goes_before_the_default(image: AnnotatedImage, tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(Confidence(threshold=0.95, num=50).model_dump_json())
    found = asked(image, "Is there a nodule?", Says("no", 0.9, tmp_path))
    assert found.text == ABSTENTION
    assert "held back: “no”, for its probability of 0.90 is below 0.95" in found.lines


def test_regions_answer_what_they_know_better_and_say_so(image: AnnotatedImage, tmp_path: Path) -> None:
    cells = replace(image, modality="microscopy")
    question = "How many white blood cells are there?"
    found = asked(cells, question, Says("three"))
    assert found.text == "2"
    assert any("by the regions alone, of score 0.5 or more" in line for line in found.lines)
    assert as_json(found)["probability"] is None
    # measured: the model knows better
    kinds = {"count": KindScore(num=20, model=19, rules=3)}
    (tmp_path / FILE).write_text(Confidence(threshold=0.2, num=50, kinds=kinds).model_dump_json())
    assert asked(cells, question, Says("three", adapter=tmp_path)).text == "three"
    # nothing found: the regions do not answer "0"
    assert asked(image, "How many nodules are there?", Says("one")).by_rules == ""


def test_phrases_that_are_no_labels_were_not_learned_or_not_seen_are_told_apart(image: AnnotatedImage) -> None:
    lines = asked(image, "Is there a nodule or a kidney?", Says("no")).lines
    assert "nodule: not seen" in lines
    told = next(line for line in lines if line.startswith("kidney: not among the "))
    assert "labels; a guess, nothing found; this core learned no others" in told
    assert any(line.startswith("Herz: not among the ") for line in asked(image, "Where is the Herz?", Says("no")).lines)
    unknown = asked(replace(image, modality="histology"), "Is there a nodule?", Says("no")).lines
    assert any(line.startswith("this core knows nothing of histology") for line in unknown)


def test_a_faint_second_region_does_not_hide_how_the_patient_lies(image: AnnotatedImage) -> None:
    faint = Region(phrase="left lung", box_xyxy_px=np.array([2, 4, 12, 14], np.float32), score=0.1)
    right = Region(phrase="right lung", box_xyxy_px=np.array([4, 4, 22, 38], np.float32), score=0.8)
    assert patient_left(image, [*Finder.found, right, faint]) == "right"


def test_answers_name_whose_side_they_mean(image: AnnotatedImage) -> None:
    def said(question: str, text: str, of: AnnotatedImage = image, **options: Any) -> str:
        return asked(of, question, Says(text), **options).said

    # the regions show the left lung at the image's right; "left" is the patient's then
    assert said("Which side shows the left lung?", "Right") == "The image's right"
    assert said("Which side shows the left lung?", "Left") == "The patient's left"
    assert said("Which side of the patient shows the left lung?", "Left").lower() == "the patient's left"
    chest = replace(image, body_part="chest")
    assert said("Which side shows the left lung?", "Right", chest, side="patient") == "The patient's left"
    assert said("Which side shows the left lung?", "Right", side="patient") == "The image's right"
    note = asked(image, "Why?", Says("left"), side="patient").lines
    assert any("the patient's are not known here" in line for line in note)


class Asks(Says):
    """Remembers what it was asked."""

    def answer(self, question: str, example: Any, source: str, *, is_closed: bool) -> ScoredAnswer:
        self.heard = question, example.instruction
        return super().answer(question, example, source, is_closed=is_closed)


@pytest.mark.parametrize(
    ("question", "of_image", "of_patient"),
    [  # the left lung is seen at the image's right
        ("Is the left lung on the left?", "no", "yes"),
        ("Is the left lung on the right side?", "yes", "no"),
        ("Is the left lung in the left half of the image?", "no", "no"),
        ("Is the left lung on the patient's left?", "yes", "yes"),
        ("Is there a left lung?", "yes", "yes"),
    ],
)
def test_sides_of_a_question_are_those_that_the_answer_tells(
    image: AnnotatedImage, question: str, of_image: str, of_patient: str
) -> None:
    chest, rules = replace(image, body_part="chest"), RulesSystem()
    rules.finder = Finder()  # pyright: ignore
    told = {side: ask_question(rules, [chest], question, "predicted", side=side) for side in ("image", "patient", None)}
    assert [told[side].text for side in ("image", "patient", None)] == [of_image, of_patient, of_image]
    # whose sides are meant is told where the question leaves it open
    is_open = " on the left?" in question or " on the right side?" in question
    assert any(note.startswith("sides: of the image") for note in told[None].notes) is is_open
    # a model that learned sides of the image is asked for these
    model = Asks("yes")
    ask_question(model, [replace(chest, body_part="chest")], question, "withheld", side="patient")
    assert model.heard[0] in model.heard[1]
    assert (model.heard[0] != question) is is_open


def test_what_was_learned_in_other_images_alone_is_a_guess(image: AnnotatedImage) -> None:
    cell = replace(image, modality="microscopy")
    rules = RulesSystem()
    rules.finder, rules.vocabulary = Finder(), Says.vocabulary  # pyright: ignore
    for system in (Says("yes"), rules):
        found = ask_question(system, [cell], "Is there a left lung?", "predicted")
        assert (found.text, found.by_rules) == (ABSTENTION, "")
        assert found.held == "left lung was learned in images of other kinds alone (X-ray)"
        assert "left lung: learned in images of other kinds alone (X-ray); a guess" in found.notes
    assert ask_question(Says("yes"), [image], "Is there a left lung?", "predicted").held == ""
