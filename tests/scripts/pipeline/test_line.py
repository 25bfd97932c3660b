"""The whole line on tiny models: it ends with a page and results, and a kill at any stage loses and doubles nothing."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from medglip.grounding.bad_input import BadInput
from medglip.grounding.files import file_sha256, read_lines
from medglip.grounding.settings import read_settings
from medglip.grounding.training.provenance import learned_among
from medglip.scripts.inference.systems import RunSystem
from medglip.scripts.pipeline.pipeline import Pipeline, claim
from medglip.scripts.pipeline.run import ADAPTERS, run
from medglip.scripts.recipe import Recipe
from medglip.scripts.release.adapter_facts import learned_from
from medglip.vqa.inference.confidence import read_confidence

pytestmark = pytest.mark.slow
SOURCES = ("none", "predicted", "oracle", "shuffled", "random")


def comparable(out: Path) -> dict[str, list[tuple[str, str, str]]]:
    """What every record says, by file; times aside."""
    return {
        path.name: [(row["id"], str(row["prediction"]), row.get("prompt_sha256", "")) for row in read_lines(path)]
        for path in sorted((out / "records").glob("*.jsonl"))
    }


def test_validation_chooses_when_an_answer_counts(tiny_run: Path) -> None:
    for kind in ("plain", "grounded"):
        found = read_confidence(tiny_run / f"adapter-{kind}")
        assert found.is_measured
        assert found.aurc is not None
    assert found.num == len(list(read_lines(tiny_run / "validation" / "vqa-predicted.jsonl")))
    asked = {row["id"] for row in read_lines(tiny_run / "validation" / "vqa-predicted.jsonl")}
    scored = list(read_lines(tiny_run / "records" / "vqa-predicted.jsonl"))
    assert not asked & {row["id"] for row in scored}, "what is scored chooses nothing"
    assert all(0 <= row["probability"] <= 1 for row in scored)
    page = (tiny_run / "index.html").read_text()
    assert '<section id="abstention">' in page
    assert f"Answers below a probability of {found.threshold:.2f} are held back (chosen on {found.num} valid" in page
    assert "shown" in json.loads((tiny_run / "results.json").read_text())


def test_the_line_ends_with_page_and_results_and_a_rerun_changes_nothing(tiny_run: Path) -> None:
    out, recipe = tiny_run, tiny_run.parent / "recipe.yaml"
    results = json.loads((out / "results.json").read_text())
    assert set(results["grounding"]) >= {"ap50", "miou", "dice"}
    for source in SOURCES:
        assert {"open", "closed", "n"} <= set(results["vqa"][source])
        assert {"bleu_4", "rouge_l", "cider", "n"} <= set(results["report"][source])
        assert {"value", "low", "high"} <= set(results["vqa"][source]["closed"])
    for name in ("rules", "most_frequent", "bag_of_words", "nearest_question"):
        assert results["vqa"][name]["n"] == results["vqa"]["none"]["n"]
    assert json.loads((out / "results.json").read_text())["seconds"] > 0
    page = (out / "index.html").read_text()
    assert page.count('"a":{') >= 12  # cases
    assert "not for diagnosis" in page
    assert "synthetic" in page
    before = comparable(out)
    again = run(recipe)
    assert comparable(out) == before
    assert {**again, "seconds": 0, "stages": 0} == {**results, "seconds": 0, "stages": 0}
    prompts = {name: {row[0]: row[2] for row in rows} for name, rows in before.items()}
    assert prompts["vqa-none.jsonl"] != prompts["vqa-predicted.jsonl"]
    assert set(prompts["vqa-none.jsonl"]) == set(prompts["vqa-shuffled.jsonl"])


def test_other_settings_in_the_same_folder_are_refused(write_recipe: Callable[[Path], Path], tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path)
    claim(read_settings(Recipe, recipe))
    recipe.write_text(recipe.read_text().replace("name: tiny", "name: tiny\nseed: 7"))
    with pytest.raises(BadInput, match="differs in seed"):
        claim(read_settings(Recipe, recipe))


def test_a_finished_run_may_be_scored_otherwise(write_recipe: Callable[[Path], Path], tmp_path: Path) -> None:
    recipe = read_settings(Recipe, write_recipe(tmp_path))
    claim(recipe)
    anew = recipe.model_copy(update={"eval": recipe.eval.model_copy(update={"resamples": 77})})
    claim(anew)
    assert Recipe.model_validate_json((recipe.out_dir / "recipe.json").read_text()) == anew


def test_killed_in_training_and_in_prediction_it_ends_as_if_it_had_not_been(
    tiny_run: Path, write_recipe: Callable[[Path], Path], tmp_path: Path
) -> None:
    killed = write_recipe(tmp_path)
    out = tmp_path / "run"
    for sign in (out / "grounding" / "latest", out / "train-plain" / "latest", out / "records" / "vqa-none.jsonl"):
        kill_when(sign, killed)
    run(killed)
    assert comparable(out) == comparable(tiny_run)


def kill_when(sign: Path, recipe: Path) -> None:
    """Start the command, SIGKILL it as soon as the file is there."""
    command = [sys.executable, "-m", "medglip.scripts.cli", "run", str(recipe)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ)
    deadline = time.monotonic() + 240
    while not sign.exists():
        assert process.poll() is None, f"ended before {sign.name} was there"
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()


def test_adapters_say_which_pictures_taught_them(tiny_run: Path) -> None:
    pictures = sorted((tiny_run / "phantoms" / "images").glob("*.png"))
    taught = {picture for picture in pictures if picture.name.startswith("train")}
    for kind in ADAPTERS:
        assert learned_among(tiny_run / f"adapter-{kind}", pictures) == taught != set()


def test_nothing_is_scored_on_a_picture_that_taught_the_aligned_start(
    write_recipe: Callable[[Path], Path], tmp_path: Path
) -> None:
    recipe = read_settings(Recipe, write_recipe(tmp_path))
    every = Pipeline(recipe)
    taught = every.scored_images[0].image_path
    line = Pipeline(recipe)
    line.recipe = recipe.model_copy(update={"mllm": recipe.mllm.model_copy(update={"aligned": str(tmp_path)})})
    with pytest.raises(BadInput, match="does not say which pictures"):
        _ = line.items["vqa"]
    (tmp_path / "learned.txt").write_text(file_sha256(taught)[:16] + "\n")
    left_out = {q.item_id for q in every.items["vqa"]} - {q.item_id for q in line.items["vqa"]}
    assert left_out == {q.item_id for q in every.items["vqa"] if q.image.image_path == taught} != set()
    assert {entry["item"] for entry in line.skipped.entries} == left_out
    assert all(image.image_path != taught for image in line.scored_images)


def test_a_core_taken_as_it_is_is_not_trained_and_scores_nothing_it_learned(
    write_recipe: Callable[[Path], Path], tiny_run: Path, tmp_path: Path
) -> None:
    core = tmp_path / "core"
    shutil.copytree(tiny_run / "grounding" / "model", core)
    shutil.copy(tiny_run / "vocabulary.json", core)
    path = write_recipe(tmp_path)
    recipe = yaml.safe_load(path.read_text()) | {"sources": ["predicted"], "grounding": {"core": str(core)}}
    del recipe["report"]
    path.write_text(yaml.safe_dump(recipe))
    results = run(path)
    taken = tmp_path / "run" / "grounding" / "model"
    assert (taken / "model.safetensors").read_bytes() == (core / "model.safetensors").read_bytes()
    assert results["vqa"]["predicted"]["n"] == 30
    assert results["grounding"] == {}
    line = Pipeline(read_settings(Recipe, path))
    (taken / "learned.txt").write_text(file_sha256(line.scored_images[0].image_path)[:16] + "\n")
    with pytest.raises(BadInput, match="scored pictures taught the core"):
        _ = line.grounder


def test_reports_that_regions_write_run_to_the_end(write_recipe: Callable[[Path], Path], tmp_path: Path) -> None:
    """`report.data: derived`, of two splits alone; no report is read from a file."""
    recipe = write_recipe(tmp_path)
    values = yaml.safe_load(recipe.read_text()) | {"sources": ["predicted", "oracle"], "eval_split": "val"}
    del values["vqa"]
    values["report"] |= {"data": "derived", "derived": {"splits": ["train", "val"]}}
    values["evidence"]["cite"] = True
    recipe.write_text(yaml.safe_dump(values))
    assert run(recipe)["report"]["oracle"]["n"] == 4
    rows = list(read_lines(tmp_path / "run" / "records" / "report-oracle.jsonl"))
    assert {row["split"] for row in rows} == {"val"}
    assert all(row["answer"].split(".")[0].endswith(("image", "photograph", "chest", "abdomen")) for row in rows)
    splits = {report.image.split for report in Pipeline(read_settings(Recipe, recipe)).reports}
    assert splits == {"train", "val"}
    assert [fact.what for fact in learned_from(RunSystem(tmp_path / "run"), ())] == ["reports derived from regions"]
