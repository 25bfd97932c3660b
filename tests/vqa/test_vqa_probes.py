"""Probes change what they name and nothing else, and pair with their originals."""

from collections import Counter
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from making import make_image, write_image

from medglip.eval.probes import IMAGE_PROBES
from medglip.eval.probes import PROBES as SCORED
from medglip.grounding.bad_input import BadInput
from medglip.grounding.evidence.evidence import Evidence
from medglip.grounding.types import AnnotatedImage, Region
from medglip.report.task import Report
from medglip.vqa.probes import PROBES, absent_pairs, corrupt, flip, probe_questions
from medglip.vqa.rephrasings import NUM
from medglip.vqa.task import Question


def image(
    name: str, modality: str = "ct", there: tuple[str, ...] = (), phrases: tuple[str, ...] = ()
) -> AnnotatedImage:
    return make_image(
        name,
        modality=modality,
        size_px=(80, 50),
        regions=tuple(Region(phrase=p, box_xyxy_px=np.array([0, 0, 9, 9], np.float32)) for p in there),
        phrases=phrases,
    )


def question(
    shown: AnnotatedImage, text: str = "Is the left lung clear?", answer: str = "yes", name: str = "q"
) -> Question:
    return Question(
        question_id=f"{name}-{shown.image_id}", image=shown, question=text, answer=answer, answer_type="closed"
    )


STUDIES = [image("a"), image("b"), image("c", "mr"), image("d", "mr"), image("e", "mr")]
QUESTIONS = [question(shown, name=name) for shown in STUDIES for name in ("q", "r")]
LABELS = ("liver", "spleen", "left kidney", "right kidney", "kidney", "liver tumor")


def test_probes_are_those_that_are_scored_and_adversarial_pairs() -> None:
    assert set(PROBES) == {*SCORED, "absent"}


@pytest.mark.parametrize("name", IMAGE_PROBES)
def test_a_probe_keeps_ids_and_says_what_it_is(name: str) -> None:
    changed = probe_questions(name, QUESTIONS, seed=3)  # pyright: ignore[reportArgumentType]
    assert [q.question_id for q in changed] == [q.question_id for q in QUESTIONS]
    assert {q.meta["probe"] for q in changed} == {name}
    assert not any(q.meta for q in QUESTIONS)
    if name != "flipped":
        assert [(q.question, q.answer) for q in changed] == [(q.question, q.answer) for q in QUESTIONS]
    if name != "shuffled":
        assert [q.image for q in changed] == [q.image for q in QUESTIONS]


def test_shuffled_is_another_image_of_the_modality_the_same_for_all_its_questions() -> None:
    several = [*QUESTIONS, replace(QUESTIONS[0], question_id="two", others=(STUDIES[1],))]
    changed = probe_questions("shuffled", several, seed=1)
    donors = {old.image.image_id: new.image.image_id for old, new in zip(several, changed, strict=True)}
    assert all(donor != name for name, donor in donors.items())
    assert sorted(donors.values()) == sorted(donors)
    assert all(new.image.modality == old.image.modality for old, new in zip(several, changed, strict=True))
    assert [shown.image_id for shown in changed[-1].images] == ["b", "a"]
    assert [q.image for q in probe_questions("shuffled", several, seed=1)] == [q.image for q in changed]
    with pytest.raises(BadInput, match="one image alone"):
        probe_questions("shuffled", QUESTIONS[:2])


def test_corrupt_asks_in_five_severities_and_leaves_question_and_answer(tmp_path: Path) -> None:
    shown = image("x", "xray")
    write_image(tmp_path / "x.png", (80, 50), colour=128)
    asked = question(replace(shown, image_path=tmp_path / "x.png"))
    changed = probe_questions("corrupt", [asked], folder=tmp_path / "made")
    assert [q.meta["severity"] for q in changed] == [1, 2, 3, 4, 5]
    assert len({q.question_id for q in changed} | {q.image.image_id for q in changed}) == 10
    for one in changed:
        assert one.question_id.startswith(asked.question_id)
        assert (one.question, one.answer, one.meta["original"]) == (asked.question, asked.answer, asked.question_id)
        assert one.image.image_path.is_file()
    assert len({one.image.image_path.read_bytes() for one in changed}) == 5
    assert len({q.meta["corruption"] for q in changed}) == 1
    missing = question(image("none"))
    assert all(q.image is missing.image for q in probe_questions("corrupt", [missing], folder=tmp_path))


def test_corrupted_reports_change_every_picture(tmp_path: Path) -> None:
    images = [replace(image(n, "xray"), image_path=write_image(tmp_path / f"{n}.png", colour=99)) for n in "abcd"]
    first, other, prior, older = images
    report = Report(
        report_id="r",
        image=first,
        text="Clear.",
        others=(other,),
        prior_image=prior,
        prior_others=(older,),
        views=("PA",),
    )
    changed = corrupt([report], tmp_path / "made")
    assert [one.report_id for one in changed] == [f"r/corrupt-{severity}" for severity in range(1, 6)]
    for one in changed:
        assert (one.text, one.views, one.meta["original"]) == ("Clear.", ("PA",), "r")
        assert len({shown.image_path for shown in (*one.images, *images)}) == 8
        assert all(shown.image_path.is_file() for shown in one.images)


def test_rephrased_asks_in_other_words_for_the_same_answer() -> None:
    changed = probe_questions("rephrased", QUESTIONS[:2])
    assert len({q.question_id for q in changed}) == len(changed) == 2 * NUM
    for one in changed:
        original = next(q for q in QUESTIONS if q.question_id == one.meta["original"])
        assert one.question_id.startswith(original.question_id)
        assert one.question != original.question
        assert (one.answer, one.image, one.meta["probe"]) == (original.answer, original.image, "rephrased")


sided = st.lists(
    st.sampled_from(["left", "Right", "lung", "LLL", "rt.", "bilateral", "left ventricle", "upper", "L", "yes", "?"])
)


@given(sided.map(" ".join), sided.map(" ".join))
def test_flipped_twice_is_the_same_question(text: str, answer: str) -> None:
    before = question(STUDIES[0], text, answer)
    (once,) = flip([before])
    (twice,) = flip([once])
    assert (once.transform, once.meta["probe"]) == ("flipped", "flipped")
    assert all(getattr(twice, item.name) == getattr(before, item.name) for item in fields(Question))


def test_flipped_changes_sides_in_question_answer_and_evidence() -> None:
    lung = Region(phrase="left lung", box_xyxy_px=np.array([50, 5, 70, 45], np.float32))
    evidence = Evidence.of_image("predicted", (80, 50), (lung,), ("left lung",))
    (changed,) = flip([question(STUDIES[0], "Which side is larger, left or right?", "Left lung")])
    assert (changed.question, changed.answer) == ("Which side is larger, right or left?", "Right lung")
    shown = changed.to_example(evidence).evidence
    assert (shown.first.phrases, shown.regions[0].phrase) == (("right lung",), "right lung")
    assert shown.regions[0].box_xyxy_px.tolist() == [10, 5, 30, 45]


def test_adversarial_pairs_ask_for_what_is_there_and_what_is_not() -> None:
    images = [
        image("a", there=("liver", "left kidney"), phrases=LABELS),
        image("b", there=("spleen", "right kidney", "liver"), phrases=LABELS),
        image("c", there=("spleen", "liver tumor"), phrases=("spleen", "liver tumor")),
        image("m", "mr", there=("liver",), phrases=("liver", "brain tumor")),
    ]
    questions = absent_pairs([*images, images[0]], seed=0)
    assert len({q.question_id for q in questions}) == len(questions)
    assert set(Counter(q.meta["pair_id"] for q in questions).values()) == {2}
    # c says nothing of what is not there, and no mr image shows a brain tumor
    assert {q.image.image_id for q in questions} == {"a", "b"}
    for asked in questions:
        there = {region.phrase for region in asked.image.regions}
        assert asked.answer == ("no" if asked.meta.get("adversarial") else "yes")
        assert (asked.phrases[0] in there) == (asked.answer == "yes")
        assert asked.phrases[0] != "kidney"  # a left kidney is one
        assert asked.question == f"Is there a {asked.phrases[0]} in the image?"
    twin = next(q for q in questions if q.meta["pair_id"] == "t/a/left kidney" and q.answer == "no")
    assert twin.phrases == ("right kidney",)
    assert [q.question_id for q in absent_pairs(images, seed=0)] == [q.question_id for q in questions]
    with pytest.raises(BadInput, match="no image with a label that is there"):
        absent_pairs([STUDIES[0]])
