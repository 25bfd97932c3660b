"""Scoring loads no model library: neither torch nor transformers, nor what would load them."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

HEAVY = ("torch", "transformers", "evaluate", "datasets", "jsonschema", "matplotlib", "statsmodels")
RUN = f"""
import sys
from medglip.scripts.cli.main import app
try:
    app(sys.argv[1:])
except SystemExit as end:
    assert not end.code, end
print("LOADED", [name for name in {HEAVY} if name in sys.modules])
"""


@pytest.fixture
def files(record: Callable[..., Any], region: Callable[..., Any], tmp_path: Path) -> Path:
    """Small record files of every task, and COCO's own, in one folder."""
    box, texts = region(0, 0, 8, 8), ["the lungs are clear", "no effusion is seen", "the heart is large"]
    rows = {
        "vqa": [record(n, "vqa", "yes", "no" if n else "yes", answer_type="closed") for n in range(3)],
        "report": [record(n, "report", text, texts[0]) for n, text in enumerate(texts)],
        "grounding": [record(n, "grounding", [box], [box]) for n in range(3)],
    }
    rows["base"] = [row | {"prediction": "yes"} for row in rows["vqa"]]
    rows["blank"] = [row | {"meta": {"probe": "blank"}} for row in rows["vqa"]]
    for name, records in rows.items():
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in records))
    images = [{"id": 1, "width": 9, "height": 9, "file_name": "image0"}]
    truth = {"images": images, "categories": [{"id": 1, "name": "x"}], "annotations": [_annotation(id=1)]}
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    (tmp_path / "found.json").write_text(json.dumps([_annotation(score=0.5)]))
    for number in range(3):
        Image.fromarray(np.full((9, 9), 80 * number, np.uint8)).save(tmp_path / f"image{number}", format="png")
    return tmp_path


def _annotation(**others: Any) -> dict[str, Any]:
    return {"image_id": 1, "category_id": 1, "bbox": [0, 0, 4, 4], "area": 16, "iscrowd": 0, **others}


@pytest.mark.parametrize(
    "words",
    [
        "vqa vqa.jsonl --resamples 10 --json out.json",
        "report report.jsonl --resamples 10 --metrics bleu,rouge_l,cider",
        "grounding grounding.jsonl --resamples 10",
        "grounding --references truth.json --predictions found.json --resamples 10",
        "compare vqa.jsonl base.jsonl --resamples 10",
        "probes vqa.jsonl blank.jsonl --resamples 10",
        "floors vqa.jsonl --train base.jsonl --resamples 10",
        "leaks vqa.jsonl --train base.jsonl --images .",
        "page vqa.jsonl base.jsonl grounding.jsonl --resamples 10",
    ],
)
def test_no_command_loads_a_model_library(words: str, files: Path) -> None:
    environment = os.environ | {"TQDM_DISABLE": "1"}
    ended = subprocess.run(
        [sys.executable, "-c", RUN, "eval", *words.split()],
        cwd=files,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.stdout.rstrip().endswith("LOADED []"), ended.stdout[-500:] + ended.stderr[-2000:]


def test_nothing_of_ours_imports_the_metrics_of_evaluate() -> None:
    root = Path(__file__).parents[2]
    rooms = ("grounding", "vqa", "report", "eval", "scripts")
    importing = re.compile(r"^\s*(from \.[\w.]* import .*hf_metrics|from \.[\w.]*hf_metrics import)", re.MULTILINE)
    assert not [path for room in rooms for path in (root / room).rglob("*.py") if importing.search(path.read_text())]
