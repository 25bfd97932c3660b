"""Questions on phantoms: every answer follows from the regions, and a blind model does not do well."""

import json
import re
import shutil
from collections import Counter, defaultdict
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from making import make_once

from medglip.grounding.bad_input import BadInput
from medglip.grounding.datasets.phantoms import dataset as phantom
from medglip.grounding.datasets.phantoms.draw import FINDINGS
from medglip.grounding.geometry import where
from medglip.grounding.types import Region
from medglip.grounding.vocabulary.labels import load_labels
from medglip.vqa.datasets.phantom import read_questions
from medglip.vqa.task import Question

NUMBERS = ["zero", "one", "two", "three"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    def make(folder: Path) -> Path:
        phantom.write(folder, phantom.PhantomSettings(num_train=350, num_val=0, num_test=140, size_px=96))
        return folder

    return make_once(tmp_path_factory, "phantom-questions", make)


@pytest.fixture(scope="module")
def questions(folder: Path) -> list[Question]:
    return read_questions(folder, phantom.read(folder))


def _regions(question: Question) -> list[Region]:
    return [region for region in question.image.regions if region.phrase == question.phrases[0]]


def _centre_x(region: Region, question: Question) -> float:
    return float(region.box_xyxy_px[0] + region.box_xyxy_px[2]) / 2 / question.image.size_px[0]


def _derived(question: Question) -> str:
    """The answer by the regions alone, from the words of the question."""
    text, regions = question.question, _regions(question)
    if text.startswith("Is there "):
        return "yes" if regions else "no"
    if text.startswith("How many "):
        return NUMBERS[len(regions)]
    if text.startswith("Where "):
        (region,) = regions
        cell = where(region.box_xyxy_px, question.image.size_px)
        return f"{cell if ' ' in cell or cell == 'centre' else f'{cell} part'} of the image"
    if text.startswith("Which "):
        there = {r.phrase for r in question.image.regions} & set(FINDINGS[question.image.modality])
        return there.pop() if there else "none"
    (region,) = regions
    is_left = _centre_x(region, question) < 0.5
    return "yes" if is_left == ("left half" in text) else "no"


def test_answers_follow_from_the_regions(questions: list[Question]) -> None:
    for question in questions:
        assert question.answer == _derived(question), (question.question_id, question.question)
        assert question.answer_type == ("closed" if question.answer in ("yes", "no") else "open")


def test_places_are_asked_only_where_they_are_clear(questions: list[Question]) -> None:
    for question in questions:
        if question.content_type == "location":
            box, size = _regions(question)[0].box_xyxy_px, question.image.size_px
            centre = [(box[0] + box[2]) / 2 / size[0], (box[1] + box[3]) / 2 / size[1]]
            assert all(abs(value - line) > 0.03 for value in centre for line in (1 / 3, 2 / 3))
        if question.content_type == "half":
            assert abs(_centre_x(_regions(question)[0], question) - 0.5) > 0.05


def test_phrases_are_those_the_label_tree_reads(questions: list[Question]) -> None:
    tree = load_labels()
    for question in questions:
        named = tree.phrases_in(question.question)
        assert question.phrases == (named or FINDINGS[question.image.modality]), question.question


def test_every_picture_is_asked_of_every_kind_in_balance(questions: list[Question]) -> None:
    per_study = Counter(question.image.image_id for question in questions)
    assert len(per_study) == 490
    assert set(per_study.values()) <= {3, 4, 5, 6}
    assert 4 <= len(questions) / 490 <= 5
    kinds = Counter(question.content_type for question in questions)
    assert set(kinds) == {"presence", "count", "finding", "location", "half"}
    assert max(kinds.values()) <= 0.35 * len(questions)
    assert len({question.question_id for question in questions}) == len(questions)
    assert not any(len(set(texts)) < len(texts) for texts in _texts(questions).values())


def _texts(questions: list[Question]) -> dict[str, list[str]]:
    texts: dict[str, list[str]] = defaultdict(list)
    for question in questions:
        texts[question.image.image_id].append(question.question)
    return texts


def test_a_blind_majority_does_not_do_well(questions: list[Question]) -> None:
    """The commonest training answer to each wording, given without a look at the picture."""
    seen: dict[str, Counter[str]] = defaultdict(Counter)
    for question in questions:
        if question.image.split == "train":
            seen[question.question][question.answer] += 1
    right: dict[str, list[bool]] = defaultdict(list)
    for question in questions:
        if question.image.split == "test" and question.question in seen:
            blind = seen[question.question].most_common(1)[0][0]
            right[question.answer_type].append(blind == question.answer)
    assert sum(right["closed"]) < 0.65 * len(right["closed"])
    assert sum(right["open"]) < 0.45 * len(right["open"])


def test_yes_is_a_mild_prior(questions: list[Question]) -> None:
    answers = [question.answer for question in questions if question.content_type == "presence"]
    assert 0.55 <= answers.count("yes") / len(answers) <= 0.67


def _broken(folder: Path, tmp_path: Path, **change: object) -> Path:
    """questions.jsonl alone, its third row changed; None removes a column."""
    rows = [json.loads(line) for line in (folder / "questions.jsonl").read_text().splitlines()]
    rows[2] = {key: value for key, value in {**rows[2], **change}.items() if value is not None}
    (tmp_path / "questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


@pytest.mark.parametrize("change", [{"answer": None}, {"answer": ""}, {"answer_type": "OPEN"}, {"phrases": "cyst"}])
def test_a_bad_row_is_named(folder: Path, tmp_path: Path, change: dict[str, object]) -> None:
    file = re.escape(str(tmp_path / "questions.jsonl"))
    with pytest.raises(BadInput, match=f"^{file}: row 3: .*{next(iter(change))}.* Fix: "):
        read_questions(_broken(folder, tmp_path, **change), phantom.read(folder))


def test_a_number_as_answer_becomes_text(folder: Path, tmp_path: Path) -> None:
    assert read_questions(_broken(folder, tmp_path, answer=2), phantom.read(folder))[2].answer == "2"


def test_only_questions_on_the_given_studies_are_read(folder: Path) -> None:
    few = phantom.read(folder).select(range(3))
    assert {question.image.image_id for question in read_questions(folder, few)} == set(few["image_id"])


def test_phantoms_of_version_0_1_are_read(folder: Path, tmp_path: Path) -> None:
    old = tmp_path / "old"
    shutil.copytree(folder, old)
    table = pq.read_table(old / "studies.parquet")
    pq.write_table(table.rename_columns(["study_id", *table.column_names[1:]]), old / "studies.parquet")
    lines = (old / "questions.jsonl").read_text()
    (old / "questions.jsonl").write_text(lines.replace('"image_id"', '"study_id"'))
    assert phantom.read(old)["image_id"][:] == phantom.read(folder)["image_id"][:]
    ours, theirs = (read_questions(place, phantom.read(place)) for place in (folder, old))
    assert [(q.question_id, q.image.image_id) for q in ours] == [(q.question_id, q.image.image_id) for q in theirs]
