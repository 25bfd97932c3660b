"""The page of runs on disk: one file that needs nothing else, small enough, with what the records say."""

import html
import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from medglip.eval.settings import EvalSettings
from medglip.grounding.bad_input import BadInput
from medglip.grounding.geometry import mask_to_rle
from medglip.grounding.records import PredictionRecord
from medglip.scripts.cli.main import app
from medglip.scripts.page.gather import write_page
from medglip.scripts.page.pictures import on_grid
from medglip.scripts.pipeline.made import made_with

SETTINGS = EvalSettings(resamples=20, strata=False, metrics=("rouge_l", "bleu_1"))
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture
def write_run(tmp_path: Path) -> Callable[..., Path]:
    """`write_run(num, picture)`: a run folder of questions of two sources, reports and regions on `num` images."""

    def write(num: int = 6, picture: Callable[[int], Image.Image] | None = None) -> Path:
        run = tmp_path / "toy"
        (run / "records").mkdir(parents=True)
        rows: dict[str, list[PredictionRecord]] = {}
        for k in range(num):
            path = run / f"image{k}.png"
            if picture:
                picture(k).save(path, compress_level=1)
            shared: dict[str, Any] = {"dataset": "toy", "split": "test", "image_id": f"image{k}", "cluster_id": f"p{k}"}
            shared["meta"] = {"size_px": [96, 64], "image_path": str(path), "modality": "ct" if k % 2 else "mr"}
            for source in ("none", "predicted"):
                said = "yes" if k % 3 or source == "predicted" else "no"
                record = PredictionRecord(
                    **shared, id=f"q{k}", task="vqa", question=f"Is <{k}> there?", answer="yes", prediction=said,
                    answer_type="closed", evidence=source,
                )  # fmt: skip
                rows.setdefault(f"vqa-{source}", []).append(record)
            text = f"A nodule is seen in image {k}."
            report = PredictionRecord(
                **shared, id=f"r{k}", task="report", question="Write.", answer=text, prediction=text
            )
            rows.setdefault("report-none", []).append(report)
            rows.setdefault("grounding", []).append(_grounding(k, shared))
        for name, records in rows.items():
            lines = "".join(json.dumps(asdict(record)) + "\n" for record in records)
            (run / "records" / f"{name}.jsonl").write_text(lines)
        (run / "train").mkdir()
        (run / "train" / "log.jsonl").write_text("".join(f'{{"step": {k}, "loss": {9 - k}}}\n' for k in range(9)))
        return run

    return write


def _grounding(k: int, shared: dict[str, Any]) -> PredictionRecord:
    mask_HW = np.zeros((64, 96), bool)
    mask_HW[10:40, 20:60] = True
    region = {"phrase": "nodule", "box_xyxy_px": [20, 10, 60, 40], "score": 0.9, "mask_rle": mask_to_rle(mask_HW)}
    return PredictionRecord(
        **shared, id=f"g{k}", task="grounding", question="nodule", answer=[region], prediction=[region]
    )


def embedded(page: Path) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page.read_text(), re.DOTALL)
    assert found
    return json.loads(found[1])


def grey(number: int) -> Image.Image:
    return Image.new("RGB", (96, 64), (number * 20 % 255,) * 3)


def test_the_page_loads_nothing_and_says_what_it_must(write_run: Callable[..., Path], tmp_path: Path) -> None:
    text = write_page([write_run(picture=grey)], tmp_path / "index.html", settings=SETTINGS).read_text()
    assert not re.search(r"https?://", text)
    assert not re.search(r"@import|url\(|<iframe|\bsrc=", text)
    assert all(link.startswith(("#", "data:image/")) for link in re.findall(r'\bhref="([^"]*)"', text))
    assert "not for diagnosis" in text.lower()
    assert str(tmp_path) not in text
    for section in ("scores", "differences", "calibration", "losses", "cases", "protocols", "counts", "provenance"):
        assert f'<section id="{section}">' in text


def test_an_image_is_embedded_once_and_shared_by_its_cases(write_run: Callable[..., Path], tmp_path: Path) -> None:
    found = embedded(write_page([write_run(picture=grey)], tmp_path / "index.html", settings=SETTINGS))
    assert len(found["images"]) == 6
    assert len(found["cases"]) == 18
    assert all(image["uri"].startswith("data:image/jpeg") for image in found["images"])
    assert {shape["k"] for shape in found["images"][0]["shapes"]} == {"truth", "grounding"}
    assert all(shape["m"].startswith("M") for shape in found["images"][0]["shapes"])


def test_the_cases_of_the_page_say_what_the_records_say(write_run: Callable[..., Path], tmp_path: Path) -> None:
    run = write_run()
    found = embedded(write_page([run], tmp_path / "index.html", settings=SETTINGS))
    for source in ("none", "predicted"):
        rows = map(json.loads, (run / "records" / f"vqa-{source}.jsonl").read_text().splitlines())
        said = {row["id"]: row["prediction"] for row in rows}
        shown = {case["id"]: case["a"][source]["p"] for case in found["cases"] if case["t"] == "vqa"}
        assert shown == said


def test_two_record_files_without_any_image_give_a_page(write_run: Callable[..., Path], tmp_path: Path) -> None:
    run = write_run()
    files = [run / "records" / f"vqa-{source}.jsonl" for source in ("none", "predicted")]
    page = write_page(files, tmp_path / "index.html", settings=SETTINGS)
    found = embedded(page)
    assert found["systems"] == {"vqa": ["none", "predicted"]}
    assert {tuple(image["size"]) for image in found["images"]} == {(96, 64)}
    assert "6 of 6 images were not found" in page.read_text()


def test_images_are_found_by_their_id_in_a_folder(write_run: Callable[..., Path], tmp_path: Path) -> None:
    run, folder = write_run(), tmp_path / "pictures"
    folder.mkdir()
    grey(3).save(folder / "image3.png")
    found = embedded(write_page([run], tmp_path / "index.html", images=folder, settings=SETTINGS))
    assert sum(bool(image["uri"]) for image in found["images"]) == 1


def test_a_record_cannot_bring_a_picture_from_elsewhere(write_run: Callable[..., Path], tmp_path: Path) -> None:
    run, private, folder = write_run(1), tmp_path / "private", tmp_path / "pictures"
    for path in (private, folder):
        path.mkdir()
    grey(3).save(private / "face.png")
    for file in (run / "records").glob("*.jsonl"):
        rows = [json.loads(line) for line in file.read_text().splitlines()]
        for row in rows:
            row["image_id"], row["meta"]["image_path"] = "../private/face", str(private / "face.png")
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    for images, is_shown in ((None, False), (folder, False), (private, True)):
        page = write_page([run], tmp_path / "index.html", images=images, settings=SETTINGS)
        assert bool(embedded(page)["images"][0]["uri"]) is is_shown
        assert ("face.png ...) lie in no folder that was given" in page.read_text()) is not is_shown


def test_every_counts_row_adds_up(write_run: Callable[..., Path], tmp_path: Path) -> None:
    text = write_page([write_run()], tmp_path / "index.html", settings=SETTINGS).read_text()
    table = text[text.index('<table class="counts">') :]
    rows = re.findall(r"<tr><th scope=\"row\">.*?</tr>", table[: table.index("</table>")])
    assert len(rows) == 4
    for row in rows:
        n, *parts = [int(cell) for cell in re.findall(r'<td class="num">(\d+)</td>', row)]
        assert n == sum(parts) == 6
    assert "add up to" not in table[: table.index("</table>")]


def test_a_page_of_many_noisy_pictures_stays_below_20_mb(write_run: Callable[..., Path], tmp_path: Path) -> None:
    noise = np.random.default_rng(0)
    run = write_run(170, lambda _: Image.fromarray(noise.integers(0, 255, (384, 384, 3), np.uint8)))
    page = write_page([run], tmp_path / "index.html", num_cases=500, settings=SETTINGS)
    assert len(embedded(page)["cases"]) == 500
    assert page.stat().st_size < 20e6


def test_its_commands_can_be_pasted_in_its_folder_and_sources_stand_in_one_order(
    write_run: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = write_page([write_run()], tmp_path / "it's.html", settings=SETTINGS)
    commands = re.findall(r"<pre[^>]*>(.*?)</pre>", page.read_text(), re.DOTALL)[0]
    rows = [shlex.split(html.unescape(line)) for line in commands.splitlines()]
    assert [Path(row[3]).stem for row in rows[:2]] == ["vqa-none", "vqa-predicted"]
    assert rows[-1] == ["medglip", "eval", "page", "toy", "--out", "it's.html"]
    monkeypatch.chdir(tmp_path)
    for row in rows[:2]:
        done = CliRunner().invoke(app, row[1:])
        assert done.exit_code == 0, done.output
        assert "20 resamples" in done.output


def test_the_page_says_when_where_and_with_which_commit_a_run_was_made(
    write_run: Callable[..., Path], tmp_path: Path
) -> None:
    run, made = write_run(), made_with()
    assert set(made) == {"date", "commit", "machine"}
    assert "cores" in made["machine"]
    (run / "made.json").write_text(json.dumps(made | {"commit": "0123abcd"}))
    text = write_page([run], tmp_path / "index.html", settings=SETTINGS).read_text()
    assert f"date {made['date']}; commit 0123abcd; machine {html.escape(made['machine'])}" in text


def test_a_folder_without_records_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no records"):
        write_page([tmp_path], tmp_path / "index.html")


def test_an_outline_on_the_grid_closes_where_it_began() -> None:
    assert on_grid("M1.0,2.0 3.0,2.0 3.0,6.0Z", 2.0) == "M2,4l4,0 0,8z"


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")
def test_a_browser_draws_cases_without_an_error(write_run: Callable[..., Path], tmp_path: Path) -> None:
    page = write_page([write_run(picture=grey)], tmp_path / "index.html", settings=SETTINGS)
    quiet = "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    quiet += " --disable-component-update --disable-sync --enable-logging=stderr --v=0 --virtual-time-budget=3000"
    command = [str(CHROMIUM), "--headless", *quiet.split(), f"--user-data-dir={tmp_path / 'profile'}"]
    done = subprocess.run([*command, "--dump-dom", page.as_uri()], capture_output=True, text=True, timeout=120)
    assert done.stdout.count('<section class="case"') >= 12
    assert "Is &lt;" in done.stdout
    assert "18 of 18 cases" in done.stdout
    assert "CONSOLE" not in done.stderr


def test_corrupted_pictures_have_a_curve_of_each_system_that_saw_them(
    write_run: Callable[..., Path], tmp_path: Path
) -> None:
    run = write_run()
    (run / "probes").mkdir()
    rows = [json.loads(line) for line in (run / "records" / "vqa-none.jsonl").read_text().splitlines()]
    again: list[dict[str, Any]] = []
    for severity in range(1, 6):  # one answer more is wrong at each
        for k, row in enumerate(rows):
            meta = {**row["meta"], "probe": "corrupt", "severity": severity, "original": row["id"]}
            said = "no" if k < severity else "yes"
            again.append({**row, "id": f"{row['id']}/corrupt-{severity}", "meta": meta, "prediction": said})
    (run / "probes" / "vqa-none.corrupt.jsonl").write_text("".join(json.dumps(row) + "\n" for row in again))
    text = write_page([run], tmp_path / "index.html", settings=SETTINGS).read_text()
    (section,) = re.findall(r'<section id="robustness">.*?</section>', text, re.DOTALL)
    assert section.count("<figure") == 1
    assert "vqa-none: overall_accuracy" in section
    heights = [float(y) for y in re.findall(r'<circle class="dot" cx="[^"]*" cy="([^"]*)"', section)]
    assert len(heights) == 6
    assert heights[1:] == sorted(heights[1:])  # down on the page is less
    assert len(set(heights[1:])) == 5
