"""The third stage of alignment: region projector and LoRA learn, adapters start from it, its examples are true."""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from making import make_image
from safetensors.torch import load_file

from medglip.grounding.bad_input import BadInput
from medglip.grounding.evidence.evidence import Evidence
from medglip.grounding.evidence.forms.tokens import TokenShape
from medglip.grounding.geometry import where
from medglip.grounding.training.provenance import learned_among
from medglip.grounding.training.settings import TrainSettings
from medglip.grounding.types import AnnotatedImage, Region
from medglip.grounding.vocabulary.places import image_place
from medglip.vqa.derived.regions import MAX_SHOWN, WORDINGS, region_questions, with_other_regions
from medglip.vqa.model.grounded_mllm import OUR_FILE, PROJECTOR_FILE, GroundedMLLM, load
from medglip.vqa.model.identity import FILE, knows_regions
from medglip.vqa.model.settings import LoraSettings, MllmSettings
from medglip.vqa.prompt.prompt import Example
from medglip.vqa.publish.half_precision import pack
from medglip.vqa.task import Question
from medglip.vqa.training.align import Lessons, align_adapter
from medglip.vqa.training.settings import AlignSettings, MllmTrainSettings
from medglip.vqa.training.spelling import spell_regions, spelled

NewExample = Callable[..., Example]
DIM = 6
SHAPE = TokenShape(DIM)
RATES = TrainSettings(steps=1, batch_size=2, learning_rate=1e-2, warmup_steps=1, checkpoint_every=1)
ONE = MllmTrainSettings(train=RATES, group_by_length=True)
TWO_STAGES = AlignSettings(projector=ONE, together=ONE)
REGIONS = AlignSettings(projector=ONE, together=ONE, regions=ONE, spell_steps=1)
TRAINED = ("region_projector", "lora_", "modules_to_save")
NAMES = ("liver", "spleen", "nodule", "nodule", "heart", "kidney", "aorta")


@pytest.fixture
def settings(tiny_base: Path) -> MllmSettings:
    return MllmSettings(base=str(tiny_base), dtype="fp32", lora=LoraSettings(r=4))


@pytest.fixture
def start(settings: MllmSettings, new_example: NewExample, tmp_path: Path) -> Path:
    """The folder of an alignment without regions."""
    return align_adapter(settings, SHAPE, Lessons(pictures=[new_example(None)]), TWO_STAGES, out_dir=tmp_path / "start")


def weights(mllm: GroundedMLLM) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in mllm.named_parameters()}


def assert_all_that_is_trained_changed(before: GroundedMLLM, after: GroundedMLLM) -> None:
    """And nothing else."""
    old, new = weights(before), weights(after)
    changed = {name for name, value in new.items() if not torch.equal(value, old[name])}
    assert all(any(part in name for name in changed) for part in TRAINED)
    assert all(any(part in name for part in TRAINED) for name in changed)


def image(name: str = "s", num_regions: int = 7) -> AnnotatedImage:
    regions = tuple(
        Region(
            phrase=phrase,
            box_xyxy_px=np.array([12 * k, 9 * k, 12 * k + 10, 9 * k + 8], np.float32),
            mask=np.ones((90, 90), bool),
            embedding=np.full(DIM, k, np.float32),
        )
        for k, phrase in enumerate(NAMES[:num_regions])
    )
    path = Path(f"{name}.png")
    return make_image(name, image_path=path, dataset="d", split="train", size_px=(90, 90), regions=regions)


def test_the_third_stage_teaches_everything_and_adapters_start_from_it(
    settings: MllmSettings, start: Path, new_example: NewExample, tmp_path: Path
) -> None:
    going_on = settings.model_copy(update={"aligned": str(start)})
    shown = [new_example(2, seed=n) for n in range(3)]
    taught = align_adapter(going_on, SHAPE, Lessons(pictures=[], regions=shown), REGIONS, out_dir=tmp_path / "taught")
    assert_all_that_is_trained_changed(load(going_on, SHAPE), load(settings, SHAPE, taught))
    after = weights(load(settings, SHAPE, taught))
    fresh = weights(load(settings.model_copy(update={"aligned": str(taught), "seed": 3}), SHAPE))
    assert all(torch.equal(value, after[name]) for name, value in fresh.items())
    assert knows_regions(taught)
    assert not knows_regions(start)


def test_half_of_the_draws_of_the_third_stage_are_pictures(
    settings: MllmSettings, start: Path, new_example: NewExample, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[tuple[float, Example]] = []

    def keep(_: object, examples: Sequence[Example], *__: object, weights: Sequence[float]) -> None:
        drawn.extend(zip(weights, examples, strict=True))

    monkeypatch.setattr("medglip.vqa.training.align.train", keep)
    going_on = settings.model_copy(update={"aligned": str(start)})
    pictures, shown = [new_example(None)], [new_example(1, seed=n) for n in range(3)]
    align_adapter(going_on, SHAPE, Lessons(pictures=pictures, regions=shown), REGIONS, out_dir=tmp_path / "taught")
    of_pictures = sum(weight for weight, example in drawn if not example.evidence.regions)
    assert of_pictures == pytest.approx(sum(weight for weight, _ in drawn) / 2)


def test_all_three_stages_are_one_alignment_of_other_content_than_two(
    settings: MllmSettings, start: Path, new_example: NewExample, tmp_path: Path
) -> None:
    shown = [new_example(1)]
    folder = align_adapter(
        settings, SHAPE, Lessons(pictures=[new_example(None)], regions=shown), REGIONS, out_dir=tmp_path / "all"
    )
    facts, without = (json.loads((place / FILE).read_text()) for place in (folder, start))
    assert set(facts["stages"]) == {"projector", "together", "regions", "spell_steps"}
    assert set(without["stages"]) == {"projector", "together"}
    assert facts.keys() - without.keys() == {"region_examples", "region_examples_sha256"}
    other = [new_example(1, seed=1)]
    with pytest.raises(BadInput, match=r"differs in region_examples_sha256"):
        align_adapter(settings, SHAPE, Lessons(pictures=[new_example(None)], regions=other), REGIONS, out_dir=folder)
    assert_all_that_is_trained_changed(load(settings, SHAPE, start), load(settings, SHAPE, folder))


def test_what_the_start_learned_is_learned(
    settings: MllmSettings, start: Path, new_example: NewExample, tmp_path: Path
) -> None:
    picture = new_example(1).image_path
    copy = tmp_path / "other.png"
    copy.write_bytes(picture.read_bytes() + b"another file")
    shown = Example(**{**vars(new_example(1)), "image_path": copy})
    going_on = settings.model_copy(update={"aligned": str(start)})
    taught = align_adapter(going_on, SHAPE, Lessons(pictures=[], regions=[shown]), REGIONS, out_dir=tmp_path / "taught")
    assert learned_among(taught, [picture, copy]) == {picture, copy}
    assert "start_sha256" in json.loads((taught / FILE).read_text())


def test_what_cannot_be_taught_is_said(
    settings: MllmSettings, start: Path, new_example: NewExample, tmp_path: Path
) -> None:
    going_on = settings.model_copy(update={"aligned": str(start)})
    shown = Lessons(pictures=[], regions=[new_example(1)])
    with pytest.raises(BadInput, match="no regions to learn from"):
        align_adapter(going_on, SHAPE, Lessons(pictures=[]), REGIONS, out_dir=tmp_path / "a")
    with pytest.raises(BadInput, match="is aligned already"):
        align_adapter(going_on, SHAPE, shown, TWO_STAGES, out_dir=tmp_path / "b")
    taught = align_adapter(going_on, SHAPE, shown, REGIONS, out_dir=tmp_path / "c")
    (taught / PROJECTOR_FILE).unlink()
    with pytest.raises(BadInput, match="region projector is missing"):
        load(settings.model_copy(update={"aligned": str(taught)}), SHAPE)


def test_packed_it_keeps_the_region_projector_which_belongs_to_one_core(
    small_default: None, tiny_core: Path, new_example: NewExample, tmp_path: Path
) -> None:
    settings, packed = MllmSettings(dtype="fp32", lora=LoraSettings(r=4)), tmp_path / "packed"
    folder = align_adapter(
        settings,
        SHAPE,
        Lessons(pictures=[new_example(None)], regions=[new_example(1)]),
        REGIONS,
        vision=tiny_core,
        out_dir=tmp_path / "all",
    )
    pack(folder, packed, tiny_core)
    assert {value.dtype for value in load_file(packed / PROJECTOR_FILE).values()} == {torch.float16}
    starting = settings.model_copy(update={"aligned": str(packed), "seed": 3})
    started, taught = load(starting, SHAPE, vision=tiny_core), load_file(folder / PROJECTOR_FILE)
    for name, value in started.region_projector.state_dict().items():
        torch.testing.assert_close(value, taught[name], rtol=0, atol=2e-3)
    ours = json.loads((packed / OUR_FILE).read_text())
    (packed / OUR_FILE).write_text(json.dumps(ours | {"core": {"sha256": "0"}}))
    with pytest.raises(BadInput, match="regions of another core"):
        load(starting, SHAPE, vision=tiny_core)


def test_tokens_that_are_spelled_become_the_words_of_what_they_show(
    settings: MllmSettings, new_example: NewExample
) -> None:
    mllm = load(settings, SHAPE)
    shown = [new_example(2, seed=n) for n in range(6)]
    before, after = spell_regions(mllm, shown, steps=1), spell_regions(mllm, shown, steps=60)
    assert after > max(0.8, before)


@pytest.mark.parametrize(
    ("box", "said"),
    [([0, 0, 9, 9], ("upper left", "left", "tiny")), ([30, 10, 90, 80], ("centre", "right", "large"))],
)
def test_a_region_says_its_name_twice_its_place_half_and_size(box: list[int], said: tuple[str, ...]) -> None:
    region = Region(phrase="liver", box_xyxy_px=np.array(box, np.float32))
    assert spelled(region, (100, 90)) == ("liver", *said, "liver")


def test_every_answer_is_true_of_the_regions_that_are_shown() -> None:
    images = [image(f"s{n}") for n in range(12)]
    asked = region_questions(images, {one.image_id: one.regions for one in images}, max_questions=20, seed=0)
    assert {question.content_type for question, _ in asked} == set(WORDINGS)
    assert len({question.question_id for question, _ in asked}) == len(asked)
    for question, evidence in asked:
        assert len(evidence.regions) == MAX_SHOWN
        assert all(region.mask is None for region in evidence.regions)
        assert not question.image.regions
        assert question.answer == _true_answer(question, evidence)


def _true_answer(question: Question, evidence: Evidence) -> str:
    """From the words of the question alone."""
    named = [region for region in evidence.regions if region.phrase in question.question]
    if question.content_type == "region-any":
        return "yes" if named else "no"
    if question.content_type == "region-half":
        x = float(named[0].box_xyxy_px[[0, 2]].mean())
        return "yes" if ("left" in question.question) == (x < 45) else "no"
    if question.content_type == "region-count":
        return ("zero", "one", "two")[len(named)]
    if question.content_type == "region-number":
        return str(1 + evidence.regions.index(named[0]))
    numbers = [int(word.strip("?")) for word in question.question.split() if word.strip("?").isdigit()]
    (region,) = named if question.content_type == "region-where" else [evidence.regions[n - 1] for n in numbers]
    return region.phrase if question.content_type == "region-name" else image_place(where(region.box_xyxy_px, (90, 90)))


def test_what_no_region_shows_is_asked_for_as_often_as_what_one_shows() -> None:
    images = [image(f"s{n}", 2) for n in range(6)]
    lungs = Region(phrase="left lung", box_xyxy_px=images[0].regions[0].box_xyxy_px)
    regions = {one.image_id: (lungs,) if n == 3 else one.regions for n, one in enumerate(images)}
    asked = region_questions(images, regions, max_questions=20, seed=0)
    said = Counter(question.answer for question, _ in asked if question.content_type == "region-any")
    assert said["yes"] == said["no"] == len(images)


def test_a_rare_phrase_is_always_shown() -> None:
    many = image("s", 1)
    box = many.regions[0].box_xyxy_px
    regions = [*(Region(phrase="red blood cell", box_xyxy_px=box) for _ in range(30)), *many.regions]
    for seed in range(5):
        (_, evidence), *_ = region_questions([many], {"s": regions}, max_questions=1, seed=seed)
        assert [region.phrase for region in evidence.regions].count("liver") == 1
        assert len(evidence.regions) == MAX_SHOWN


def test_the_order_is_shuffled_with_the_seed_and_the_study_alone() -> None:
    images = [image(f"s{n}") for n in range(8)]
    regions = {one.image_id: one.regions for one in images}
    asked = region_questions(images, regions, max_questions=1, seed=0)
    assert len({tuple(region.phrase for region in evidence.regions) for _, evidence in asked}) > 4
    again = region_questions(images[::-1], regions, max_questions=1, seed=0)[::-1]
    assert [question.question for question, _ in again] == [question.question for question, _ in asked]
    other = region_questions(images, regions, max_questions=1, seed=1)
    assert [question.question for question, _ in other] != [question.question for question, _ in asked]
    assert not region_questions(images, {}, max_questions=1, seed=0)


def test_other_regions_come_from_another_picture_as_many_of_them() -> None:
    images = [image(f"s{n}", num_regions) for n, num_regions in enumerate((2, 2, 4, 4))]
    asked = region_questions(images, {one.image_id: one.regions for one in images}, max_questions=2, seed=0)
    other = with_other_regions(asked, seed=0)
    assert [question for question, _ in other] == [question for question, _ in asked]
    for (_, own), (_, given) in zip(asked, other, strict=True):
        assert given.source == "shuffled"
        assert len(given.regions) == len(own.regions)
        assert not set(map(id, given.regions)) & set(map(id, own.regions))
    with pytest.raises(BadInput, match="one image alone"):
        with_other_regions(asked[:1], seed=0)
