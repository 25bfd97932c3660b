"""Many images are looked at in parts: by one process, by two, as shards or after a kill the files are the same."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from medglip.scripts.cli.main import app
from medglip.scripts.inference import find_set

NUM_IMAGES = 2 * find_set.PART_IMAGES + 3
Find = Callable[..., tuple[int, str]]


@pytest.fixture
def find(tmp_path: Path) -> Find:
    """`medglip grounding predict` on three parts of tiny images, one of them broken, by the regions of a file."""
    rows = []
    (tmp_path / "images").mkdir()
    for k in range(NUM_IMAGES):
        path = tmp_path / "images" / f"{k:03d}.png"
        Image.fromarray(np.full((20, 30, 3), k, np.uint8)).save(path)
        region = {"phrase": "left lung", "box_xyxy_px": [k / 7, 2, 12, 15], "score": 0.5 + k / 100}
        rows.append({"image": path.name, "regions": [region]})
    (tmp_path / "images" / "005.png").write_bytes(b"broken")
    (tmp_path / "boxes.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    def call(out: str, *words: str) -> tuple[int, str]:
        given = ["grounding", "predict", str(tmp_path / "images"), "--checkpoint", str(tmp_path / "boxes.jsonl")]
        given += ["--phrase", "left lung", "--out", str(tmp_path / out), "--csv", str(tmp_path / f"{out}.csv"), *words]
        result = CliRunner().invoke(app, given, catch_exceptions=False)
        return result.exit_code, result.output.replace(str(tmp_path / out), "OUT")

    return call


def written(folder: Path) -> dict[str, bytes]:
    files = {path.name: path.read_bytes() for path in folder.iterdir() if path.name != ".lock"}
    return files | {"csv": folder.with_suffix(".csv").read_bytes()}


def test_shards_write_what_one_call_does_and_the_last_one_joins_them(find: Find, tmp_path: Path) -> None:
    whole = find("whole")
    assert whole[0] == 1
    assert "skipped 1: " in whole[1]
    assert len((tmp_path / "whole" / "regions.jsonl").read_text().splitlines()) == NUM_IMAGES - 1
    for k in (1, 0):  # the broken image is in the last one's first part
        assert not (tmp_path / "torn" / "regions.jsonl").exists()
        code, said = find("torn", "--shard", f"{k}/2")
        assert (code, "is done, others are not" in said) == (1 - k, k == 1)
    assert written(tmp_path / "torn") == written(tmp_path / "whole")


def test_after_a_kill_finished_parts_stay_and_others_come_again(
    find: Find, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find("whole")
    looked: list[str] = []
    look = find_set.Finder.find

    def killed(finder: find_set.Finder, image: Path, *values: object) -> object:
        looked.append(image.name)
        if len(looked) == 20:
            raise KeyboardInterrupt
        return look(finder, image, *values)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(find_set.Finder, "find", killed)
    assert find("torn")[0] == 130
    lines = (tmp_path / "torn" / "regions.jsonl").read_text().splitlines()
    assert len(lines) == 18  # what was found before the kill, without the broken one
    find("torn")
    assert looked[20:] == [f"{k:03d}.png" for k in range(find_set.PART_IMAGES, NUM_IMAGES)]
    assert written(tmp_path / "torn") == written(tmp_path / "whole")
    find("torn")  # a finished call is not continued
    assert len(looked) - 20 == 2 * NUM_IMAGES - find_set.PART_IMAGES


@pytest.mark.thorough
@pytest.mark.parametrize("engine", ["pool", "ray"])
def test_two_workers_write_what_one_does(find: Find, tmp_path: Path, engine: str) -> None:
    if engine == "ray":
        pytest.importorskip("ray", reason="Ray is not installed: pip install 'medglip[ray]'")
    assert find("two", "--workers", "2", "--engine", engine) == find("one")
    assert written(tmp_path / "two") == written(tmp_path / "one")
