"""Cases of the page: which are picked, what they carry, and that it is the records' own."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from medglip.eval.catalog import metrics_of
from medglip.eval.page.answer import answer
from medglip.eval.page.cases import LONGEST, page_data, pick_cases
from medglip.eval.page.content import Content, RunFacts, System
from medglip.eval.page.html import embed, page
from medglip.eval.page.intervals import scale_of
from medglip.eval.page.systems import make_system, pairs_of
from medglip.eval.page.wording import words
from medglip.eval.settings import EvalSettings

Record = Any
SETTINGS = EvalSettings(resamples=20)
HOSTILE = '</script><script>alert("x")</script><!-- <b>'


@pytest.fixture
def vqa(record: Callable[..., Record]) -> Callable[..., System]:
    """`vqa(name, rights)`: a system that is right where `rights` say so."""

    def make(name: str, rights: list[bool], evidence: str = "predicted", **others: Any) -> System:
        records = [
            record(k, "vqa", "yes", "yes" if right else "no", answer_type="closed", evidence=evidence, **others)
            for k, right in enumerate(rights)
        ]
        return make_system(name, "vqa", records, SETTINGS, file=f"{name}.jsonl", file_sha256="0" * 64)

    return make


def content(systems: list[System], most: int = 100) -> Content:
    return Content(
        title="a run",
        runs=[RunFacts(name="run")],
        systems=systems,
        pairs=pairs_of(systems, SETTINGS),
        cases=pick_cases(systems, most, seed=0),
        pictures={},
    )


def test_the_marks_are_the_protocols_own_so_that_their_mean_is_the_accuracy(vqa: Callable[..., System]) -> None:
    system = vqa("none", [True, False, True, True, False, True, True])
    assert list(system.marks.values()).count("right") / 7 == system.scores.metrics["overall_accuracy"].value
    assert np.mean(list(system.values.values())) == pytest.approx(system.scores.metrics["overall_accuracy"].value)


def test_a_case_carries_the_answers_of_every_system_as_the_records_hold_them(vqa: Callable[..., System]) -> None:
    systems = [vqa("none", [True, False, True], "none"), vqa("predicted", [True, True, False])]
    found = page_data(content(systems), 0.5)
    assert len(found["cases"]) == 3
    for case in found["cases"]:
        for system in systems:
            said = next(row for row in system.records if row["id"] == case["id"])
            assert case["a"][system.name]["p"] == said["prediction"]
            assert (case["a"][system.name]["m"] == "right") == (said["prediction"] == said["answer"])


def test_best_worst_and_random_are_disjoint_and_repeat_with_the_seed(vqa: Callable[..., System]) -> None:
    systems = [vqa("none", [k % 2 == 0 for k in range(40)])]
    first, again = (pick_cases(systems, 12, seed=3) for _ in range(2))
    assert [case.id for case in first] == [case.id for case in again]
    assert len({case.id for case in first}) == 12
    assert {case.value for case in first if case.pick == "best"} == {1.0}
    assert {case.value for case in first if case.pick == "worst"} == {0.0}


def test_those_with_the_lowest_score_come_first(vqa: Callable[..., System]) -> None:
    values = [case.value for case in pick_cases([vqa("none", [k % 3 > 0 for k in range(30)])], 12, seed=0)]
    assert values == sorted(values)
    assert values[0] == 0.0


def test_the_line_on_top_says_yes_where_the_interval_leaves_out_zero_and_names_the_control(
    vqa: Callable[..., System],
) -> None:
    wrong_and_right = [vqa("none", [k < 4 for k in range(20)], "none"), vqa("predicted", [k < 18 for k in range(20)])]
    told = answer(content([*wrong_and_right, vqa("shuffled", [k < 4 for k in range(20)], "shuffled")]))
    assert "<b>Questions: predicted is better.</b>" in told
    assert "overall accuracy 0.200 with none, 0.900 with predicted: +0.700" in told
    assert "with another image&#x27;s regions +0.000" in told
    same = answer(content([vqa("none", [True, False] * 9, "none"), vqa("predicted", [True, False] * 9)]))
    assert "not told apart" in same


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("bleu_4", "BLEU-4"),
        ("open_bleu_1", "open BLEU-1"),
        ("rouge_l", "ROUGE-L"),
        ("acc_iou50", "accuracy at IoU 0.5"),
        ("chexbert_micro_f1_14", "CheXbert F1 (micro, 14 labels)"),
        ("radfact_spatial_recall", "RadFact spatial recall"),
        ("precision_50", "precision at IoU 0.5"),
        ("body_region", "body region"),
    ],
)
def test_metrics_are_named_as_people_write_them(name: str, written: str) -> None:
    assert words(name) == written


def test_every_metric_has_a_name_of_its_own() -> None:
    for task in ("vqa", "report", "grounding"):
        names = [words(metric.name) for metric in metrics_of(task)]
        assert len(set(names)) == len(names)
        assert not any("_" in name for name in names)


def test_all_samples_are_shown_where_there_are_fewer_than_asked_for(vqa: Callable[..., System]) -> None:
    assert len(pick_cases([vqa("none", [True] * 7)], 500, seed=0)) == 7


def test_texts_cannot_leave_their_place(record: Callable[..., Record]) -> None:
    records = [record(k, "vqa", HOSTILE, HOSTILE, question=HOSTILE, meta={"modality": HOSTILE}) for k in range(4)]
    system = make_system(HOSTILE, "vqa", records, SETTINGS, file=HOSTILE, file_sha256="0" * 64)
    html = page(content([system]))
    assert html.count("<script") == 2
    assert html.count("</script>") == 2
    assert "alert(&quot;x&quot;)" in html
    assert "<!--" not in html
    assert embed(HOSTILE).count("<") == 0


def test_a_long_text_is_cut_and_its_length_said(record: Callable[..., Record]) -> None:
    records = [record(k, "vqa", "yes", "word " * 5000) for k in range(2)]
    system = make_system("none", "vqa", records, SETTINGS, file="f", file_sha256="0" * 64)
    said = page_data(content([system]), 0.5)["cases"][0]["a"]["none"]["p"]
    assert len(said) < LONGEST + 40
    assert "25000 characters" in said


def test_systems_on_other_samples_are_not_paired_and_the_page_says_why(vqa: Callable[..., System]) -> None:
    systems = [vqa("none", [True] * 4, "none"), vqa("predicted", [True] * 5)]
    [pair] = pairs_of(systems, SETTINGS)
    assert not pair.metrics
    assert "1 samples" in pair.why_not
    assert "predicted is not compared with none" in page(content(systems))


def test_models_are_not_held_against_a_floor_though_it_saw_no_evidence_either(vqa: Callable[..., System]) -> None:
    systems = [vqa("bag_of_words", [True] * 4, "none", model="bag_of_words"), vqa("none", [True] * 4, "none")]
    assert [system.is_floor for system in systems] == [True, False]
    assert [(pair.name, pair.base) for pair in pairs_of(systems, SETTINGS)] == [("bag_of_words", "none")]


def test_grounding_marks_follow_overlap_and_absence(
    record: Callable[..., Record], region: Callable[..., Record]
) -> None:
    truth, near, far = region(0, 0, 10, 10), region(0, 0, 10, 9, score=0.9), region(50, 50, 60, 60, score=0.9)
    rows = [([truth], [near]), ([truth], [far]), ([], []), ([], [far])]
    records = [record(k, "grounding", answer, said) for k, (answer, said) in enumerate(rows)]
    system = make_system("core", "grounding", records, SETTINGS, file="f", file_sha256="0" * 64)
    assert [system.marks[f"s{k}"] for k in range(4)] == ["right", "wrong", "right", "wrong"]


@pytest.mark.parametrize("values", [[0.0], [0.2, 0.31], [0.97, 1.0], [12.0, 3.0], [-0.4, 0.2], [float("nan")]])
def test_a_scale_holds_its_values_and_ends_in_ticks(values: list[float]) -> None:
    for around_zero in (False, True):
        scale = scale_of(values, around_zero=around_zero)
        known = [value for value in values if np.isfinite(value)]
        assert scale.low <= min(known, default=0.0)
        assert scale.high >= max(known, default=0.0) - 1e-9
        assert scale.ticks[0] == pytest.approx(scale.low)
        assert scale.ticks[-1] == pytest.approx(scale.high)
