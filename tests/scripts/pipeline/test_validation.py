"""An adapter is validated by answers, and its best weights are those that answered best."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from medglip.grounding.bad_input import BadInput
from medglip.grounding.files import read_lines
from medglip.grounding.settings import read_settings, validate
from medglip.grounding.training.provenance import write_learned
from medglip.report.records import findings_f1
from medglip.scripts.pipeline.pipeline import Pipeline
from medglip.scripts.pipeline.tasks import TASKS
from medglip.scripts.pipeline.training import tune
from medglip.scripts.recipe import Recipe, TuneSettings


@pytest.mark.slow
def test_the_best_answers_choose_the_weights_and_every_value_is_recorded(
    write_recipe: Callable[[Path], Path], tiny_core: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_recipe(tmp_path)
    recipe = yaml.safe_load(path.read_text())
    shutil.copytree(tiny_core, tmp_path / "core")
    write_learned(tmp_path / "core", [])
    recipe["grounding"] = {"core": str(tmp_path / "core")}
    recipe["mllm_train"]["train"] |= {"validate_every": 1}
    recipe["mllm_train"] |= {"validate_by": "metric", "validate_items": 3}
    path.write_text(yaml.safe_dump(recipe))
    answered: list[tuple[str, list[str]]] = []
    for row in TASKS.values():
        # accuracy of a random model is 0 at every step: the values are ours, the records those that are scored
        def value(records: Any, name: str = row.name) -> float:
            answered.append((name, [record["id"] for record in records]))
            assert {record["split"] for record in records} == {"val"}
            assert {record["evidence"] for record in records} == {"predicted"}
            return [0.25, 0.75, 0.5][(len(answered) - 1) // 2]

        monkeypatch.setattr(row, "value", value)
    pipeline = Pipeline(read_settings(Recipe, path))
    tune(pipeline, "grounded")
    log = list(read_lines(pipeline.folder.training_dir("grounded") / "log.jsonl"))
    assert [row["validation"] for row in log] == [0.25, 0.75, 0.5]
    assert [row["validation_vqa_accuracy"] for row in log] == [row["validation_report_label_f1"] for row in log]
    best = pipeline.folder.training_dir("grounded") / "best"
    assert json.loads((best / "value.json").read_text()) == 0.75
    assert len(answered) == 6
    assert all(len(ids) == 3 and ids == answered[0 if name == "vqa" else 1][1] for name, ids in answered)


def test_findings_are_those_that_a_text_affirms_unless_they_are_annotated() -> None:
    def record(answer: str, prediction: str, **meta: Any) -> dict[str, Any]:
        return {"answer": answer, "prediction": prediction, "meta": meta}

    # right: nodule; named: 2 + 1 (the reference has another, what is denied counts for nobody)
    first = record("There is a nodule and an opacity. No fracture.", "A nodule. No opacity.")
    labels = {"reference": {"cyst": 1, "mass": 0}, "prediction": {"cyst": 1, "mass": 1}}
    assert findings_f1([first]) == pytest.approx(2 * 1 / 3)
    assert findings_f1([first, record("Nothing.", "A mass.", labels=labels)]) == pytest.approx(2 * 2 / 6)
    assert findings_f1([record("The heart is normal.", "The heart.")]) == 0.0


def test_what_validates_is_a_choice_and_the_default_is_what_it_was() -> None:
    assert TuneSettings().validate_by == "loss"
    values = {"name": "x", "out_dir": "x", "grounding": {"core": "small"}, "mllm_train": {"validate_by": "metric"}}
    with pytest.raises(BadInput, match="needs validate_every"):
        validate(Recipe, values)
