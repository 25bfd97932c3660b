import json
import random
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from medglip.eval.compare import compare, compare_runs
from medglip.eval.records import read_records
from medglip.eval.score import EvalSettings, read_json, score, write_json
from medglip.eval.statistics.bootstrap import Difference, Estimate
from medglip.eval.table import cell, table
from medglip.grounding.bad_input import BadInput
from medglip.grounding.geometry import mask_to_rle
from medglip.grounding.records import Task
from medglip.grounding.settings import validate

Records = list[Any]
FEW = EvalSettings(resamples=200, metrics=("bleu", "rouge_l", "cider"))


@pytest.fixture
def vqa_records(record: Callable[..., Any]) -> Records:
    rng = random.Random(0)
    return [
        record(n, "vqa", "left" if n % 2 else "yes", rng.choice(["left", "yes", "no"]), answer_type=kind)
        for n, kind in enumerate(["closed", "open"] * 20)
    ]


@pytest.fixture
def grounding_records(record: Callable[..., Any], region: Callable[..., Any]) -> Records:
    mask = np.zeros((20, 20), bool)
    mask[:10, :10] = True
    truth = region(0, 0, 10, 10, mask_rle=mask_to_rle(mask))
    right, wrong = truth | {"score": 0.8}, region(10, 10, 20, 20, score=0.9)
    return [
        record(0, "grounding", [truth], [right], phrases=["opacity"]),
        record(1, "grounding", [truth], [right]),
        record(2, "grounding", [], [wrong]),
        record(3, "grounding", [truth | {"phrase": "mass"}], [], phrases=["nodule", "mass"]),
    ]


def test_vqa_scores(vqa_records: Records) -> None:
    scores = score(vqa_records, "vqa", FEW)
    assert set(scores.metrics) == {"open_accuracy", "open_f1", "open_recall", "closed_accuracy", "overall_accuracy"}
    right = [row["answer"] == row["prediction"] for row in vqa_records]
    overall = scores.metrics["overall_accuracy"]
    assert overall.value == pytest.approx(np.mean(right))
    assert overall.low is not None
    assert overall.high is not None
    assert overall.low < overall.value < overall.high
    assert scores.counts["records"] == 40
    assert scores.counts["clusters"] == 20
    assert (scores.protocol, scores.version) == ("exact_match", "3")


def test_clusters_of_two_data_sets_are_never_one(vqa_records: Records) -> None:
    rows = [row | {"cluster_id": "1", "dataset": "a" if n < 20 else "b"} for n, row in enumerate(vqa_records)]
    assert score(rows, "vqa", FEW).counts["clusters"] == 2


def test_report_scores(record: Callable[..., Any]) -> None:
    texts = [
        f"the {side} lung is {state} . no effusion ." for side in ("left", "right") for state in ("clear", "dense")
    ]
    rows = [record(n, "report", text, text) for n, text in enumerate(texts)]
    scores = score(rows, "report", FEW)
    assert set(scores.metrics) == {"bleu_1", "bleu_2", "bleu_3", "bleu_4", "rouge_l", "cider"}
    assert scores.metrics["bleu_4"].value == pytest.approx(1, abs=1e-6)
    assert scores.settings["tokenization"] == "lower"


def test_grounding_scores(grounding_records: Records) -> None:
    scores = score(grounding_records, "grounding", FEW)
    assert scores.counts == {
        "records": 4,
        "clusters": 2,
        "n": 5,
        "scored": 4,
        "abstained": 0,
        "failed": 1,
        "skipped": 0,
        "pairs": 5,
        "pairs_without_truth": 2,
        "pairs_without_prediction": 2,
    }
    values = {name: found.value for name, found in scores.metrics.items()}
    assert values["miou"] == values["acc_iou50"] == values["dice"] == pytest.approx(2 / 3)
    assert values["ap50"] == pytest.approx(67 / 101 * 2 / 3)  # recall 2/3, behind one false positive
    assert (scores.metrics["ap"].n, scores.metrics["dice"].n) == (5, 3)
    assert score(grounding_records, "grounding", EvalSettings(score_threshold=0.85)).metrics["dice"].value == 0.0


def test_score_file_is_recomputable_byte_for_byte(vqa_records: Records, tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    path.write_text("".join(json.dumps(row | {"seconds": n}) + "\n" for n, row in enumerate(vqa_records)))
    for name in ("a.json", "b.json"):
        write_json(score(read_records([path], "vqa"), "vqa", FEW), tmp_path / name)
    write_json(score(vqa_records[::-1], "vqa", FEW), tmp_path / "other_order.json")
    first = (tmp_path / "a.json").read_bytes()
    assert first == (tmp_path / "b.json").read_bytes() == (tmp_path / "other_order.json").read_bytes()
    assert read_json(tmp_path / "a.json") == score(vqa_records, "vqa", FEW)
    changed = score([vqa_records[0] | {"prediction": "maybe"}, *vqa_records[1:]], "vqa", FEW)
    assert changed.data_sha256 != json.loads(first)["data_sha256"]


def test_bad_score_files_settings_and_records() -> None:
    with pytest.raises(BadInput, match=r"not JSON.* Fix: give a file that `medglip eval` wrote"):
        read_json(Path(__file__))
    with pytest.raises(BadInput, match=r"'protocol'.*exact_match"):
        validate(EvalSettings, {"protocol": "guess"})
    for task in get_args(Task):
        with pytest.raises(BadInput, match="no records"):
            score([], task)


def test_comparison(vqa_records: Records, tmp_path: Path) -> None:
    better = [row | {"prediction": row["answer"]} for row in vqa_records]
    paths = [tmp_path / "a.jsonl", tmp_path / "b.jsonl"]
    for path, rows in zip(paths, (better, vqa_records[::-1]), strict=True):
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = compare(paths[:1], paths[1:], "vqa", FEW)
    overall = found.metrics["overall_accuracy"]
    assert overall.a == 1.0
    assert overall.b == score(vqa_records, "vqa", FEW).metrics["overall_accuracy"].value
    assert overall.difference.value == pytest.approx(overall.a - overall.b)
    assert overall.difference.low is not None
    assert overall.difference.low > 0
    assert overall.p_value is not None
    assert overall.p_value < 0.05
    json.dumps(asdict(found), allow_nan=False)


def test_grounding_runs_can_be_compared(grounding_records: Records) -> None:
    silent = [row | {"prediction": []} for row in grounding_records]
    found = compare_runs([grounding_records, silent], ["first", "second"], "grounding", FEW)[0]
    assert found.metrics["dice"].difference.value == pytest.approx(2 / 3)
    assert found.metrics["ap50"].b == 0.0


def test_runs_on_other_samples_are_not_compared(vqa_records: Records) -> None:
    with pytest.raises(BadInput, match=r"2 ids are missing in the second run: s0, s1\."):
        compare_runs([vqa_records, vqa_records[2:]], ["first", "second"], "vqa", FEW)[0]
    with pytest.raises(BadInput, match=r"1 ids are missing in the first run: s39\."):
        compare_runs([vqa_records[:-1], vqa_records], ["first", "second"], "vqa", FEW)[0]
    other = [vqa_records[0] | {"answer": "no"}, *vqa_records[1:]]
    with pytest.raises(BadInput, match=r"1 ids differ in question, reference, phrases or cluster: s0\."):
        compare_runs([vqa_records, other], ["first", "second"], "vqa", FEW)[0]


def test_table_holds_value_interval_and_n(vqa_records: Records) -> None:
    low, none = Estimate(0.5, 0.25, 0.75, 8, "BCa"), Estimate(0.5, None, None, 8, "none: one cluster")
    assert cell(low) == "0.500 [0.250, 0.750] n=8"
    assert cell(none) == "0.500 [no interval] n=8"
    assert cell(None) == "-"
    assert cell(Difference(0.75, 0.25, low, 0.03125)) == "+0.500 [+0.250, +0.750] n=8 p=0.0312"
    on_floor = Difference(0.75, 0.25, low, 2 / 4001, 5 * 2 / 4001, p_floor=2 / 4001)
    assert cell(on_floor) == "+0.500 [+0.250, +0.750] n=8 p<0.0005 Holm<0.0025"
    lines = table({"a": {"ap": low}, "b": {"dice": none}}, "markdown").splitlines()
    assert [line.split(" | ")[0] for line in lines] == ["| metric", "| ------", "| ap    ", "| dice  "]
    assert [part.strip() for part in lines[3].strip("|").split("|")] == ["dice", "-", "0.500 [no interval] n=8"]
    assert len({len(line) for line in lines}) == 1
