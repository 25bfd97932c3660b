"""A recipe asked of a served model: every source and probe, nothing trained; pages and grids show it."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from serving import serve
from typer.testing import CliRunner

from medglip.grounding.bad_input import BadInput
from medglip.grounding.files import read_lines
from medglip.scripts.cli.main import app

SOURCES = ("none", "predicted", "oracle", "shuffled")


@pytest.fixture(scope="module")
def recipe(write_recipe: Callable[[Path], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The smallest line with two images and a probe; its core is not trained."""
    folder = tmp_path_factory.mktemp("served")
    file = write_recipe(folder)
    values = yaml.safe_load(file.read_text()) | {"sources": list(SOURCES), "probes": ["blank"]}
    values["phantoms"] |= {"num_train": 1, "num_val": 0, "num_test": 2}
    values["vqa"]["max_test"] = values["report"]["max_test"] = 2
    file.write_text(yaml.safe_dump(values))
    return file


def test_every_source_and_probe_is_asked_and_nothing_trained(recipe: Path, tmp_path: Path) -> None:
    run = recipe.parent / "run"
    with serve(lambda body, number: "yes" if number else None) as served:
        where = ["--endpoint", served.url, "--model", "org/m"]
        made = CliRunner().invoke(app, ["vqa", "predict", str(recipe), *where], catch_exceptions=False)
        assert (made.exit_code, made.stdout.splitlines()[-1]) == (0, "refused 0, empty 0, cut 0")
        written = CliRunner().invoke(app, ["report", "predict", str(recipe), *where], catch_exceptions=False)
        assert written.exit_code == 0
        num = len(served.requests)
        CliRunner().invoke(app, ["vqa", "predict", str(recipe), *where], catch_exceptions=False)
        assert len(served.requests) == num  # nothing is asked twice
        with pytest.raises(BadInput, match=r"other settings.*boxes"):
            CliRunner().invoke(app, ["vqa", "predict", str(recipe), *where, "--boxes", "loc"], catch_exceptions=False)
        more = ["--forms", "tokens"]
        with pytest.raises(BadInput, match="'tokens' cannot be sent"):
            CliRunner().invoke(app, ["vqa", "predict", str(recipe), *where, *more], catch_exceptions=False)
    for task in ("vqa", "report"):
        for source in SOURCES:
            rows = list(read_lines(run / "records" / "org-m" / f"{task}-{source}.jsonl"))
            assert len(rows) == 2
            assert {(row["evidence"], row["model"], row["prediction"]) for row in rows} == {(source, "org/m", "yes")}
    probed = list(read_lines(run / "probes" / "org-m" / "vqa-predicted.blank.jsonl"))
    assert {row["meta"]["probe"] for row in probed} == {"blank"}
    assert not list(run.glob("adapter-*"))
    assert not (run / "grounding").exists()
    assert "org-m predicted" in (run / "index.html").read_text()


def test_a_grid_is_asked_without_training(recipe: Path) -> None:
    words = ["vqa", "ablate", str(recipe), "--sources", "none,predicted", "--forms", "text", "--forms", "crops"]
    with serve(lambda *_: "yes") as served:
        where = ["--endpoint", served.url, "--model", "m"]
        made = CliRunner().invoke(app, [*words, *where], catch_exceptions=False)
        assert made.exit_code == 0, made.output
        with pytest.raises(BadInput, match="learns nothing here"):
            CliRunner().invoke(app, [*words[:4], "oracle:oracle", *where], catch_exceptions=False)
    out = recipe.parent / "run" / "ablation-m"
    assert "predicted crops" in made.output
    assert set(json.loads((out / "ablation.json").read_text())["differences"]) == {"predicted text", "predicted crops"}
    assert not list(out.rglob("adapter-*"))
