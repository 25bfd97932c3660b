"""Citations are scored where records hold them, and change nothing where they do not."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medglip.eval.compare import compare_runs
from medglip.eval.metrics.fields import field_measures
from medglip.eval.records import data_sha256
from medglip.eval.score import score
from medglip.eval.settings import EvalSettings
from medglip.eval.table import scores_text
from medglip.grounding.bad_input import BadInput

FEW = EvalSettings(resamples=50)
NAMES = ("citation_rate", "citation_error_rate", "citation_precision_50")
Row = Any


def cites(*regions: Row, missing: tuple[int, ...] = (), shown: int | None = 3) -> Row:
    entry = {"cited": list(range(1, len(regions) + 1)), "missing": list(missing), "regions": list(regions)}
    return {"citations": entry | ({} if shown is None else {"shown": shown})}


def region(x: float, truth: list[list[float]] | None) -> Row:
    found = {"phrase": "cyst", "box_xyxy_px": [x, 0, x + 10, 10]}
    return found if truth is None else found | {"truth": truth}


HERE = [[0.0, 0.0, 10.0, 10.0]]


@pytest.fixture
def rows(record: Callable[..., Row]) -> list[Row]:
    metas = [
        cites(region(0, HERE), region(40, HERE)),  # one right, one elsewhere
        cites(region(3, HERE), missing=(9,)),  # IoU 7 / 13
        cites(region(0, []), region(0, None), shown=None),  # the first is not there, of the second nothing is known
        cites(shown=2),
        cites(shown=0),
        cites(missing=(1,), shown=0),
    ]
    return [record(n, "vqa", "yes", "yes", meta={"size_px": [80, 50]} | meta) for n, meta in enumerate(metas)]


def test_citations_by_hand(rows: list[Row]) -> None:
    found = field_measures(rows, EvalSettings(), ["citations"])[0]
    wanted = {"citation_rate": 3 / 4, "citation_error_rate": 2 / 6, "citation_precision_50": 2 / 4}
    assert {name: found[name].value for name in NAMES} == pytest.approx(wanted)
    assert all(len(measure.rows_N) == 6 for measure in found.values())


def test_scores_hold_them_with_intervals_and_strata(rows: list[Row]) -> None:
    for n, row in enumerate(rows):
        row["meta"] |= {"modality": ["ct", "mr"][n % 2]}
    scores = score(rows, "vqa", FEW)
    rate = scores.metrics["citation_rate"]
    assert rate.low is not None
    assert rate.high is not None
    assert rate.low <= rate.value <= rate.high
    assert scores.strata["modality"]["mr"]["citation_error_rate"].value == pytest.approx(2 / 3)
    assert all(name in scores_text(scores) for name in NAMES)


def test_records_without_citations_are_scored_as_before(rows: list[Row]) -> None:
    plain = [row | {"meta": {"size_px": [80, 50]}} for row in rows]
    assert not set(NAMES) & set(score(plain, "vqa", FEW).metrics)
    both = score(rows, "vqa", FEW)
    assert {k: v for k, v in both.metrics.items() if k not in NAMES} == score(plain, "vqa", FEW).metrics
    assert data_sha256(plain) != data_sha256(rows)
    found = compare_runs([rows, plain], ["first", "second"], "vqa", FEW)[0].metrics
    assert not set(NAMES) & set(found)


def test_two_runs_that_cite_are_compared(rows: list[Row]) -> None:
    others = [row | {"meta": cites(region(0, HERE))} for row in rows]
    found = compare_runs([others, rows], ["first", "second"], "vqa", FEW)[0].metrics
    assert found["citation_precision_50"].difference.value == pytest.approx(1 - 2 / 4)
    assert found["citation_rate"].difference.value == pytest.approx(1 - 3 / 4)


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans(), st.integers(0, 3)), min_size=1, max_size=6))
def test_shares_lie_in_0_and_1_and_nothing_undefined_is_given(drawn: list[tuple[int, bool, int]]) -> None:
    metas = [cites(*[region(0, HERE)] * cited, missing=(9,) * bad, shown=cited + more) for cited, bad, more in drawn]
    rows: list[Any] = [{"id": f"s{n}", "meta": meta} for n, meta in enumerate(metas)]
    found = field_measures(rows, EvalSettings(), ["citations"])[0]
    assert all(0 <= measure.value <= 1 for measure in found.values())
    assert ("citation_rate" in found) == any(cited + more for cited, _, more in drawn)
    assert ("citation_precision_50" in found) == any(cited for cited, _, _ in drawn)


def test_reports_are_scored_alike(rows: list[Row], record: Callable[..., Row]) -> None:
    reports = [record(n, "report", "the lung", "the left lung", meta=row["meta"]) for n, row in enumerate(rows)]
    few = EvalSettings(resamples=50, metrics=NAMES)  # all the others would start Java
    scores = score(reports, "report", few)
    assert {name: scores.metrics[name] for name in NAMES} == {
        name: cell for name, cell in score(rows, "vqa", FEW).metrics.items() if name in NAMES
    }
    chosen = score(reports, "report", EvalSettings(resamples=50, metrics=("citation_rate",)))
    assert set(chosen.metrics) == {"citation_rate"}


def test_broken_citations_name_the_record(rows: list[Row]) -> None:
    rows[1]["meta"]["citations"]["regions"][0]["box_xyxy_px"] = [1, 2, 3]
    with pytest.raises(BadInput, match=r"meta\.citations\.regions\.0\.box_xyxy_px.* of 's1'"):
        score(rows, "vqa", FEW)
