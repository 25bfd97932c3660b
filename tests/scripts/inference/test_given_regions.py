"""Anybody's boxes behind the switch: those of a file, scattered, shuffled; records say who found them."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from medglip.grounding.bad_input import BadInput
from medglip.grounding.datasets.phantoms import dataset as phantoms
from medglip.grounding.datasets.settings import PhantomSettings
from medglip.grounding.files import read_lines
from medglip.grounding.types import region_to_json
from medglip.scripts.cli.main import app
from medglip.scripts.inference.evaluate_coco import read_dataset


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("given") / "set"
    phantoms.write(folder, PhantomSettings(num_train=1, num_val=0, num_test=3, size_px=96))
    return folder


@pytest.fixture
def regions(pictures: Path, tmp_path: Path) -> Path:
    """The true regions, moved to the upper left by 2 pixels, and less sure: nobody else has these."""
    rows = []
    for image in read_dataset("phantom", pictures).images:
        own = [region_to_json(region) for region in image.regions]
        moved = [row | {"box_xyxy_px": [max(x - 2, 0) for x in row["box_xyxy_px"]], "mask_rle": None} for row in own]
        rows.append({"image": image.image_path.name, "regions": [row | {"score": 0.8} for row in moved]})
    path = tmp_path / "theirs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def asked(pictures: Path, out: Path, *more: str) -> list[dict[str, Any]]:
    words = ["vqa", "predict", "--dataset", "phantom", "--root", str(pictures), "--model", "rules", "--out", str(out)]
    assert call([*words, *more]) == 0
    return list(read_lines(out))


def call(words: Sequence[str]) -> int:
    return CliRunner().invoke(app, words, catch_exceptions=False).exit_code


def test_a_file_is_predicted_scattered_and_shuffled(pictures: Path, regions: Path, tmp_path: Path) -> None:
    theirs = {row["image"]: {tuple(r["box_xyxy_px"]) for r in row["regions"]} for row in read_lines(regions)}
    boxes: dict[str, list[set[tuple[float, ...]]]] = {}
    names: list[str] = []
    short = asked(pictures, tmp_path / "file.jsonl", "--evidence", "file", "--regions", str(regions))
    for source in ("predicted", "random", "shuffled"):
        rows = asked(pictures, tmp_path / f"{source}.jsonl", "--evidence", source, "--grounder", str(regions))
        assert {(row["evidence"], row["grounder"]) for row in rows} == {(source, str(regions))}
        boxes[source] = [{tuple(r["box_xyxy_px"]) for r in row["regions"]} for row in rows]
        names = [Path(row["meta"]["image_path"]).name for row in rows]
        if source == "predicted":
            assert [row | {"seconds": 0} for row in rows] == [row | {"seconds": 0} for row in short]
    shown = [own for own in boxes["predicted"] if own]
    assert shown
    assert all(own <= theirs[name] for own, name in zip(boxes["predicted"], names, strict=True))
    for control in ("random", "shuffled"):
        assert boxes[control] != boxes["predicted"]
    elsewhere = [own <= set().union(*theirs.values()) for own in boxes["shuffled"]]
    assert all(elsewhere)  # of another image of the same file


def test_without_evidence_nobody_finds_and_the_older_name_is_the_same(
    pictures: Path, regions: Path, tmp_path: Path
) -> None:
    assert {row.get("grounder") for row in asked(pictures, tmp_path / "n.jsonl", "--evidence", "none")} == {None}
    older = asked(pictures, tmp_path / "c.jsonl", f"--checkpoint={regions}")
    assert {row["grounder"] for row in older} == {str(regions)}


def test_what_does_not_fit_is_refused(pictures: Path, regions: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="--evidence file without a file"):
        asked(pictures, tmp_path / "o.jsonl", "--evidence", "file")
    with pytest.raises(BadInput, match="two options say who finds"):
        asked(pictures, tmp_path / "o.jsonl", "--grounder", "small", "--regions", str(regions))
    regions.write_text('{"image": "nobody.png", "regions": []}\n')
    with pytest.raises(BadInput, match="has no regions of 3 of 3 images"):
        asked(pictures, tmp_path / "o.jsonl", "--grounder", str(regions))


def test_true_boxes_of_a_file_score_as_true_ones(pictures: Path, regions: Path, tmp_path: Path) -> None:
    out = tmp_path / "scores.json"
    words = ["grounding", "evaluate", "--dataset", "phantom", "--root", str(pictures), "--grounder", str(regions)]
    assert call([*words, "--json", str(out), "--set", "eval.resamples=20"]) == 0
    assert 0.5 < json.loads(out.read_text())["metrics"]["miou"]["value"] < 1
