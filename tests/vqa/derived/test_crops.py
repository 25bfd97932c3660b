"""Questions about crops: what is asked of them is true, and what is spelled follows from it."""

from pathlib import Path

import numpy as np
from making import make_image

from medglip.grounding.datasets.phantoms import dataset as phantoms
from medglip.grounding.datasets.schema import images
from medglip.grounding.datasets.settings import PhantomSettings
from medglip.grounding.types import Region
from medglip.vqa.datasets.phantom import read_questions
from medglip.vqa.derived.crops import DETAIL, NAME, crop_questions, true_words
from medglip.vqa.task import Question


def test_of_crops_what_is_asked_is_true_and_what_is_spelled_follows_from_it(tmp_path: Path) -> None:
    phantoms.write(tmp_path, PhantomSettings(num_train=7, num_val=0, num_test=0, size_px=1024, detail=True))
    data = phantoms.read(tmp_path)
    details = [one for one in read_questions(tmp_path, data) if one.content_type == DETAIL]
    asked = crop_questions(images(data), details, 20, seed=0)
    assert {one.question_id for one in details} <= {question.question_id for question, _ in asked}
    assert all(len(shown.regions) == 1 and not question.image.regions for question, shown in asked)
    assert all(question.answer == shown.regions[0].phrase for question, shown in asked if question.content_type == NAME)
    words = true_words(asked)
    for question in details:
        said = words[question.image.image_id, question.phrases[0]]
        asks_for_specks = question.answer_type == "closed"
        is_said = bool({"calcified", "speckled"} & set(said)) if asks_for_specks else question.answer in said
        assert is_said == (question.answer != "no")
        assert said[0] == question.phrases[0]


def test_a_detail_of_one_of_several_alike_is_not_asked_of_a_crop() -> None:
    def region(x: int) -> Region:
        return Region(phrase="nodule", box_xyxy_px=np.array([x, 5, x + 9, 14], np.float32))

    image = make_image("s", image_path=Path("s.png"), size_px=(90, 90), regions=(region(5), region(50)))
    detail = Question(
        question_id="q", image=image, question="?", answer="yes", answer_type="closed", phrases=("nodule",)
    )
    asked = crop_questions([image], [detail], 9, seed=0)
    assert [question.content_type for question, _ in asked] == [NAME]
    assert not crop_questions([image], [detail], 0, seed=0)
