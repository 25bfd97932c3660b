"""What the page says of its images and of its tables is computed: origins by image, sentences by intervals."""

from collections.abc import Callable

import pytest

from medglip.eval.page.cases import page_data, pick_cases
from medglip.eval.page.content import Content, Pair, RunFacts
from medglip.eval.page.html import page
from medglip.eval.page.provenance import SYNTHETIC, origins, where_from
from medglip.eval.page.statements import statements
from medglip.eval.page.systems import make_system, pairs_of
from medglip.eval.records import Record
from medglip.eval.settings import EvalSettings
from medglip.eval.statistics.bootstrap import Difference, Estimate

SETTINGS = EvalSettings(resamples=20)


def test_synthetic_is_said_of_the_images_that_are(record: Callable[..., Record]) -> None:
    real = [record(k, "vqa", "yes", "yes", dataset="iu_xray") for k in range(3)]
    drawn = [record(k, "vqa", "yes", "yes", dataset="phantom") for k in (7, 8)]
    assert where_from(drawn) == SYNTHETIC
    assert "synthetic" not in where_from(real)
    assert where_from([*real, *real, *drawn]).startswith("Images: 3 of iu_xray; 2 of phantom, synthetic.")
    assert origins([]) == ""


@pytest.mark.parametrize(("dataset", "is_drawn"), [("iu_xray", False), ("phantom", True)])
def test_page_table_and_case_say_where_images_come_from(
    record: Callable[..., Record], dataset: str, is_drawn: bool
) -> None:
    rows = [record(k, "vqa", "yes", "yes", answer_type="closed", dataset=dataset) for k in range(4)]
    system = make_system("none", "vqa", rows, SETTINGS, file="none.jsonl", file_sha256="0" * 64)
    cases = pick_cases([system], 9, seed=0)
    shown = Content(title="t", runs=[RunFacts(name="r")], systems=[system], pairs=[], cases=cases, pictures={})
    text = page(shown)
    assert (SYNTHETIC in text) is is_drawn
    assert f"images: 4 of {dataset}" in text
    assert {case["d"] for case in page_data(shown, 0.5)["cases"]} == {dataset + ", synthetic" * is_drawn}


def difference(low: float, high: float) -> Difference:
    value = (low + high) / 2
    return Difference(a=0.5 + value, b=0.5, difference=Estimate(value, low, high, 40, "bca"), p_value=None)


def test_the_sentence_below_a_table_follows_from_the_intervals() -> None:
    up, flat, down = difference(0.1, 0.3), difference(-0.1, 0.2), difference(-0.4, -0.2)
    pairs = {"predicted": {"label_micro_f1": up, "bleu_4": flat}, "shuffled": {"bleu_4": down, "label_micro_f1": down}}
    first, second = statements(pairs, "none", "report")
    assert first == (
        "predicted, compared with none, is better in label F1 (0.700 against 0.500); not told apart in BLEU-4."
    )
    assert "worse in label F1 (0.200 against 0.500) and BLEU-4 (0.200 against 0.500)" in second


def test_words_that_another_images_regions_raise_as_well_are_named() -> None:
    up, flat = difference(0.1, 0.3), difference(-0.1, 0.2)
    both = {"predicted": {"cider": up, "label_micro_f1": up}, "shuffled": {"cider": up, "label_micro_f1": flat}}
    assert statements(both, "none", "report")[-1].startswith("Another image's regions raise CIDEr as well")
    one = {**both, "shuffled": {"cider": flat, "label_micro_f1": flat}}
    assert not any("Another image's" in text for text in statements(one, "none", "report"))


def test_another_images_regions_that_gain_as_much_make_the_answer_no_plain_yes(record: Callable[..., Record]) -> None:
    rows = [record(k, "vqa", "yes", "yes", answer_type="closed") for k in range(4)]
    system = make_system("none", "vqa", rows, SETTINGS, file="none.jsonl", file_sha256="0" * 64)

    def told(**changes: Difference) -> str:
        pairs = [
            Pair(task="vqa", name=name, base="none", metrics={"open_f1": d}, family="Holm: metrics open_f1")
            for name, d in changes.items()
        ]
        runs = [RunFacts(name="r", title="Does it help?")]
        return page(Content(title="t", runs=runs, systems=[system], pairs=pairs, cases=[], pictures={}))

    up, less, flat = difference(0.2, 0.4), difference(0.05, 0.15), difference(-0.1, 0.2)
    assert "Questions: yes, but so with another image&#x27;s regions.</b>" in told(predicted=up, shuffled=up)
    assert all("Questions: yes.</b>" in told(predicted=up, shuffled=control) for control in (less, flat))
    assert "Questions: not shown.</b>" in told(predicted=difference(0.0001, 0.2), shuffled=flat)  # +0.000 as written
    assert "Holm: metrics open F1." in told(predicted=up)


def test_the_page_writes_the_sentence_below_its_table(record: Callable[..., Record]) -> None:
    systems = []
    for name, right in (("none", False), ("predicted", True)):
        said = "yes" if right else "no"
        rows = [record(k, "vqa", "yes", said, answer_type="closed", evidence=name) for k in range(12)]
        systems.append(make_system(name, "vqa", rows, SETTINGS, file=f"{name}.jsonl", file_sha256="0" * 64))
    pairs = pairs_of(systems, SETTINGS)
    shown = Content(title="t", runs=[RunFacts(name="r")], systems=systems, pairs=pairs, cases=[], pictures={})
    assert "predicted, compared with none, is better in overall accuracy (1.000 against 0.000)" in page(shown)
