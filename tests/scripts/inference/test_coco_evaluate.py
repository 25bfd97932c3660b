"""COCO-style sets scored by the command: every category asked everywhere, honest about what cannot be known or read."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from faster_coco_eval.core import mask as coco_mask
from PIL import Image
from typer.testing import CliRunner

from medglip.eval.settings import EvalSettings
from medglip.grounding import AnnotatedImage, BadInput, Region
from medglip.grounding.files import read_lines
from medglip.grounding.geometry import mask_to_rle
from medglip.grounding.grounder import Grounder
from medglip.grounding.grounders.medglip import GrounderSettings, MedGlipGrounder
from medglip.grounding.model.processing import MedGlipProcessor, train_tokenizer
from medglip.grounding.training.core import build
from medglip.grounding.training.settings import GroundingSettings, ModelSettings
from medglip.scripts.bench.untrained_dino import DinoSizes, build_dino
from medglip.scripts.cli.main import app
from medglip.scripts.inference.evaluate_coco import evaluate, read_coco, scores_text

NAMES = ("Left lung", "bright square", "RBC")


class Truth(Grounder):
    """Finds what is there, and `wrong` phrases where nothing is; keeps what it was asked."""

    fingerprint = "f" * 64
    embedding_dim = 0

    def __init__(self, wrong: Sequence[str] = ()):
        self.wrong, self.asked = wrong, list[list[str]]()

    def ground(self, images: Sequence[AnnotatedImage], phrases: Sequence[Sequence[str]]) -> list[list[Region]]:
        self.asked += [list(row) for row in phrases]
        for image in images:
            Image.open(image.image_path).load()
            if image.image_path.name == "broken.png":
                raise BadInput("broken", file=image.image_path)
        return [self._one(image, row) for image, row in zip(images, phrases, strict=True)]

    def _one(self, image: AnnotatedImage, asked: Sequence[str]) -> list[Region]:
        words = {"Left lung": "left lung", "bright square": "bright square", "RBC": "red blood cell"}
        box = np.array([0, 0, 9, 9], np.float32)
        found = [
            Region(phrase=words[r.phrase], box_xyxy_px=r.box_xyxy_px, mask=r.mask, score=0.9)
            for r in image.regions
            if words[r.phrase] in asked
        ]
        return found + [Region(phrase=p, box_xyxy_px=box, score=0.6) for p in self.wrong if p in asked]


@pytest.fixture
def coco(tmp_path: Path) -> tuple[Path, Path]:
    """Six images, two modalities, one category a third of the time; a sub-folder below the images."""
    folder = tmp_path / "images"
    (folder / "deep").mkdir(parents=True)
    rng = np.random.default_rng(0)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for k in range(6):
        name = f"deep/{k}.png" if k % 2 else f"{k}.png"
        Image.fromarray(rng.integers(0, 255, (50, 40, 3), np.uint8)).save(folder / name)
        image = {"id": k, "file_name": name, "width": 40, "height": 50}
        images.append(image | ({"modality": "ct"} if k < 3 else {}))
        polygon = [[5, 6, 25, 6, 25, 36, 5, 36]]
        row = {"id": k, "image_id": k, "category_id": k % 3, "bbox": [5, 6, 20, 30], "segmentation": polygon}
        annotations.append(row | {"area": 600, "iscrowd": 0})
    categories = [{"id": k, "name": name} for k, name in enumerate(NAMES)]
    file = tmp_path / "set.json"
    file.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    return file, folder


def changed(file: Path, change: Any) -> Path:
    data = json.loads(file.read_text())
    change(data)
    file.write_text(json.dumps(data))
    return file


QUICK = EvalSettings(resamples=20)


def test_the_truth_scores_one_in_its_own_words(coco: tuple[Path, Path], tmp_path: Path) -> None:
    grounder = Truth()
    scores = evaluate(grounder, read_coco(*coco), QUICK, tmp_path / "records.jsonl")
    for name in ("ap50", "miou", "acc_iou50", "dice", "presence_auroc"):
        assert scores.metrics[name].value == pytest.approx(1.0), name
    assert scores.metrics["ap50"].n == 18
    assert scores.counts["pairs_without_truth"] == 12
    assert set(scores.strata["category"]) == set(NAMES)
    assert set(scores.strata["modality"]) == {"ct", "unknown"}
    assert all(sorted(row) == ["bright square", "left lung", "red blood cell"] for row in grounder.asked)
    assert len(list(read_lines(tmp_path / "records.jsonl"))) == 18


class Sure(Truth):
    """Finds nothing at all, and says what is there in one pass."""

    def ground_with_presence(
        self, images: Sequence[AnnotatedImage], phrases: Sequence[Sequence[str]]
    ) -> list[tuple[list[Region], dict[str, float]]]:
        truth = [{region.phrase for region in row} for row in self.ground(images, phrases)]
        return [([], {p: 0.9 if p in there else 0.2 for p in row}) for there, row in zip(truth, phrases, strict=True)]


def test_the_chance_that_a_phrase_is_there_is_kept_and_ranks_presence(coco: tuple[Path, Path], tmp_path: Path) -> None:
    grounder = Sure()
    scores = evaluate(grounder, read_coco(*coco), QUICK, tmp_path / "records.jsonl")
    assert scores.metrics["presence_auroc"].value == pytest.approx(1.0)
    assert scores.metrics["miou"].value == 0
    rows = list(read_lines(tmp_path / "records.jsonl"))
    assert {row["meta"]["presence"] for row in rows} == {0.9, 0.2}
    assert [row["meta"]["presence"] > 0.5 for row in rows] == [bool(row["answer"]) for row in rows]
    assert len(grounder.asked) == 6  # one look an image
    silent = evaluate(Truth(), read_coco(*coco), QUICK, tmp_path / "silent.jsonl")
    assert not any("presence" in row["meta"] for row in read_lines(tmp_path / "silent.jsonl"))
    assert silent.metrics["presence_auroc"].value == pytest.approx(1.0)  # the best region says it


def test_absent_categories_are_negatives(coco: tuple[Path, Path]) -> None:
    scores = evaluate(Truth(wrong=["left lung"]), read_coco(*coco), QUICK)
    assert scores.metrics["miou"].value == pytest.approx(1.0)
    assert scores.metrics["presence_auroc"].value == pytest.approx(1.0)  # wrong ones have the lower score
    assert scores.metrics["n_acc"].value == pytest.approx(8 / 12)
    assert scores.strata["category"]["Left lung"]["n_acc"].value == 0


def test_a_lost_annotation_is_neither_absent_nor_known(coco: tuple[Path, Path]) -> None:
    def crowd(data: dict[str, Any]) -> None:
        data["annotations"][0]["iscrowd"] = 1
        data["annotations"][1]["bbox"] = [90, 90, 5, 5]

    found = read_coco(changed(coco[0], crowd), coco[1])
    assert [len(image.phrases) for image in found.images] == [2, 2, 3, 3, 3, 3]
    assert len(found.skipped.entries) == 2


def test_what_cannot_be_read_is_listed_and_the_rest_is_scored(coco: tuple[Path, Path]) -> None:
    whole = coco[1] / "0.png"
    whole.rename(coco[1] / "broken.png")

    def rename(data: dict[str, Any]) -> None:
        data["images"][0]["file_name"] = "broken.png"
        data["images"][1]["file_name"] = "nowhere.png"

    found = read_coco(changed(coco[0], rename), coco[1])
    scores = evaluate(Truth(), found, QUICK, batch_size=4)
    assert scores.counts["records"] == 12
    assert [Path(entry["item"]).name for entry in found.skipped.entries][1:] == ["broken.png"]
    assert "nowhere.png" in found.skipped.entries[0]["why"]
    assert any("skipped 2" in note for note in scores.notes)


def test_records_go_on_where_they_were_and_know_their_grounder(coco: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "records.jsonl"
    first, second, other = Truth(), Truth(), Truth()
    half = read_coco(*coco, limit=3)
    evaluate(first, half, QUICK, out)
    whole = evaluate(second, read_coco(*coco), QUICK, out)
    assert (len(first.asked), len(second.asked)) == (3, 3)
    assert whole.counts["records"] == 18
    assert evaluate(Truth(), read_coco(*coco), QUICK).metrics == whole.metrics
    other.fingerprint = "e" * 64
    with pytest.raises(BadInput, match="another grounder"):
        evaluate(other, half, QUICK, out)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda data: data.pop("categories"), "categories"),
        (lambda data: data["categories"].append({"id": 9, "name": "RBC"}), "same name"),
        (lambda data: data.update(images=[{"id": 1, "file_name": "none.png"}]), "no image can be used"),
    ],
)
def test_files_that_cannot_be_scored_are_refused(coco: tuple[Path, Path], change: Any, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        read_coco(changed(coco[0], change), coco[1])


def test_what_a_set_cannot_give_is_said_and_one_of_a_kind_is_a_stratum(coco: tuple[Path, Path]) -> None:
    def plain(data: dict[str, Any]) -> None:
        data["categories"] = data["categories"][:1]
        for row in data["annotations"]:
            row |= {"category_id": 0, "segmentation": []}
        for image in data["images"]:
            image["modality"] = "thermography"

    scores = evaluate(Truth(), read_coco(changed(coco[0], plain), coco[1]), QUICK)
    assert "dice" not in scores.metrics
    assert [name for note in scores.notes for name in ("dice", "presence_auroc", "'thermography'") if name in note] == [
        "'thermography'",
        "dice",
        "presence_auroc",
    ]
    for axis, label in (("category", "Left lung"), ("modality", "unknown")):
        assert scores.strata[axis] == {label: scores.metrics}
    assert all(name in scores_text(scores) for name in ("category", "Left lung", "modality", "no dice"))


def test_masks_count_in_every_form_that_coco_has(coco: tuple[Path, Path]) -> None:
    mask = np.zeros((50, 40), bool)
    mask[6:36, 5:25] = True
    packed = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    forms = [{"size": [50, 40], "counts": packed["counts"].decode()}, mask_to_rle(mask), None]

    def replaced(data: dict[str, Any]) -> None:
        for row, form in zip(data["annotations"], forms, strict=False):
            row["segmentation"] = form

    found = read_coco(changed(coco[0], replaced), coco[1])
    assert not found.skipped.entries
    assert [image.regions[0].mask is None for image in found.images] == [False, False, True, False, False, False]
    assert all((image.regions[0].mask == mask).all() for image in found.images if image.regions[0].mask is not None)
    assert evaluate(Truth(), found, QUICK).metrics["dice"].n == 5


def save_core(folder: Path) -> Path:
    sizes = ModelSettings(image_size=64, width=16, stage_widths=(8, 8, 8, 8), hidden_size=8, depths=(1, 1, 1, 2))
    processor = MedGlipProcessor(train_tokenizer(NAMES), 64)
    model = build(GroundingSettings(model=sizes), len(processor.tokenizer))
    grounder = MedGlipGrounder(model, processor, GrounderSettings(min_score=0.0))
    grounder.model.save_pretrained(folder)
    grounder.processor.save_pretrained(folder)
    return folder


def save_dino(folder: Path) -> Path:
    sizes = DinoSizes(image_size=64, stage_widths=(16, 16, 16, 16), d_model=64, num_queries=8, text_layers=1)
    grounder = build_dino(NAMES, sizes)
    grounder.model.save_pretrained(folder)
    grounder.processor.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("save", [save_core, save_dino])
def test_the_command_scores_any_checkpoint_folder(coco: tuple[Path, Path], tmp_path: Path, save: Any) -> None:
    out = tmp_path / "scores.json"
    words = ["grounding", "evaluate", "--references", coco[0], "--images", coco[1], "--json", out]
    words += ["--checkpoint", save(tmp_path / "model"), "--resamples", "20", "--limit", "3", "--min-score", "0"]
    result = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert result.exit_code == 0
    assert "presence_auroc" in result.output
    assert "category" in result.output
    scores = json.loads(out.read_text())
    for name in ("ap50", "miou", "acc_iou50", "dice", "presence_auroc"):
        assert {"value", "low", "high", "n"} <= set(scores["metrics"][name])
    assert set(scores["strata"]) >= {"category", "modality"}
    assert scores["counts"]["records"] == 9


@pytest.mark.parametrize("save", [save_core, save_dino])
def test_the_command_draws_one_picture_from_a_folder(coco: tuple[Path, Path], tmp_path: Path, save: Any) -> None:
    words = ["grounding", "predict", coco[1] / "0.png", "--phrases", "Left lung; RBC ;", "--min-score", "0"]
    words += ["--checkpoint", save(tmp_path / "model")]
    for name in ("overlay.png", "overlay.jpg"):
        out = tmp_path / "new" / name
        result = CliRunner().invoke(app, [str(w) for w in [*words, "--out", out]], catch_exceptions=False)
        assert result.exit_code == 0
        assert str(out) in result.output
        with Image.open(out) as drawn:
            assert drawn.size == (520, 650)  # small images are enlarged
    folder = tmp_path / "many"
    result = CliRunner().invoke(app, [str(w) for w in [*words, "--out", folder]], catch_exceptions=False)
    row = json.loads((folder / "regions.jsonl").read_text())
    assert row["phrases"] == ["Left lung", "RBC"]


def test_mistakes_on_the_command_line_are_bad_input(coco: tuple[Path, Path], tmp_path: Path) -> None:
    picture = str(coco[1] / "0.png")
    for words, said in (
        (["evaluate"], "nothing to score"),
        (["evaluate", "--references", str(coco[0])], "nothing to score"),
        (["predict", picture, picture, "--out", str(tmp_path / "a.png")], "one output file"),
        (["predict", picture, "--checkpoint", "x", "--run", "y"], "leave one out"),
        (["predict", picture, "--checkpoint", str(tmp_path / "none")], "no such checkpoint"),
    ):
        with pytest.raises(BadInput, match=said):
            CliRunner().invoke(app, ["grounding", *words], catch_exceptions=False)


def test_corrupted_pictures_are_scored_beside_the_originals(
    coco: tuple[Path, Path], tiny_core: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    words = ["grounding", "evaluate", "--references", str(coco[0]), "--images", str(coco[1]), "--limit", "3"]
    words += ["--grounder", str(tiny_core), "--set", "eval.resamples=20", "--probe"]
    files = ["--records", str(tmp_path / "r.jsonl"), "--json", str(tmp_path / "s.json")]
    assert CliRunner().invoke(app, [*words, "blank", *files]).exit_code == 1
    shown = CliRunner().invoke(app, [*words, "corrupt", *files], catch_exceptions=False)
    assert "original minus corrupt-5" in shown.output
    originals = {row["id"]: row for row in read_lines(tmp_path / "r.jsonl")}
    again = list(read_lines(tmp_path / "r.corrupt.jsonl"))
    assert len(again) == 5 * len(originals)
    for row in again:
        original = originals[row["meta"]["original"]]
        assert row["id"] == f"{original['id']}/corrupt-{row['meta']['severity']}"
        assert row["answer"] == original["answer"]
    curves = json.loads((tmp_path / "s.corrupt.json").read_text())["curves"]
    assert len(curves["ap50"]) == 6
