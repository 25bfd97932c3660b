"""Whoever adds a part writes one file and one row of its table: a toy of each, added to a copy of the house.

The copy is then used as anybody would use it: a recipe is run, a data set predicted, records scored, the page read.
A modality is a row alone. A task is not among them: its section in the recipe is a line more.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from subprocess import PIPE
from typing import Any

import pytest
import yaml

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parent.parent
ROOMS = ("grounding", "vqa", "report", "eval", "scripts")


@dataclass(frozen=True)
class Toy:
    """`file` and its `text` ("" for none); `row` is written as the first of the table that begins with `anchor`."""

    file: str
    text: str
    table: str
    anchor: str
    row: str


TOYS = {
    "question set": Toy(
        file="vqa/datasets/toy_questions.py",
        text='''
from pathlib import Path
from ...grounding.settings import Settings
from ...grounding.types import AnnotatedImage
from ..task import Question

class ToySettings(Settings):
    """Toy."""
    path: Path = Path("toy")
    """Folder of images."""

def read(settings, context, skipped):
    """One question an image, half of them to learn from."""
    return [
        Question(
            question_id=file.stem, question="What is it?", answer="toy", answer_type="open",
            image=AnnotatedImage(image_id=file.stem, image_path=file, modality="thermography", group=file.stem,
                                 dataset="toy", split=("train", "test")[k % 2], size_px=(64, 64)),
        )
        for k, file in enumerate(sorted(settings.path.glob("*.png")))
    ]
''',
        table="vqa/datasets/sets.py",
        anchor="QUESTION_SETS: ",
        row='"toys": QuestionSet(module="toy_questions", settings_class="ToySettings", title="Toys", licence="CC0"),',
    ),
    "report set": Toy(
        file="report/datasets/toy_reports.py",
        text='''
from pathlib import Path
from ...grounding.settings import Settings
from ...grounding.types import AnnotatedImage
from ..task import Report

class ToySettings(Settings):
    """Toy."""
    path: Path = Path("toy")
    """Folder of images."""

def read(settings, context, skipped):
    """One report an image, half of them to learn from."""
    return [
        Report(
            report_id=file.stem, text="A toy is seen.",
            image=AnnotatedImage(image_id=file.stem, image_path=file, modality="thermography", group=file.stem,
                                 dataset="toy", split=("train", "test")[k % 2], size_px=(64, 64)),
        )
        for k, file in enumerate(sorted(settings.path.glob("*.png")))
    ]
''',
        table="report/datasets/sets.py",
        anchor="REPORT_SETS: ",
        row='"toys": ReportSet(module="toy_reports", settings_class="ToySettings", title="Toys", licence="CC0"),',
    ),
    "region layout": Toy(
        file="grounding/datasets/layouts/toy.py",
        text='''
import numpy as np
from ...types import AnnotatedImage, Region

def read(folder, skipped, *, modality="unknown"):
    """Every image shows a heart."""
    for file in sorted(folder.glob("*.png")):
        heart = Region(phrase="heart", box_xyxy_px=np.array([8, 8, 40, 40], np.float32))
        yield AnnotatedImage(image_id=file.stem, image_path=file, modality=modality, group=file.stem, dataset="toy",
                             split="", size_px=(64, 64), regions=(heart,), phrases=("heart",))
''',
        table="grounding/datasets/settings.py",
        anchor="LAYOUTS: ",
        row='"toys": Layout(module=".layouts.toy", files="*.png"),',
    ),
    "modality": Toy(
        file="",
        text="",
        table="grounding/modalities.py",
        anchor="MODALITIES: ",
        row='"thermography": Modality(image_words="thermogram", other_names=("heat map",)),',
    ),
    "evidence source": Toy(
        file="grounding/evidence/sources/toy.py",
        text='''
from . import gather_regions

def gather_images(queries, caches, settings, seed):
    """What is found, as it is."""
    return [[gather_regions(image, caches.predicted, settings) for image in query.images] for query in queries]
''',
        table="grounding/evidence/names.py",
        anchor="SOURCES: ",
        row='"toy_source": SourceRow(title="a toy", module="toy", is_control=True),',
    ),
    "evidence form": Toy(
        file="grounding/evidence/forms/toy.py",
        text='''
from . import EvidenceForm

class ToyForm(EvidenceForm):
    """Says of each region that it is a toy."""
    def describe(self, region, size_px, settings, box_text):
        return f"toy {region.phrase}"

FORM = ToyForm()
''',
        table="grounding/evidence/names.py",
        anchor="FORMS: ",
        row='"toy_form": FormRow(title="a toy", module="toy", order=9, has_numbers=True),',
    ),
    "metric of words": Toy(
        file="eval/metrics/text/toy.py",
        text='''
from ...statistics.measure import mean

def measures(predictions, references, names):
    """Length of a report beside its reference."""
    return {"toy_length": mean([len(p) / len(r[0]) for p, r in zip(predictions, references, strict=True)])}
''',
        table="eval/catalog.py",
        anchor="TEXT_METRICS: ",
        row='"toy": TextEntry(module=".metrics.text.toy", title="toy", metrics=(Metric("toy_length", -1, -1),)),',
    ),
    "metric of what records hold": Toy(
        file="eval/metrics/clinical/toy.py",
        text='''
from pydantic import BaseModel
from ...statistics.measure import mean

class Form(BaseModel):
    """One number."""
    value: float

def measures(values, rows, ids, settings):
    """Its mean."""
    return {"toy_mood": mean([one.value for one in values], rows)}, []
''',
        table="eval/catalog.py",
        anchor="FIELD_METRICS: ",
        row='"mood": FieldEntry(module=".metrics.clinical.toy", title="mood", metrics=(Metric("toy_mood"),)),',
    ),
    "family of models": Toy(
        file="",
        text="",
        table="vqa/families/__init__.py",
        anchor="FAMILIES = (",
        row='Family(name="Toy", model_types=("git",)),',
    ),
}


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the house with every toy, and a folder `toy` of images beside it."""
    import numpy as np
    from PIL import Image

    top = tmp_path_factory.mktemp("house")
    for room in ROOMS:
        for file in sorted((ROOT / room).rglob("*")):
            if file.is_file() and "weights" not in file.parts and "__pycache__" not in file.parts:
                copy = top / "medglip" / file.relative_to(ROOT)
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.write_bytes(file.read_bytes())
    for toy in TOYS.values():
        if toy.file:
            (top / "medglip" / toy.file).write_text(f'"""Toy."""\n{toy.text}')
        table = top / "medglip" / toy.table
        anchor = next(line for line in table.read_text().splitlines() if line.startswith(toy.anchor))
        head, line, tail = table.read_text().partition(anchor)
        assert "\n" not in toy.row
        table.write_text(f"{head}{line}\n    {toy.row}{tail}")
    (top / "toy").mkdir()
    for k in range(8):
        pixels = np.random.default_rng(k).integers(0, 255, (64, 64, 3), np.uint8)
        Image.fromarray(pixels).save(top / "toy" / f"toy-{k}.png")
    return top


SERVER = """
import json, sys
from typer.testing import CliRunner
from medglip.scripts.cli.main import app
from medglip.vqa.families import family_of

def call(*words):
    result = CliRunner().invoke(app, words, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output

for line in sys.stdin:
    print("\\nanswer:", json.dumps(eval(line)), flush=True)
"""


@pytest.fixture(scope="module")
def ask(house: Path) -> Iterator[Callable[[str], Any]]:
    """Evaluates an expression in a process of the copy, which starts once: most of a command's time is imports."""
    env = os.environ | {"PYTHONPATH": str(house), "MEDGLIP_DATA": str(house), "COLUMNS": "200"}
    errors = house / "errors.txt"
    with (
        errors.open("w") as log,
        subprocess.Popen(
            [sys.executable, "-c", SERVER], cwd=house, env=env, text=True, stdin=PIPE, stdout=PIPE, stderr=log
        ) as server,
    ):
        requests, answers = server.stdin, server.stdout
        assert requests
        assert answers

        def evaluate(expression: str) -> Any:
            print(expression, file=requests, flush=True)
            answer = next((line for line in answers if line.startswith("answer:")), None)
            assert answer, errors.read_text()
            return json.loads(answer.removeprefix("answer:"))

        yield evaluate
        requests.close()


@pytest.fixture(scope="module")
def call(ask: Callable[[str], Any]) -> Callable[..., str]:
    """Runs a command of the copy and returns what it printed."""
    return lambda *words: ask(f"call(*{words!r})")


@pytest.fixture(scope="module")
def run_folder(house: Path, call: Callable[..., str], tiny_base: Path) -> Path:
    """A finished run whose recipe names every toy that a recipe can name."""
    train = {"steps": 2, "batch_size": 2, "warmup_steps": 1}
    sizes = {"image_size": 64, "width": 16, "stage_widths": [8, 8, 8, 8], "hidden_size": 8, "depths": [1, 1, 1, 2]}
    recipe = {
        "name": "toys",
        "out_dir": "run",
        "grounding": {
            "data": [{"layout": "toys", "path": "toy", "modality": "heat map"}],
            "model": sizes,
            "train": train,
        },
        "evidence": {"forms": ["toy_form"], "min_score": 0.0},
        "sources": ["none", "predicted", "toy_source"],
        "mllm": {"base": str(tiny_base), "dtype": "fp32", "lora": {"r": 2}},
        "mllm_train": train,
        "vqa": {"data": [{"set": "toys", "path": "toy"}], "generate": {"max_new_tokens": 2}},
        "report": {"data": [{"set": "toys", "path": "toy"}], "generate": {"max_new_tokens": 4}},
        "eval": {"resamples": 20, "metrics": ["toy"]},
    }
    (house / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    call("run", "recipe.yaml")
    return house / "run"


def read_records(file: Path) -> list[dict]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_a_recipe_takes_every_toy(run_folder: Path) -> None:
    records = read_records(run_folder / "records" / "vqa-toy_source.jsonl")
    assert len(records) == 4
    assert {(row["dataset"], row["evidence"], row["meta"]["modality"]) for row in records} == {
        ("toy", "toy_source", "thermography")
    }
    assert all(row["forms"] == ["toy_form"] for row in records)
    config = json.loads((run_folder / "grounding" / "model" / "config.json").read_text())
    assert "thermography" in config["modalities"]


def test_the_page_shows_them(run_folder: Path) -> None:
    page = (run_folder / "index.html").read_text()
    for words in ("toy_source", "toy length", "thermography"):
        assert words in page, words


def test_the_command_line_takes_and_names_them(run_folder: Path, call: Callable[..., str]) -> None:
    words = ("--root", "toy", "--adapter", "run", "--evidence", "toy_source", "--limit", "2")
    call("vqa", "predict", "--dataset", "toys", *words, "--out", "toys.jsonl")
    assert len(read_records(run_folder.parent / "toys.jsonl")) == 2
    help_text = call("vqa", "predict", "--help")
    assert "toys" in help_text
    assert "toy_source" in help_text
    assert "thermography" in call("grounding", "predict", "--help")
    rows = read_records(run_folder / "records" / "report-none.jsonl")
    for row in rows:
        row["meta"]["mood"] = {"value": 0.25}
    (run_folder.parent / "reports.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    scores = call("eval", "report", "reports.jsonl", "--metrics", "toy_length,toy_mood", "--set", "eval.resamples=20")
    assert "toy_length" in scores
    assert "toy_mood" in scores


def test_a_family_is_known_by_its_row(ask: Callable[[str], Any]) -> None:
    assert ask("family_of(type('Config', (), {'model_type': 'git'})).name") == "Toy"
