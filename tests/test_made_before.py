"""What version 0.1 left on disk still loads: runs, cores, adapters, aligned starts, built sets, records, checkpoints.

`made_before/` was written by that version, in its spelling, and is never written again. All paths in it are relative to
the folder, so the tests stand in a copy of it.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from medglip.grounding.bad_input import BadInput
from medglip.scripts.cli.main import app

pytestmark = pytest.mark.slow
MADE = Path(__file__).parent / "made_before"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of what was made, as the current folder and the folder of data sets; an empty cache."""
    shutil.copytree(MADE, tmp_path / "made")
    monkeypatch.chdir(tmp_path / "made")
    monkeypatch.setenv("MEDGLIP_DATA", ".")
    monkeypatch.setenv("MEDGLIP_CACHE", str(tmp_path / "cache"))
    return tmp_path / "made"


def call(*words: str | Path) -> str:
    result = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def rows(file: str | Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(file).read_text().splitlines()]


def files(*patterns: str) -> dict[str, tuple[bytes, int]]:
    """Bytes and time of all files that match."""
    found = [path for pattern in patterns for path in Path().glob(pattern) if path.is_file()]
    assert found
    return {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in sorted(found)}


def test_a_finished_run_called_again_makes_nothing_anew_but_floors_and_rules(here: Path) -> None:
    kept = ("run/records/*", "run/probes/*", "run/regions/*/*", "run/adapter-*/**/*", "run/phantoms/images/*")
    before, results = files(*kept, "run/grounding/model/*"), json.loads(Path("run/results.json").read_text())
    call("run", "recipe.yaml")
    after = files(*kept, "run/grounding/model/*")
    added = {Path(name).stem for name in after.keys() - before.keys()}
    assert added == {f"vqa-{name}" for name in ("rules", "most_frequent", "bag_of_words", "nearest_question")}
    assert {name: after[name] for name in before} == before
    again = json.loads(Path("run/results.json").read_text())
    for task in ("vqa", "report"):
        assert set(again[task]) >= set(results[task]) == {"none", "predicted", "oracle", "random", "shuffled"}
        for source, values in results[task].items():
            assert again[task][source]["n"] == values["n"]
            for name in set(values) - {"n"}:
                assert again[task][source][name]["value"] == pytest.approx(values[name]["value"])
    assert "data:image/jpeg" in Path("run/index.html").read_text()


@pytest.mark.parametrize("source", ["none", "predicted"])
def test_a_run_is_asked(source: str) -> None:
    words = ("--run", "run", "--modality", "xray", "--evidence", source)
    said = call("vqa", "ask", "pictures/front.png", "Is there a nodule?", *words)
    assert "answer: " in said
    assert ("evidence 1: " in said) == (source == "predicted")


def test_an_adapter_by_itself_is_asked_with_its_core() -> None:
    words = ("vqa", "ask", "pictures/front.png", "Is there a nodule?", "--modality", "xray")
    said = call(*words, "--adapter", "adapter", "--checkpoint", "run/grounding/model")
    assert said.splitlines()[-4:] == call(*words, "--run", "run").splitlines()[-4:]
    assert "answer: " in said


def test_a_run_writes_a_report_of_the_same_form() -> None:
    words = ("--run", "run", "--modality", "xray", "--out", "again")
    call("report", "write", "pictures/front.png", "pictures/side.png", *words)
    old, new = (json.loads(Path(folder, "front.json").read_text()) for folder in ("report", "again"))
    assert set(old) <= set(new)
    assert "not for diagnosis" in new["notice"]
    assert "2 reports" in call("report", "coco", "report", "--out", "coco")


def test_a_core_finds_what_it_found() -> None:
    words = ("--modality", "xray", "--phrase", "left lung", "--min-score", "0.5", "--out", "again")
    call("grounding", "predict", "pictures/front.png", "--checkpoint", "run/grounding/model", *words)
    (old,), (new,) = rows("regions/regions.jsonl"), rows("again/regions.jsonl")
    assert set(old) <= set(new)
    assert len(old["regions"]) == len(new["regions"])


def test_records_are_scored_compared_and_shown() -> None:
    few = ("--resamples", "20")
    assert "closed_accuracy" in call("eval", "vqa", "run/records/vqa-predicted.jsonl", *few)
    assert "rouge_l" in call("eval", "report", "run/records/report-none.jsonl", *few, "--metrics", "rouge_l,bleu")
    assert "ap50" in call("eval", "grounding", "run/records/grounding.jsonl", *few)
    pair = [f"run/records/vqa-{source}.jsonl" for source in ("predicted", "none")]
    assert "vqa-predicted minus vqa-none" in call("eval", "compare", *pair, *few)
    assert "blank" in call("eval", "probes", pair[0], "run/probes/vqa-predicted.blank.jsonl", *few)
    call("eval", "page", "run", "--out", "page.html")
    assert Path("page.html").read_text().count("data:image/jpeg") == 2


def test_a_built_set_is_read() -> None:
    assert "10 images checked, 0 faults" in call("data", "check", "built")
    words = ("--out", "qa.jsonl", "--per-kind", "1", "--limit", "2")
    assert "written: qa.jsonl" in call("data", "export", "qa", "built", *words)
    renamed = {"image_id" if key == "study_id" else key for key in rows("derived.jsonl")[0]}
    assert renamed <= set(rows("qa.jsonl")[0])


def test_a_core_whose_training_was_killed_goes_on_with_the_modalities_it_began_with() -> None:
    file = Path("half-core/grounding/log.jsonl")
    before = [row | {"mark": 1} for row in rows(file)]  # who begins anew writes the log anew
    assert [row["step"] for row in before] == [1, 2]
    file.write_text("".join(json.dumps(row) + "\n" for row in before))
    call("grounding", "train", "half-core.yaml")
    after = rows(file)
    assert after[:2] == before
    expected = json.loads(Path("losses.json").read_text())["half-core"]  # of a training that was not killed
    assert [row["loss"] for row in after] == pytest.approx(expected, rel=1e-3)
    assert len(json.loads(Path("half-core/grounding/model/config.json").read_text())["modalities"]) == 10


def test_an_adapter_whose_training_was_killed_is_refused_as_it_stands() -> None:
    """Its prompts and region tokens were others: going on would teach half of each (decision 0012)."""
    kept = ("half-adapter/train-grounded/checkpoint-2/*", "half-adapter/train-grounded/log.jsonl")
    before = files(*kept)
    with pytest.raises(BadInput, match="half-adapter/train-grounded/checkpoint-2: checkpoint of another architecture"):
        call("vqa", "train", "half-adapter.yaml")
    assert files(*kept) == before


def test_an_aligned_start_is_started_from_and_not_made_again() -> None:
    before = files("aligned/*.safetensors")
    with pytest.raises(BadInput, match="another alignment"):  # of other questions, decision 0012
        call("vqa", "align", "align.yaml", "--out", "aligned")
    assert files("aligned/*.safetensors") == before
    call("run", "aligned.yaml")
    assert json.loads(Path("aligned-run/results.json").read_text())["vqa"]["none"]["n"] == 4


def test_predictions_go_on_where_they_were() -> None:
    before, found = rows("predicted/own.jsonl"), files("predicted/regions/*/*")
    assert len(before) == 2
    words = ("--root", "pictures", "--adapter", "run", "--max-new-tokens", "2", "--batch-size", "2")
    call("vqa", "predict", "--dataset", "jsonl", *words, "--out", "predicted/own.jsonl")
    after = rows("predicted/own.jsonl")
    assert after[:2] == before
    assert len(after) == 3
    assert files("predicted/regions/*/*") == found  # both pictures were looked at before


def test_recipes_keep_their_meaning() -> None:
    """Each recipe lists its data, and what a run wrote down of its recipe is what the recipe says."""
    for name in ("recipe", "half-core", "half-adapter", "aligned"):
        assert "train" in call("data", "list", f"{name}.yaml")
    assert yaml.safe_load(Path("recipe.yaml").read_text())["name"] == "made-before"
