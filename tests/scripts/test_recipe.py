"""A recipe is typed: unknown keys are refused with the nearest valid one, contradictions with the key."""

import json
from pathlib import Path

import pytest

from medglip.grounding.bad_input import BadInput
from medglip.grounding.settings import read_settings
from medglip.scripts.recipe import Recipe

ROOT = Path(__file__).parent.parent.parent
BASE = "name: t\nout_dir: {out}\nphantoms: {{}}\ngrounding: {{data: [{{layout: phantom, path: phantoms}}]}}\n"


def read(tmp_path: Path, more: str) -> Recipe:
    path = tmp_path / "recipe.yaml"
    path.write_text(BASE.format(out=tmp_path / "out") + more)
    return read_settings(Recipe, path)


FOLDERS = ("", "stages/", "vqa/", "report/")
RECIPES = sorted(path for folder in FOLDERS for path in ROOT.glob(f"recipes/{folder}*.yaml"))


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_shipped_recipes_are_valid(recipe: Path) -> None:
    assert read_settings(Recipe, recipe).name


def test_sets_come_from_files_beside_the_recipe(tmp_path: Path) -> None:
    lists = tmp_path / "sets.yaml"
    values = {"name": "t", "out_dir": str(tmp_path), "grounding": {"data_files": ["sets.yaml"]}, "eval_split": "report"}
    (tmp_path / "recipe.yaml").write_text(json.dumps(values))
    with pytest.raises(BadInput, match=r"data_files.*no such file"):
        read_settings(Recipe, tmp_path / "recipe.yaml")
    lists.write_text("layout: coco")
    with pytest.raises(BadInput, match="no list"):
        read_settings(Recipe, tmp_path / "recipe.yaml")
    lists.write_text("- { layout: coco, path: regions/a, block: 4 }\n- { layout: coco, path: regions/b }")
    recipe = read_settings(Recipe, tmp_path / "recipe.yaml")
    assert [(data.name, data.block) for data in recipe.grounding.data] == [("a", 4), ("b", 1)]
    assert recipe.eval_split == "test"
    assert Recipe.model_validate_json(recipe.model_dump_json()) == recipe  # a run keeps the sets, not the file


@pytest.mark.parametrize("half", ["a", "b"])
def test_both_halves_are_of_the_sets_of_small_research(half: str) -> None:
    research, core = (
        read_settings(Recipe, ROOT / "recipes" / name).grounding
        for name in ("small_research.yaml", f"stages/half_{half}.yaml")
    )
    assert core.half == half
    assert core.data == research.data
    assert len({data.name for data in core.data}) == 70  # 69 sets and the phantoms


def test_small_and_the_core_without_mr_have_no_other_sets_than_small_research() -> None:
    research, small, other = (
        {data.name: data for data in read_settings(Recipe, ROOT / "recipes" / f"{name}.yaml").grounding.data}
        for name in ("small_research", "small", "stages/without_mr")
    )
    assert all(small[name] == research[name] for name in small if name != "covid_cxr")
    assert research.keys() - other.keys() == {name for name in research if name.startswith("mri_")} | {"phantom"}


def test_every_field_has_a_docstring() -> None:
    assert all(info.description for info in Recipe.model_fields.values() if info.annotation is not None or info.alias)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("vqaa: {data: phantom}\n", r"'vqaa'.*did you mean 'vqa'"),
        ("evidence: {min_scor: 0.2}\n", r"'evidence.min_scor'.*did you mean 'min_score'"),
        ("evidence: {forms: [txt]}\n", r"'evidence.forms.0'"),
        ("mllm_train: {train: {stepss: 3}}\n", r"did you mean 'steps'"),
        ("vqa: {data: covid_notes}\n", r"'vqa.data.0': no set is called 'covid_notes'"),
        ("vqa: {data: vqa_rad}\nsources: [none, oracle]\n", r"'sources'.*oracle"),
        ("report: {data: covid_notes}\nsources: [none, oracle]\n", r"'report.data.boxes_only'.*oracle"),
        ("vqa: {data: [{set: vqa_rad, limitt: 3}]}\n", r"unknown key 'vqa.data.0.limitt', did you mean 'limit'"),
        ("vqa: {data: [{set: vqa_radd}]}\n", r"key 'vqa.data.0': no set is called 'vqa_radd', did you mean 'vqa_rad'"),
        ("report: {data: [{path: x}]}\n", r"key 'report.data.0': say which one by 'set', valid: phantom, derived"),
        ("report: {data: [{set: vqa_rad}]}\n", r"key 'report.data.0': no set is called 'vqa_rad'"),
        ("vqa: {data: [{set: phantom}, {set: phantom}]}\n", r"key 'vqa.data': the set 'phantom' is there twice"),
        ("vqa: {data: phantom, negation: off}\n", r"'vqa.negation': it does nothing"),
        ("vqa: {data: phantom, mimic_cxr: {}}\n", r"'vqa.mimic_cxr': it does nothing"),
        ("report: {data: phantom, vqa_rad: {}}\n", r"'report.vqa_rad': it does nothing"),
        ("mllm_train: {stepss: 3}\n", r"unknown key 'mllm_train.stepss', did you mean 'steps'"),
        ("evidence: {forms: []}\n", r"'evidence.forms'"),
        ("sources: [none, predictd]\n", r"'sources.1'"),
    ],
)
def test_bad_recipes_name_the_key_and_the_file(tmp_path: Path, more: str, words: str) -> None:
    with pytest.raises(BadInput, match=words) as error:
        read(tmp_path, more)
    assert "recipe.yaml" in str(error.value)


def test_phantom_data_without_phantoms_is_a_contradiction(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text("name: t\nout_dir: x\ngrounding: {data: [{layout: phantom, path: p}]}\n")
    with pytest.raises(BadInput, match="phantoms"):
        read_settings(Recipe, path)


def test_no_file_and_no_yaml_are_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no such recipe"):
        read_settings(Recipe, tmp_path / "nothing.yaml")
    (tmp_path / "broken.yaml").write_text("a: [1, 2\n")
    with pytest.raises(BadInput, match="YAML"):
        read_settings(Recipe, tmp_path / "broken.yaml")
    (tmp_path / "list.yaml").write_text("- 1\n")
    with pytest.raises(BadInput, match="mapping"):
        read_settings(Recipe, tmp_path / "list.yaml")
