"""`medglip vqa plan` works from a configuration alone."""

import json
from collections.abc import Callable
from pathlib import Path

import transformers
import yaml
from typer.testing import CliRunner

from medglip.grounding.bad_input import BadInput
from medglip.scripts.cli.main import app


def test_a_config_alone_is_enough(tmp_path: Path, write_recipe: Callable[[Path], Path]) -> None:
    text = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 4, "num_attention_heads": 4}
    text |= {"num_key_value_heads": 2, "vocab_size": 1000, "head_dim": 16}
    vision = {"depth": 2, "hidden_size": 32, "intermediate_size": 64, "num_heads": 4, "out_hidden_size": 64}
    config = transformers.Qwen3VLConfig(
        text_config=text, vision_config={**vision, "deepstack_visual_indexes": [0], "num_position_embeddings": 16}
    )
    config.save_pretrained(tmp_path / "base")
    assert [file.name for file in (tmp_path / "base").iterdir()] == ["config.json"]
    path = write_recipe(tmp_path)
    recipe = yaml.safe_load(path.read_text()) | {"mllm": {"base": str(tmp_path / "base"), "dtype": "bf16"}}
    path.write_text(yaml.safe_dump(recipe))
    result = CliRunner().invoke(app, ["vqa", "plan", str(path), "--tokens", "700", "--json", str(tmp_path / "p.json")])
    assert result.exit_code == 0, result.output
    plan = json.loads((tmp_path / "p.json").read_text())
    whole = transformers.AutoModelForImageTextToText.from_config(config)
    assert plan["parameters"]["base"] == sum(p.numel() for p in whole.parameters())
    # four layers of r 16 on q, k, v, o of 64 to 64, 32, 32 and back
    assert plan["parameters"]["lora"] == 4 * 16 * (2 * (64 + 64) + 2 * (64 + 32))
    assert plan["prompt"]["tokens"] == 700
    assert set(plan["step_gib"]) == {"fp32", "bf16", "4bit"}
    assert plan["step_gib"]["bf16"]["2"]["checkpointed"] <= plan["step_gib"]["bf16"]["2"]["kept"]
    assert "L4" in plan["hours"]
    assert f"{plan['parameters']['base']:,}" in result.output
    assert "Qwen3-VL" in result.output
    alone = CliRunner().invoke(app, ["vqa", "plan", str(tmp_path / "base" / "config.json")])
    assert alone.exit_code == 0, alone.output
    assert f"{plan['parameters']['base']:,}" in alone.output
    missing = CliRunner().invoke(app, ["vqa", "plan", str(tmp_path / "nothing.yaml")])
    assert isinstance(missing.exception, BadInput)
