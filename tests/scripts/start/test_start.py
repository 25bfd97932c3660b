"""The first ten minutes: recipes by name and to start from, what a core knows, what the installation can do."""

import json
import shutil
from pathlib import Path

import pytest
import yaml
from making import write_image
from typer.testing import CliRunner

from medglip.grounding.bad_input import BadInput
from medglip.grounding.datasets.settings import LAYOUTS
from medglip.grounding.settings import read_settings
from medglip.scripts.cli.main import app, main
from medglip.scripts.recipe import Recipe
from medglip.scripts.start import doctor
from medglip.scripts.start.doctor import examine
from medglip.scripts.start.phrases import phrase_lines
from medglip.scripts.start.recipes import RECIPES, STARTERS, recipe_file, recipe_names, write_starter


def call(*words: object, code: int = 0) -> str:
    result = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result.output


def test_a_recipe_of_the_package_is_known_by_name_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("quickstart", "quickstart.yaml", "recipes/quickstart.yaml"):
        assert recipe_file(name) == RECIPES / "quickstart.yaml"
    (tmp_path / "quickstart.yaml").write_text("name: mine")
    assert recipe_file("quickstart.yaml") == Path("quickstart.yaml")  # a file here comes first
    with pytest.raises(BadInput, match=r"did you mean 'quickstart'\? `medglip init KIND`"):
        recipe_file("quikstart")
    with pytest.raises(BadInput, match=r"[a-z]\. `medglip init KIND`"):  # after the list of all
        recipe_file("nosuch")
    for name in recipe_names():
        read_settings(Recipe, recipe_file(name))


@pytest.mark.parametrize("kind", STARTERS)
def test_a_starter_is_a_recipe_named_after_its_file(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert f"{kind}.yaml" in call("init", kind)
    call("init", kind, "mine.yaml")
    assert read_settings(Recipe, Path(f"{kind}.yaml")).out_dir == Path(f"runs/{kind}")
    assert read_settings(Recipe, Path("mine.yaml")).out_dir == Path("runs/mine")
    assert "# <-" in Path("mine.yaml").read_text()  # says what to change
    with pytest.raises(BadInput, match="there already"):
        write_starter(kind)


def test_the_starter_of_regions_names_layouts_that_there_are() -> None:
    text = " ".join((RECIPES / "start" / "grounding.yaml").read_text().replace("#", " ").split())
    named = text.partition("other layouts: ")[2].partition(" ...")[0].split(", ")
    assert len(named) > 1
    assert set(named) <= set(LAYOUTS)


def test_three_kinds_of_starter_and_the_nearest_for_another() -> None:
    assert set(STARTERS) == {"vqa", "report", "grounding"}
    with pytest.raises(BadInput, match="did you mean 'report'"):
        write_starter("reports")


@pytest.mark.slow
@pytest.mark.parametrize("kind", STARTERS)
def test_run_accepts_a_starter_but_for_the_data_it_names(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from medglip.scripts.pipeline.pipeline import Pipeline

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MEDGLIP_DATA", str(tmp_path))
    write_starter(kind)
    with pytest.raises(BadInput, match="my_"):  # its data are not there yet
        _ = (
            Pipeline(read_settings(Recipe, Path(f"{kind}.yaml"))).images,
            Pipeline(read_settings(Recipe, Path(f"{kind}.yaml"))).items,
        )
    write_data(tmp_path)
    pipeline = Pipeline(read_settings(Recipe, Path(f"{kind}.yaml")))
    pipeline.refuse_empty()
    assert pipeline.all_items or len(pipeline.images)


def write_data(folder: Path) -> None:
    """What the three starters name: questions, reports and regions of twelve patients."""
    rows = []
    for k in range(12):
        split = ("train", "val", "test")[k % 3]
        write_image(folder / "my_questions" / f"{k}.png", (64, 48), colour=k)
        rows.append({"image": f"{k}.png", "question": "Is it dark?", "answer": "yes", "split": split, "group": str(k)})
    (folder / "my_questions" / "questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    table = [f"my_questions/{k}.png,The lungs are clear.,{row['split']},{k}" for k, row in enumerate(rows)]
    (folder / "my_reports.csv").write_text("\n".join(["image,report,split,patient", *table]) + "\n")
    images = [{"id": k, "file_name": f"{k}.png", "width": 64, "height": 48} for k in range(12)]
    boxes = [{"id": k, "image_id": k, "category_id": 1, "bbox": [4, 4, 20, 20]} for k in range(12)]
    shutil.copytree(folder / "my_questions", folder / "my_regions" / "images")
    coco = {"images": images, "annotations": boxes, "categories": [{"id": 1, "name": "nodule"}]}
    (folder / "my_regions" / "annotations.json").write_text(json.dumps(coco))


def test_phrases_come_with_the_figures_beside_the_weights(tiny_core: Path, tmp_path: Path) -> None:
    core = shutil.copytree(tiny_core, tmp_path / "core")
    assert phrase_lines(str(core))[1:] == ["its folder holds no figures", "xray", "  left lung", "  nodule"]
    (core / "figures.json").write_text(json.dumps({"macro_ap50": 0.5, "sets": {"mine": {"ap50": 0.25}}}))
    (core / "README.md").write_text("| mine | xray | CC0 | 10 | 3 | 13 | nodule |\n")
    assert "  nodule: 0.25 (mine)" in phrase_lines(str(core), "xray")
    ours = {"sets": {}, "phrases": {"xray": {"nodule": {"ap50": 0.5, "n": 12}}}}
    (core / "test.json").write_text(json.dumps(ours))
    *_, told, _, lung, nodule = phrase_lines(str(core), "xray")
    assert told.startswith("n: images of it that show the phrase; a phrase without a figure is in none")
    assert (lung, nodule) == ("  left lung", "  nodule: 0.50 (n=12)")
    with pytest.raises(BadInput, match="knows nothing of histology"):
        phrase_lines(str(core), "histology")


def test_every_shipped_core_says_what_it_knows() -> None:
    for name in ("small", "small-research"):
        assert any("left lung: " in line for line in phrase_lines(name, "xray"))


def test_doctor_names_what_is_missing_and_what_that_costs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MEDGLIP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(doctor.shutil, "which", lambda _: None)
    monkeypatch.setattr("medglip.scripts.start.extras.find_spec", lambda _: None)
    lines, is_sound = examine()
    said = "\n".join(lines)
    assert is_sound
    assert said.count("record") == 1  # why nothing is compared, not at each file
    for words in (
        "java: missing: no METEOR",
        "smollm2-135m: not fetched",
        "pip install 'medglip[gpu]'",
        "torch ",
        "MB",
    ):
        assert words in said


def test_doctor_sees_damaged_weights(monkeypatch: pytest.MonkeyPatch, tiny_core: Path, tmp_path: Path) -> None:
    core = shutil.copytree(tiny_core, tmp_path / "core")
    weights = next(core.glob("*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:-8])
    monkeypatch.setenv("MEDGLIP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(doctor, "checkpoint_folder", lambda _: core)
    lines, is_sound = examine()
    assert not is_sound
    assert any("DAMAGED" in line for line in lines)


def test_ctrl_c_says_how_to_go_on(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def stop(**_: object) -> None:
        raise SystemExit(130)  # what typer makes of a KeyboardInterrupt

    monkeypatch.setattr("medglip.scripts.cli.main.app", stop)
    with pytest.raises(SystemExit, match="130"):
        main()
    assert "interrupted, call again to go on" in capsys.readouterr().err


def test_recipes_of_the_package_are_yaml_with_comments() -> None:
    for kind in STARTERS:
        text = (RECIPES / "start" / f"{kind}.yaml").read_text()
        assert text.startswith("#")
        assert yaml.safe_load(text)["name"] == kind
