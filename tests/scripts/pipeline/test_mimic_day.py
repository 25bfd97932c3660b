"""Day one with MIMIC-CXR: the shipped recipes, but for sizes, on a made-up tree, from region sets to scores."""

import json
import logging
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from making import make_once
from mimic_tree import TEST, films, write_all
from tiny_chexbert import write_chexbert
from tiny_vlms import write_gemma3, write_qwen3_vl

from medglip.eval.metrics.clinical.chexbert import CHEXPERT
from medglip.eval.metrics.clinical.chexpert import read_labels
from medglip.grounding.files import file_sha256, read_lines
from medglip.grounding.vocabulary.labels import load_labels
from medglip.scripts.pipeline.run import run

RECIPES = Path(__file__).parents[3] / "recipes"
TRAIN = {"steps": 2, "batch_size": 2, "warmup_steps": 1, "checkpoint_every": 1, "num_workers": 0}
SIZES = {"image_size": 64, "width": 16, "stage_widths": [8, 8, 8, 8], "hidden_size": 8, "depths": [1, 1, 1, 2]}


def sized(name: str, place: Path, out: str = "", **changes: dict[str, Any]) -> Path:
    """The shipped recipe with tiny sizes, written into the place; each change is of one section."""
    recipe = yaml.safe_load((RECIPES / name).read_text())
    recipe["out_dir"] = out or recipe["out_dir"]
    for section, values in changes.items():
        recipe[section] = recipe.get(section, {}) | values
    file = place / name
    file.write_text(yaml.safe_dump(recipe))
    return file


@pytest.fixture(scope="session")
def day(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of everything, `data` in it, where the core has been trained."""

    def make(folder: Path) -> Path:
        write_all(folder / "data")
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(folder)
            patch.setenv("MEDGLIP_DATA", str(folder / "data"))
            patch.setenv("MEDGLIP_CACHE", str(folder / "cache"))
            grounding = {"model": SIZES, "train": TRAIN | {"validate_every": 2}}
            run(sized("chest_core.yaml", folder, grounding=grounding, eval={"resamples": 10}))
        return folder

    return make_once(tmp_path_factory, "mimic-day", make)


@pytest.fixture(autouse=True)
def _there(day: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(day)
    monkeypatch.setenv("MEDGLIP_DATA", str(day / "data"))
    monkeypatch.setenv("MEDGLIP_CACHE", str(day / "cache"))


def vlm(name: str, day: Path, base: Path, out: str = "", **changes: dict[str, Any]) -> Path:
    """A recipe of the VLM on a tiny base; `changes`: further ones."""
    train = TRAIN | {"validate_every": 2, "validate_items": 2, "gradient_accumulation": 1}
    report = yaml.safe_load((RECIPES / name).read_text())["report"]
    report["generate"] = {"max_new_tokens": 4}
    sections: dict[str, Any] = {
        "mllm": {"base": str(base)},
        "mllm_train": train,
        "evidence": {"min_score": 0.0},
        "report": report,
        "eval": {"resamples": 10, "metrics": ["bleu", "rouge_l", "labels"]},  # METEOR starts Java
    }
    return sized(name, day, out, **{key: values | changes.get(key, {}) for key, values in sections.items()})


def _places(row: dict[str, Any]) -> set[tuple[Any, ...]]:
    return {(region["phrase"], *region["box_xyxy_px"]) for region in row["regions"]}


def records(day: Path, name: str, source: str) -> list[dict[str, Any]]:
    return sorted(read_lines(day / "runs" / name / "records" / f"report-{source}.jsonl"), key=lambda row: row["id"])


@pytest.fixture
def console(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    with caplog.at_level(logging.INFO, logger="medglip"):
        yield caplog


@pytest.mark.slow
def test_the_core_learns_no_test_patient_and_its_words_lie_beside_it(day: Path) -> None:
    core = day / "runs" / "chest_core" / "grounding" / "model"
    learned = set((core / "learned.txt").read_text().split())
    tested = [row for row in films() if row["subject_id"] in TEST]
    files = {row["dicom_id"]: day / "data" / "mimic_cxr" / row["path"] for row in films()}
    assert {file_sha256(files[row["dicom_id"]])[:16] for row in tested}.isdisjoint(learned)
    taught = [row for row in films() if row["split"] == "train" and row["view"] in ("PA", "AP")]
    assert {file_sha256(files[row["dicom_id"]])[:16] for row in taught} <= learned
    words = json.loads((core / "vocabulary.json").read_text())["xray"]
    assert {"left lung", "heart", "opacity", "cardiomegaly", "pleural effusion", "pneumothorax", "nodule"} <= set(words)
    assert all(load_labels().path(word) for word in words), "a sentence is not looked for"


@pytest.mark.slow
def test_the_recipe_of_the_vlm_shows_findings_true_boxes_and_other_patients(
    day: Path, tiny_text: Path, console: pytest.LogCaptureFixture
) -> None:
    base, chexbert = write_qwen3_vl(day / "qwen", tiny_text), write_chexbert(day / "chexbert")
    results = run(vlm("mimic_cxr_vlm.yaml", day, base, eval={"chexbert": str(chexbert)}))
    lines = [record.getMessage() for record in console.records]
    after_data = next(k for k, line in enumerate(lines) if line.startswith("== ") and line != "== data")
    assert any("eval.radgraph is not set" in line for line in lines[:after_data])
    assert not any("no CheXbert" in line for line in lines)
    tree = load_labels()
    shown = {source: records(day, "mimic_cxr_vlm", source) for source in ("none", "predicted", "oracle", "shuffled")}
    for rows in shown.values():
        assert [row["id"] for row in rows] == ["s50000005", "s50000006", "s50000008"]  # a lateral alone is listed
    # findings reach the prompt, never fewer than organs of an image
    for row in shown["predicted"]:
        levels = Counter(tree.level(region["phrase"]) for region in row["regions"])
        assert levels["finding"] >= levels["organ"] + levels["part"] > 0 or levels["finding"] > 0
        assert row["meta"]["views"][0] in ("PA", "AP")
    # true boxes of MS-CXR by their category, recorded at 960 x 800, stored at 96 x 80
    boxes = {(r["phrase"], tuple(r["box_xyxy_px"])) for r in shown["oracle"][0]["regions"]}
    assert boxes == {("opacity", (10.0, 20.0, 40.0, 60.0)), ("cardiomegaly", (10.0, 20.0, 40.0, 60.0))}
    assert [row["regions"] for row in shown["oracle"][1:]] == [[], []]
    # donors are other patients: of two with three studies, each shows what was found in the other's
    own, others = ({row["id"]: _places(row) for row in shown[source]} for source in ("predicted", "shuffled"))
    assert others["s50000005"] & own["s50000008"]
    assert others["s50000006"] & own["s50000008"]
    assert others["s50000008"] & (own["s50000005"] | own["s50000006"])
    assert not others["s50000008"] & own["s50000008"]
    # scores by CheXbert lead, and are what its labels say
    assert [*results["report"]["none"]][:2] == ["chexbert_14_micro", "chexbert_14_macro"]
    labels = [row["meta"]["labels"] for row in shown["none"]]
    hits = sum(one["reference"][n] != 0 and one["prediction"][n] != 0 for one in labels for n in CHEXPERT)
    marks = sum((one[side][n] != 0) for one in labels for side in ("reference", "prediction") for n in CHEXPERT)
    assert results["report"]["none"]["chexbert_14_micro"]["value"] == pytest.approx(2 * hits / marks if marks else 0)
    prompt_of_two = next(row for row in shown["predicted"] if row["id"] == "s50000005")["question"]
    assert "Image 2: LATERAL." in prompt_of_two
    (*_, last) = read_lines(day / "runs" / "mimic_cxr_vlm" / "train-grounded" / "log.jsonl")
    assert 0 <= last["validation_report_label_f1"] == last["validation"] <= 1


@pytest.mark.slow
@pytest.mark.thorough
def test_the_control_learns_from_other_patients_on_a_base_of_another_family(day: Path, tiny_text: Path) -> None:
    base = write_gemma3(day / "gemma", tiny_text)
    results = run(vlm("mimic_cxr_vlm_shuffled.yaml", day, base))
    assert results["train_source"] == "shuffled"
    assert {"label_f1", "bleu_4"} <= set(results["report"]["shuffled"])
    # MIMIC-CXR-JPG's labels are the reference, words tell what was written; uncertain counts as there
    hits = marks = 0
    for row in records(day, "mimic_cxr_vlm_shuffled", "none"):
        told, written = row["meta"]["chexpert"], read_labels(row["prediction"])
        there = {name for name in CHEXPERT if told.get(name) in (1, -1)}
        named = {name for name in CHEXPERT if written[name]}
        hits, marks = hits + len(there & named), marks + len(there) + len(named)
    assert results["report"]["none"]["label_f1"]["value"] == pytest.approx(2 * hits / marks)


@pytest.mark.slow
def test_a_score_that_is_required_refuses_before_the_first_stage(day: Path, tiny_base: Path) -> None:
    from medglip.grounding.bad_input import BadInput

    recipe = vlm("mimic_cxr_vlm.yaml", day, tiny_base, "runs/refused", eval={"require_scores": True})
    with pytest.raises(BadInput, match=r"eval\.chexbert is not set.*eval\.radgraph is not set"):
        run(recipe)


@pytest.mark.slow
def test_a_gated_base_without_a_token_is_one_line_before_the_first_stage(
    day: Path, monkeypatch: pytest.MonkeyPatch, console: pytest.LogCaptureFixture
) -> None:
    from medglip.grounding.bad_input import BadInput

    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    recipe = vlm("mimic_cxr_vlm.yaml", day, day / "unused", "runs/gated", mllm={"base": "google/medgemma-1.5-4b-it"})
    with pytest.raises(BadInput, match=re.escape("behind a licence gate, and there is no token")):
        run(recipe)
    assert not [one for one in console.records if one.getMessage().startswith("==")]
