"""The shipped recipes of report sets run from end to end on folders in the sets' own layouts, with tiny models."""

import csv
import gzip
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from making import write_image

from medglip.grounding.bad_input import BadInput
from medglip.grounding.evidence.evidence import Evidence
from medglip.grounding.files import read_lines
from medglip.grounding.settings import validate
from medglip.report.records import read_text
from medglip.scripts.pipeline.run import run
from medglip.scripts.recipe import Recipe

RECIPES = Path(__file__).parents[3] / "recipes"
PARTS = ("train", "train", "train", "train", "test", "test")


def mimic_cxr(root: Path) -> Path:
    """Two studies a patient, the second a day later."""
    split = [("dicom_id", "study_id", "subject_id", "split")]
    meta = [("dicom_id", "subject_id", "study_id", "ViewPosition", "StudyDate", "StudyTime")]
    for k, part in enumerate(PARTS):
        subject, image = f"1000000{k // 2}", f"5000000{k}"
        folder = root / "files" / "p10" / f"p{subject}" / f"s{image}"
        for view in ("LATERAL", "PA"):
            write_image(folder / f"{image}-{view}.jpg", (96, 80), "L", 40 * k)
            split.append((f"{image}-{view}", image, subject, part))
            meta.append((f"{image}-{view}", subject, image, view, f"2180050{1 + k % 2}", "80556.875"))
        text = f" FINAL REPORT\n INDICATION: Cough.\n \n FINDINGS: Nodule {k} seen ___.\n IMPRESSION: Nodule.\n"
        folder.with_suffix(".txt").write_text(text)
    for kind, rows in {"split": split, "metadata": meta}.items():
        with gzip.open(root / f"mimic-cxr-2.0.0-{kind}.csv.gz", "wt", newline="") as file:
            csv.writer(file).writerows(rows)
    return root


def iu_xray(root: Path) -> Path:
    rows: dict[str, list[dict[str, Any]]] = {"train": [], "val": [], "test": []}
    for k, part in enumerate(PARTS):
        names = [f"CXR{k}_IM-0001/{view}.png" for view in range(2)]
        for name in names:
            write_image(root / "images" / name, (96, 80), "L", 40 * k)
        rows[part].append({"id": f"CXR{k}_IM-0001", "report": f"Heart {k} normal XXXX .", "image_path": names})
    (root / "annotation.json").write_text(json.dumps(rows))
    return root


def generic(root: Path) -> Path:
    rows = []
    for k, part in enumerate(PARTS):
        write_image(root / f"{k}.png", (96, 80), "L", 40 * k)
        rows.append({"image": f"{k}.png", "report": f"Findings: Nodule {k}.", "split": part, "indication": "Cough."})
    file = root / "reports.csv"
    with file.open("w", newline="") as lines:
        writer = csv.DictWriter(lines, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return file


def tiny(name: str, path: Path, base: Path, out: Path) -> dict[str, Any]:
    """The shipped recipe with another path, and models and budgets of no size."""
    recipe = yaml.safe_load((RECIPES / name).read_text())
    train = {"steps": 2, "batch_size": 2, "warmup_steps": 1, "checkpoint_every": 1}
    sizes = {"image_size": 64, "width": 16, "stage_widths": [8, 8, 8, 8], "hidden_size": 8, "depths": [1, 1, 1, 2]}
    recipe["report"]["data"][0]["path"] = str(path)
    recipe["report"]["generate"] = {"max_new_tokens": 4}
    if recipe["grounding"].pop("core", None):  # one that somebody trained before; here it is trained as well
        recipe["grounding"]["data"] = [{"layout": "phantom", "licence": "drawn"}]
    recipe["grounding"]["settings"] = {"model": sizes, "train": train}
    recipe["evidence"]["min_score"] = 0.0
    return recipe | {
        "out_dir": str(out),
        "phantoms": {"num_train": 7, "num_val": 0, "num_test": 7, "size_px": 96},
        "sources": ["none", "predicted"],
        "mllm": {"base": str(base), "dtype": "fp32", "lora": {"r": 2}},
        "mllm_train": {"train": train},
        "eval": {"resamples": 20, "metrics": ["bleu", "rouge_l", "cider"]},
    }


def test_predictions_are_read_under_the_policy_of_their_reference() -> None:
    meta = {"deidentified": {"policy": "remove", "marks": 1}}
    found = read_text("Clear. Seen by ___.", Evidence.none(), Evidence.none(), meta)
    assert found["prediction"] == found["parsed"] == "Clear. Seen."
    assert found["meta"]["raw"] == "Clear. Seen by ___."
    assert [row["text"] for row in found["meta"]["sentences"]] == ["Clear.", "Seen."]
    plain = read_text("Clear. Seen by ___.", Evidence.none(), Evidence.none(), {})
    assert "prediction" not in plain
    assert plain["parsed"] == "Clear. Seen by ___."


def test_true_regions_are_asked_of_no_set_without() -> None:
    values = yaml.safe_load((RECIPES / "iu_xray.yaml").read_text()) | {"sources": ["none", "oracle"]}
    with pytest.raises(BadInput, match="'oracle' needs true regions, and iu_xray has none"):
        validate(Recipe, values)


@pytest.mark.slow
@pytest.mark.parametrize("write", [mimic_cxr, iu_xray, generic], ids=lambda write: write.__name__)
def test_a_shipped_recipe_runs_when_its_path_is_set(write: Any, tiny_base: Path, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    names = {"generic": "own_reports.yaml"}
    name = names.get(write.__name__, f"{write.__name__}.yaml")
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(yaml.safe_dump(tiny(name, write(tmp_path / "data"), tiny_base, tmp_path / "run")))
    results = run(recipe)
    for source in ("none", "predicted"):
        assert results["report"][source]["n"] == 2
        rows = read_lines(tmp_path / "run" / "records" / f"report-{source}.jsonl")
        records = sorted(rows, key=lambda row: row["id"])
        assert {record["split"] for record in records} == {"test"}
        assert all(record["meta"]["deidentified"]["policy"] for record in records)
    shown = [len(record["meta"]["image_ids"]) for record in records]
    asked = [record["question"] for record in records]
    if write is mimic_cxr:
        assert shown == [2, 3]  # two views, and of the second study the one before
        assert asked[0].startswith("Indication: Cough.\nImage 1: PA. Image 2: LATERAL.")
        assert "Prior report: Nodule 4 seen. Nodule.\nImage 1: PA." in asked[1]
        assert [record["answer"] for record in records] == ["Nodule 4 seen.", "Nodule 5 seen."]
    else:
        assert shown == ([2, 2] if write is iu_xray else [1, 1])
    assert "not for diagnosis" in (tmp_path / "run" / "index.html").read_text()
