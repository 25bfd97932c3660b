"""Two files of one name are kept apart, or one of them is left out, so that nothing is written over."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner

from medglip.grounding.bad_input import BadInput
from medglip.grounding.files import read_lines
from medglip.scripts.cli.main import app
from medglip.scripts.inference.ask import show_regions
from medglip.scripts.inference.user_image import user_image, user_report


@pytest.fixture(params=["x.png", "X.png"])
def images(tmp_path: Path, request: pytest.FixtureRequest) -> list[Path]:
    """Two images of one name in two folders, the second perhaps in capitals: on many disks that is one name."""
    paths = [tmp_path / "a" / "x.png", tmp_path / "b" / request.param]
    for number, path in enumerate(paths):
        path.parent.mkdir()
        Image.new("L", (8, 8), number).save(path)
    return paths


def test_predict_skips_the_second_and_a_report_refuses_both(
    images: list[Path], tiny_core: Path, tmp_path: Path
) -> None:
    command = ["grounding", "predict", *map(str, images), "--phrase", "nodule", "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(app, [*command, "--grounder", str(tiny_core), "--min-score", "0"])
    assert result.exit_code == 1
    assert f"skipped 1: {images[1]}: its picture would be that of x.png. Fix: rename one" in result.output
    assert [row["image"] for row in read_lines(tmp_path / "out" / "regions.jsonl")] == ["x.png"]
    with pytest.raises(BadInput, match="two images are called 'x'"):
        user_report(images, "xray")


def test_ask_shows_each_image_and_question_in_a_file_of_its_own(images: list[Path], tmp_path: Path) -> None:
    shown = set[str]()
    for path in images:
        for question in ("Is it 1?", "Is it 1", "什么?", "为什么?"):
            evidence: Any = SimpleNamespace(first=SimpleNamespace(regions=()))
            asked: Any = SimpleNamespace(images=[user_image(path, "xray")], question=question)
            asked.answered = SimpleNamespace(evidence=evidence)
            shown.add(show_regions(asked, tmp_path / "out").name.lower())
    assert len(shown) == 8
