"""Core and oracle as grounders: frames of the original image, order, empty lists, wrong checkpoints."""

import json
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from transformers import BertConfig

from medglip.grounding import AnnotatedImage, BadInput, Region
from medglip.grounding.geometry import mask_to_box
from medglip.grounding.grounder import true_regions
from medglip.grounding.grounders.medglip import GrounderSettings, MedGlipGrounder
from medglip.grounding.grounders.oracle import TruthGrounder
from medglip.grounding.parts.giving_up import GivenUp, may_give_up
from medglip.grounding.types import region_to_json

MakeStudies = Callable[[int], list[AnnotatedImage]]
ASKED = ["bright square", "dark square"]


def plain(regions: list[Region]) -> list[dict[str, object]]:
    return [region_to_json(region) for region in regions]


def close(a: list[Region], b: list[Region]) -> bool:
    """Same phrases and, within float rounding, the same boxes, scores and embeddings."""
    return len(a) == len(b) and all(
        x.phrase == y.phrase
        and np.allclose(x.box_xyxy_px, y.box_xyxy_px, atol=1e-2)
        and abs(x.score - y.score) < 1e-4
        and x.embedding is not None
        and y.embedding is not None
        and np.allclose(x.embedding, y.embedding, atol=1e-4)
        for x, y in zip(a, b, strict=True)
    )


def test_regions_lie_in_the_original_image(tiny_grounder: MedGlipGrounder, make_studies: MakeStudies) -> None:
    for image, regions in zip(images := make_studies(3), tiny_grounder.ground(images, [ASKED] * 3), strict=True):
        assert regions
        assert [r.score for r in regions] == sorted((r.score for r in regions), reverse=True)
        for region in regions:
            assert (region.box_xyxy_px >= 0).all()
            assert (region.box_xyxy_px.reshape(2, 2) <= image.size_px).all()
            assert region.embedding is not None
            assert region.embedding.shape == (tiny_grounder.embedding_dim,)
            if region.mask is not None:
                inner = mask_to_box(region.mask)
                assert region.mask.shape == image.size_px[::-1]
                assert (inner[:2] >= np.floor(region.box_xyxy_px[:2])).all()
                assert (inner[2:] <= np.ceil(region.box_xyxy_px[2:])).all()


def test_batch_is_single_and_order_of_phrases_is_nothing(
    tiny_grounder: MedGlipGrounder, make_studies: MakeStudies
) -> None:
    images = make_studies(3)
    together = tiny_grounder.ground(images, [ASKED, ASKED, ASKED[:1]])
    alone = tiny_grounder.ground(images[1:2], [[*ASKED[::-1], ASKED[0]]])[0]
    assert close(together[1], alone)
    only_first = tiny_grounder.ground(images[:1], [ASKED[:1]])[0]
    assert close([r for r in together[0] if r.phrase == ASKED[0]], only_first)


def test_no_phrases_give_no_regions(tiny_grounder: MedGlipGrounder, make_studies: MakeStudies) -> None:
    images = make_studies(2)
    assert tiny_grounder.ground(images, [[], []]) == [[], []]
    assert tiny_grounder.ground([], []) == []
    assert [len(regions) > 0 for regions in tiny_grounder.ground(images, [[], ASKED])] == [False, True]


def test_limits_of_number_and_score_hold(tiny_grounder: MedGlipGrounder, make_studies: MakeStudies) -> None:
    model, processor = tiny_grounder.model, tiny_grounder.processor
    few = MedGlipGrounder(model, processor, GrounderSettings(min_score=0.0, max_per_phrase=1))
    none = MedGlipGrounder(model, processor, GrounderSettings(min_score=1.0))
    faint = MedGlipGrounder(model, processor, GrounderSettings(min_score=0.0, mask_min_score=1.0))
    assert len(few.ground(make_studies(1), [ASKED])[0]) == 2
    assert none.ground(make_studies(1), [ASKED]) == [[]]
    assert all(region.mask is None for region in faint.ground(make_studies(1), [ASKED])[0])


def test_an_empty_phrase_is_refused(tiny_grounder: MedGlipGrounder, make_studies: MakeStudies) -> None:
    with pytest.raises(BadInput, match="empty phrase"):
        tiny_grounder.ground(make_studies(1), [["lung", " "]])


def test_saved_and_loaded_it_finds_the_same(
    tiny_grounder: MedGlipGrounder, make_studies: MakeStudies, tmp_path: Path
) -> None:
    tiny_grounder.model.save_pretrained(tmp_path / "core")
    tiny_grounder.processor.save_pretrained(tmp_path / "core")
    again = MedGlipGrounder.from_pretrained(tmp_path / "core", settings=tiny_grounder.settings)
    assert again.fingerprint == tiny_grounder.fingerprint
    images = make_studies(2)
    found, before = again.ground(images, [ASKED] * 2), tiny_grounder.ground(images, [ASKED] * 2)
    assert [plain(regions) for regions in found] == [plain(regions) for regions in before]


def test_other_settings_or_weights_have_another_fingerprint(tiny_grounder: MedGlipGrounder) -> None:
    before = tiny_grounder.fingerprint
    model, processor = tiny_grounder.model, tiny_grounder.processor
    assert MedGlipGrounder(model, processor, GrounderSettings(min_score=0.2)).fingerprint != before
    model.head.bias.data += 1
    assert MedGlipGrounder(model, processor, tiny_grounder.settings).fingerprint != before


def test_checkpoints_of_another_architecture_are_refused(tiny_grounder: MedGlipGrounder, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no grounding core"):
        MedGlipGrounder.from_pretrained(tmp_path)
    tiny_grounder.model.save_pretrained(tmp_path)
    tiny_grounder.processor.save_pretrained(tmp_path)
    values = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(values | {"num_prototypes": 5}))
    with pytest.raises(BadInput, match="another architecture"):
        MedGlipGrounder.from_pretrained(tmp_path)
    BertConfig().save_pretrained(tmp_path)
    with pytest.raises(BadInput, match="'bert'"):
        MedGlipGrounder.from_pretrained(tmp_path)


def test_embeddings_of_given_boxes_are_those_of_the_found_ones(
    tiny_grounder: MedGlipGrounder, make_studies: MakeStudies
) -> None:
    images = make_studies(2)
    embedded = tiny_grounder.embed(images, [image.regions for image in images])
    for image, row in zip(images, embedded, strict=True):
        assert [r.phrase for r in row] == [r.phrase for r in image.regions]
        norms = [np.linalg.norm(r.embedding) for r in row if r.embedding is not None]
        assert norms == pytest.approx([1.0] * len(image.regions), abs=1e-4)
    alone = tiny_grounder.embed(images[1:], [images[1].regions])[0]
    assert close(embedded[1], alone)


def test_the_oracle_tells_the_truth_and_nothing_else(tiny_grounder: MedGlipGrounder, make_studies: MakeStudies) -> None:
    images = make_studies(2)
    oracle = TruthGrounder()
    found = oracle.ground(images, [["dark square", "left lung"], []])
    assert plain(found[0]) == plain([images[0].regions[1]])
    assert found[1] == []
    assert oracle.embedding_dim == 0
    with_tokens = TruthGrounder(tiny_grounder)
    assert with_tokens.fingerprint != oracle.fingerprint
    assert with_tokens.embedding_dim == tiny_grounder.embedding_dim
    assert with_tokens.ground(images, [["dark square"], []])[0][0].embedding is not None


def test_ancestors_are_answered_by_what_lies_below_unless_annotated_themselves(make_studies: MakeStudies) -> None:
    image = make_studies(1)[0]
    assert [region.phrase for region in true_regions(image, ["square"])] == ["square", "square"]
    annotated = replace(image, phrases=(*image.phrases, "square"))
    assert true_regions(annotated, ["square"]) == []


def test_what_nobody_waits_for_ends_between_two_steps(
    tiny_grounder: MedGlipGrounder, make_studies: MakeStudies, monkeypatch: pytest.MonkeyPatch
) -> None:
    flag, read, forward = threading.Event(), list[int](), tiny_grounder.model.forward

    def counted(**inputs: object) -> object:
        read.append(1)
        if len(read) == 2:
            flag.set()
        return forward(**inputs)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(tiny_grounder.model, "forward", counted)
    monkeypatch.setattr(tiny_grounder, "settings", GrounderSettings(batch_size=1, phrases_at_once=1))
    with may_give_up(flag), pytest.raises(GivenUp):
        tiny_grounder.ground(make_studies(2), [ASKED, ASKED])
    assert len(read) == 2
