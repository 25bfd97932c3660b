import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import pytest

from medglip.eval.probes import probe
from medglip.eval.protocols import probmed
from medglip.eval.settings import EvalSettings
from medglip.eval.table import probes_text
from medglip.grounding.bad_input import BadInput

Records = list[Any]
FEW = EvalSettings(resamples=200)
Make = Callable[..., Any]


def _closed(record: Make, n: int, answer: str, prediction: str, **meta: Any) -> Any:
    return record(n, "vqa", answer, prediction, answer_type="closed", meta=meta)


@pytest.fixture
def original(record: Make) -> Records:
    return [_closed(record, n, "yes" if n % 2 else "no", "yes" if n % 2 else "no") for n in range(20)]


def _all_yes(rows: Records, **others: Any) -> Any:
    return [row | {"prediction": "yes"} | others for row in rows]


def test_drops_are_original_less_probe(original: Records) -> None:
    found = probe([original, _all_yes(original, evidence="blank")], ["a", "b"], FEW)
    assert list(found.metrics) == ["original", "blank"]
    drop = found.drops["blank"]["closed_accuracy"]
    assert (drop.a, drop.b, drop.difference.value, drop.difference.n) == (1.0, 0.5, 0.5, 20)
    assert drop.p_value is not None
    assert drop.p_holm is not None
    assert drop.mcnemar == pytest.approx(2 / 2**10)
    assert found.family.startswith("Holm over 2 tests")
    assert found.counts["blank"]["n"] == 20
    json.dumps(asdict(found), allow_nan=False)


def test_sources_are_told_apart_in_one_file(original: Records) -> None:
    text_only = _all_yes(original, meta={"probe": "text_only"})
    found = probe([original + text_only], ["a"], FEW)
    assert list(found.drops) == ["text_only"]


def test_flipped_questions_have_their_own_answers_and_name_their_original(original: Records) -> None:
    flipped = [
        row | {"id": f"f{n}", "answer": "no", "prediction": "no", "meta": {"probe": "flipped", "pair_id": row["id"]}}
        for n, row in enumerate(original)
        if row["answer"] == "yes"
    ]
    found = probe([original, flipped], ["a", "b"], FEW)
    drop = found.drops["flipped"]["closed_accuracy"]
    assert (drop.a, drop.b, drop.difference.n) == (1.0, 1.0, 10)
    assert found.notes == ["flipped: compared on 10 of 20 questions."]


def test_questions_that_change_their_kind_are_left_out_of_that_metric(original: Records) -> None:
    flipped = [row | {"evidence": "flipped"} for row in original]
    flipped[0] |= {"answer_type": "open", "answer": "left", "prediction": "left"}
    drops = probe([original, flipped], ["a", "b"], FEW).drops["flipped"]
    assert (drops["closed_accuracy"].difference.n, drops["overall_accuracy"].difference.n) == (19, 20)


def test_severities_are_sources_and_make_a_curve(original: Records) -> None:
    rows = [
        row
        | {"id": f"{row['id']}-c{severity}", "prediction": "yes" if n < 4 * severity else row["answer"]}
        | {"meta": {"probe": "corrupt", "severity": severity}}
        for severity in (1, 2, 5)
        for n, row in enumerate(original)
    ]
    found = probe([original, rows], ["a", "b"], FEW)
    assert list(found.drops) == ["corrupt-1", "corrupt-2", "corrupt-5"]
    assert found.curves["closed_accuracy"] == [1.0, 0.9, 0.8, 0.5]
    assert found.drops["corrupt-5"]["closed_accuracy"].difference.n == 20
    named = [row | {"id": f"z{n}", "meta": row["meta"] | {"original": row["id"][:-3]}} for n, row in enumerate(rows)]
    assert probe([original, named], ["a", "b"], FEW).curves == found.curves
    with pytest.raises(BadInput, match=r"meta\.severity is 6"):
        probe([original, [rows[0] | {"meta": {"probe": "corrupt", "severity": 6}}]], ["a", "b"], FEW)


def test_rephrased_questions_are_consistent_where_every_answer_is_the_same(original: Records) -> None:
    rows = [
        row | {"id": f"{row['id']}/rephrased-{time}", "meta": {"probe": "rephrased"}}
        for time in (1, 2)
        for row in original[:10]
    ]
    rows[0] |= {"prediction": "Yes, there is." if original[0]["answer"] == "no" else "No."}
    rows[1] |= {"prediction": f"{rows[1]['answer'].capitalize()}, as it seems."}
    found = probe([original, rows], ["a", "b"], FEW)
    assert list(found.drops) == ["rephrased-1", "rephrased-2"]
    assert (found.consistency["rephrased"].value, found.consistency["rephrased"].n) == (0.9, 10)
    assert found.drops["rephrased-1"]["closed_accuracy"].difference.value == pytest.approx(0.1)
    assert "consistency" in probes_text(found)


def test_probes_that_do_not_pair_are_refused(original: Records) -> None:
    blank = _all_yes(original, evidence="blank")
    for rows, said in (
        ([blank], "no records of the original"),
        ([original, original], "20 ids come twice"),
        ([original, [blank[0] | {"id": "x"}]], r"1 records without their original \(x\)"),
        ([original, [blank[0] | {"meta": {"probe": "upside_down"}}]], "names the probe 'upside_down'"),
    ):
        with pytest.raises(BadInput, match=said):
            probe(rows, ["a", "b"], FEW)


def test_a_pair_is_right_where_both_are(record: Make) -> None:
    said = [("yes", "no"), ("yes", "yes"), ("no", "no"), ("yes", "no. none")]
    rows = [
        _closed(record, 2 * n + side, ("yes", "no")[side], words[side], pair_id=f"p{n}")
        for n, words in enumerate(said)
        for side in (1, 0)
    ]
    alone = _closed(record, 90, "yes", "yes", pair_id="lonely")
    found = probe([[*rows, alone]], ["a"], FEW)
    cells = found.metrics["original"]
    assert (cells["pair_accuracy"].value, cells["pair_accuracy"].n) == (0.5, 4)
    assert cells["pair_first_accuracy"].value == 0.75
    assert found.counts["original"]["adversarial_pairs"] == 4
    assert found.counts["original"]["questions_without_partner"] == 1
    assert found.drops == {}


def test_pairs_under_a_probe_are_paired_by_their_own_ids(record: Make) -> None:
    rows = [_closed(record, n, ("yes", "no")[n % 2], ("yes", "no")[n % 2], pair_id=f"p{n // 2}") for n in range(8)]
    found = probe([rows, _all_yes(rows, evidence="shuffled")], ["a", "b"], FEW)
    drop = found.drops["shuffled"]["pair_accuracy"]
    assert (drop.a, drop.b, drop.difference.n) == (1.0, 0.0, 4)


@pytest.mark.parametrize(
    ("response", "answer", "right"),
    [
        ("Yes, there is", "yes", True),
        ("yes.", "yes", True),
        ("yes, there is", "yes", False),
        ("Not seen", "no", True),
        ("None", "no", True),
        ("nothing", "no", False),
        ("Yes and No", "no", True),
        (" no ", "no", True),
    ],
)
def test_probmed_reads_with_case(response: str, answer: str, right: bool) -> None:
    assert probmed.says(response, answer) is right


def _image(record: Make, image: int, kinds: dict[str, bool], image_type: str = "xray") -> Records:
    """The questions of one image: qa_type -> answered rightly; partners are answered no."""
    rows: Records = []
    for place, (kind, right) in enumerate(kinds.items()):
        answer = "no" if "hallu" in kind else "yes"
        said = answer if right else ("yes" if answer == "no" else "no")
        row = _closed(record, 100 * image + place, answer, said.capitalize(), qa_type=kind, image_type=image_type)
        rows.append(row | {"image_id": f"i{image}", "cluster_id": f"i{image}"})
    return rows


def _images(record: Make) -> Records:
    healthy = {"modality_gt": True, "modality_hallu": True, "abnormality": True, "entity_hallu": False}
    partner_wrong = {"modality_gt": True, "modality_hallu": False, "abnormality": False}
    entities = {"entity_gt_1": True, "entity_hallu_1": True, "entity_gt_2": True, "entity_hallu_2": False}
    grounding = {"grounding_gt_1": True, "grounding_hallu_1": True, "grounding_gt_2": True}  # the last has no partner
    return [
        row
        for image, (kinds, image_type) in enumerate(
            [(healthy, "xray"), (partner_wrong | entities, "xray"), (grounding, "ct"), ({"modality_gt": True}, "ct")]
        )
        for row in _image(record, image, kinds, image_type)
    ]


def test_probmed_images_score_with_their_partners(record: Make) -> None:
    found = probe([_images(record)], ["a"], FEW)
    cells = {name: (one.value, one.n) for name, one in found.metrics["original"].items() if "probmed" in name}
    assert cells == {
        "probmed_modality": (0.5, 2),
        "probmed_modality_first": (1.0, 2),
        "probmed_abnormality": (0.5, 2),
        "probmed_entity": (0.0, 2),
        "probmed_entity_first": (0.5, 2),
        "probmed_grounding": (1.0, 1),
        "probmed_grounding_first": (1.0, 1),
        "probmed_overall": (pytest.approx(3 / 7), 7),
        "probmed_overall_first": (pytest.approx(4 / 5), 5),
    }
    assert found.counts["original"]["questions_without_partner"] == 2


def test_upstream_counts_images_without_questions(record: Make) -> None:
    upstream = probe([_images(record)], ["a"], FEW).upstream["original"]
    # grounding: one image of ct has questions, both count; entity: two of xray
    wanted = (0.5 * 2 + 0.5 * 2 + 0.0 * 2 + 1.0 * 2) / 8
    assert upstream["probmed_upstream_overall"] == pytest.approx(wanted)
    assert upstream["probmed_upstream_overall_first"] == pytest.approx((1.0 * 2 + 0.5 * 2 + 1.0 * 2) / 6)
    assert upstream["probmed_upstream_modality"] == 0.5
