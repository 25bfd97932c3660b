"""`data export chat`: every line is as its project documents it, and holds the evidence of the asked source."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from datasets import Image as ImageFeature
from datasets import List, load_dataset
from typer.testing import CliRunner

from medglip.grounding.bad_input import BadInput
from medglip.grounding.files import read_lines
from medglip.scripts.cli.main import app

PATHS = {"type": "array", "items": {"type": "string"}}


def exactly(**properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def turns(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "prefixItems": [first, second], "minItems": 2, "maxItems": 2}


TEXT = {"type": "string"}
PART = {"oneOf": [exactly(type={"const": "image"}), exactly(type={"const": "text"}, text=TEXT)]}
SAID = {role: exactly(role={"const": role}, content={"type": "array", "items": PART}) for role in ("user", "assistant")}
SCHEMAS: dict[str, Any] = {
    # https://huggingface.co/docs/trl/dataset_formats
    "trl": exactly(
        prompt={"type": "array", "items": SAID["user"], "minItems": 1, "maxItems": 1},
        completion={"type": "array", "items": SAID["assistant"], "minItems": 1, "maxItems": 1},
        images=PATHS,
    ),
    # https://swift.readthedocs.io/en/latest/Customization/Custom-dataset.html
    "ms-swift": exactly(
        messages=turns(*(exactly(role={"const": role}, content=TEXT) for role in ("user", "assistant"))), images=PATHS
    ),
    # data/README.md of LLaMA-Factory
    "llama-factory": exactly(
        conversations=turns(*({**exactly(**{"from": {"const": who}}, value=TEXT)} for who in ("human", "gpt"))),
        images=PATHS,
    ),
}


@pytest.fixture(scope="module")
def recipe(write_recipe: Callable[[Path], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("chat")
    path = write_recipe(folder)
    values = yaml.safe_load(path.read_text())
    values["evidence"]["forms"] = ["text", "tokens", "overlay"]
    path.write_text(yaml.safe_dump(values))
    return path


def exported(recipe: Path, form: str, source: str) -> list[dict[str, Any]]:
    out = recipe.parent / f"{form}-{source}.jsonl"
    words = ["data", "export", "chat", str(recipe), "--format", form, "--evidence", source, "--out", str(out)]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    rows = list(read_lines(out))
    jsonschema.validate(rows, {"type": "array", "items": SCHEMAS[form], "minItems": 1})
    assert all(Path(path).is_absolute() and Path(path).is_file() for row in rows for path in row["images"])
    return rows


def question(row: dict[str, Any]) -> str:
    turn = (row.get("messages") or row.get("conversations") or row["prompt"])[0]
    content = turn.get("content", turn.get("value"))
    return content if isinstance(content, str) else content[-1]["text"]


@pytest.mark.slow
def test_every_format_is_as_documented_and_holds_the_evidence(recipe: Path) -> None:
    rows = {form: exported(recipe, form, "oracle") for form in SCHEMAS}
    assert len({len(own) for own in rows.values()}) == 1
    for own in rows.values():
        assert any("Evidence (places on the image):" in question(row) for row in own)
        assert not any("<region>" in question(row) for row in own)
        assert all(len(row["images"]) == 2 for row in own if "Evidence (places" in question(row))
    for form in ("ms-swift", "llama-factory"):
        assert all(question(row).count("<image>") == len(row["images"]) for row in rows[form])
    for row in rows["trl"]:
        assert sum(part["type"] == "image" for part in row["prompt"][0]["content"]) == len(row["images"])
    # TRL's own way of reading paths: the column of images is cast
    table = load_dataset("json", data_files=str(recipe.parent / "trl-oracle.jsonl"), split="train")
    assert table.cast_column("images", List(ImageFeature()))[0]["images"][0].size == (96, 96)
    plain, other = exported(recipe, "ms-swift", "none"), exported(recipe, "ms-swift", "shuffled")
    assert not any("Evidence" in question(row) or len(row["images"]) > 1 for row in plain)
    # the file itself, where it holds the very pixels
    assert all(Path(row["images"][0]).parent.name != "ms-swift-none-images" for row in plain)
    assert [question(row) for row in other] != [question(row) for row in rows["ms-swift"]]


def test_an_unknown_format_is_refused(recipe: Path) -> None:
    result = CliRunner().invoke(app, ["data", "export", "chat", str(recipe), "--format", "trx", "--out", "x.jsonl"])
    assert isinstance(result.exception, BadInput)
    assert "did you mean 'trl'" in str(result.exception)


def test_the_entry_of_llama_factory_names_our_columns() -> None:
    from medglip.vqa.publish.chat_formats import CHAT_FORMATS, LLAMA_FACTORY_ENTRY

    row = CHAT_FORMATS["llama-factory"]("Is it?", "yes", ["a.png"])
    assert set(LLAMA_FACTORY_ENTRY["columns"].values()) == set(row)
    assert json.loads(json.dumps(row))["conversations"][0] == {"from": "human", "value": "<image>Is it?"}
