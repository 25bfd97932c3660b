"""The GPU script runs whole in its tiny form, and says what others look for."""

import json
from pathlib import Path

import pytest

from medglip.scripts.bench import gpu


@pytest.mark.slow
@pytest.mark.thorough
@pytest.mark.filterwarnings("ignore:this processor's video part needs torchvision")
def test_the_tiny_form_prints_its_lines_and_writes_its_paragraph(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    gpu.main(tmp_path / "gpu.md", tmp_path / "gpu.json", tiny=True)
    out = capsys.readouterr().out
    assert "step time: " in out
    assert "tokens/s: " in out
    assert "resume equals undisturbed: yes" in out
    figures = json.loads((tmp_path / "gpu.json").read_text())
    assert figures["tokens/s"] > 0
    assert figures["two processes"].startswith("left out")
    text = (tmp_path / "gpu.md").read_text()
    assert text.startswith("## A GPU: ")
    assert all(f"| {key} |" in text for key in figures if key != "device")
    # the same weights: in bf16 the loss is that of fp32 but for rounding
    words = figures["bf16 against fp32"].split()
    assert abs(float(words[1]) - float(words[3].rstrip(","))) < 0.05
