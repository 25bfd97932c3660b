"""Readers of records and of what `medglip eval` and `report coco` take; recipes and other YAML; the page of a run."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from medglip.eval.compare import compare_runs
from medglip.eval.floors import floor_records, read_train
from medglip.eval.leaks import leaks_between
from medglip.eval.probes import probe
from medglip.eval.records import read_records, task_of
from medglip.eval.score import read_json, score, write_json
from medglip.eval.settings import EvalSettings
from medglip.eval.tasks.coco import score_coco
from medglip.grounding.bad_input import Skipped
from medglip.grounding.datasets.building.manifest import BuildSettings
from medglip.grounding.foreign import read_json as read_foreign_json
from medglip.grounding.records import RecordFile
from medglip.grounding.settings import read_settings
from medglip.grounding.vocabulary.labels import read_labels
from medglip.report.output.coco import read_reports, write_coco
from medglip.scripts.cli.sets import read_sets
from medglip.scripts.page.gather import write_page
from medglip.scripts.recipe import Recipe

from .making_files import BOX_XYWH, coco_file, put
from .region_sets import MADE
from .trying import Reader

FEW = EvalSettings(resamples=20)
FILE, OTHER = Path("a.jsonl"), Path("b.jsonl")


def _lines(name: str, *to: Path) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        lines = (MADE / "run" / name).read_text().splitlines()[:3]
        for file in to:
            put(folder / file, "\n".join(lines) + "\n")

    return make


def _score(task: Any, **settings: Any) -> Callable[[], Any]:
    return lambda: score(read_records([FILE], task), task, FEW.model_copy(update=settings))


def _scored_with(name: str, content: Any, task: Any, records: str, **settings: Any) -> Reader:
    def make(folder: Path) -> None:
        _lines(records, FILE)(folder)
        put(folder / name, content)

    return Reader(make, _score(task, **settings), (name,))


def _references() -> None:
    read_records([FILE], "vqa", references=OTHER)


def _compare() -> None:
    compare_runs([read_records([path], task_of(path)) for path in (FILE, OTHER)], ["a", "b"], "vqa", FEW)


def _put_probes(folder: Path) -> None:
    _lines("records/vqa-none.jsonl", FILE)(folder)
    _lines("probes/vqa-none.blank.jsonl", OTHER)(folder)


def _probes() -> None:
    probe([read_records([path], "vqa") for path in (FILE, OTHER)], ["a", "b"], FEW)


def _floors() -> None:
    floor_records(read_records([FILE], "vqa"), read_train([OTHER]))


def _append() -> None:
    RecordFile(FILE).append([])


def _scores(folder: Path) -> None:
    _lines("records/vqa-none.jsonl", FILE)(folder)
    write_json(score(read_records([folder / FILE], "vqa"), "vqa", FEW), folder / "scores.json")
    (folder / FILE).unlink()


# ---- COCO


def _coco_pair(folder: Path) -> None:
    put(folder / "truth.json", coco_file("a.png", "b.png"))
    outline = [[6, 4, 15, 4, 15, 9, 6, 9]]
    row = {"image_id": 0, "category_id": 1, "bbox": BOX_XYWH, "score": 0.9, "segmentation": outline}
    masks = ({"size": [20, 30], "counts": [125, 5, 15, 5, 450]}, {"size": [20, 30], "counts": "m3d0PO0000000`<"})
    put(folder / "found.json", [row, *({**row, "segmentation": mask} for mask in masks[:1])])


def _coco(kind: Any) -> Reader:
    return Reader(_coco_pair, lambda: score_coco(Path("truth.json"), Path("found.json"), kind, FEW))


def _report_coco_folder(folder: Path) -> None:
    shutil.copytree(MADE / "report", folder / "reports")
    put(folder / "refs.json", _references_of(json.loads((MADE / "report/front.json").read_text())))


def _references_of(report: dict[str, Any]) -> dict[str, Any]:
    phrases = sorted({region["phrase"] for file in ("front", "side") for region in _regions(file)})
    images = [{"id": k, "file_name": f"{name}.png"} for k, name in enumerate(("front", "side"))]
    return {"images": images, "categories": [{"id": k, "name": name} for k, name in enumerate(phrases)]}


def _regions(name: str) -> list[dict[str, Any]]:
    return json.loads((MADE / f"report/{name}.json").read_text())["regions"]


def _report_coco() -> None:
    write_coco(read_reports(Path("reports"), Skipped()), Path("out"), read_foreign_json(Path("refs.json")))


# ---- YAML and pages


def _yaml(name: str, read: Callable[[Path], Any], text: Callable[[], str]) -> Reader:
    return Reader(lambda folder: put(folder / name, text()), lambda: read(Path(name)))


def _sets_of_files(folder: Path) -> None:
    recipe = {"name": "a", "out_dir": "run", "grounding": {"data_files": ["sets.yaml"]}}
    put(folder / "recipe.yaml", json.dumps(recipe))
    put(folder / "sets.yaml", "- { layout: coco, path: sets/a, licence: CC0 }\n- { layout: voc, path: sets/b }\n")


def _options() -> None:
    read_sets(Path("option.txt").read_text(errors="replace").splitlines(), eval=EvalSettings)


def _run_folder(folder: Path) -> None:
    for name in ("records/vqa-none.jsonl", "records/grounding.jsonl", "probes/vqa-none.blank.jsonl"):
        lines = (MADE / "run" / name).read_text().splitlines()[:2]
        put(folder / "run" / name, "\n".join(lines) + "\n")
    for name in ("recipe.json", "seconds.json", "grounding/log.jsonl"):
        put(folder / "run" / name, (MADE / "run" / name).read_text())
    put(folder / "run/skipped.jsonl", [{"item": "a.png", "why": "empty"}])


READERS = {
    "records vqa": Reader(_lines("records/vqa-predicted.jsonl", FILE), _score("vqa")),
    "records report": Reader(
        _lines("records/report-predicted.jsonl", FILE), _score("report", metrics=("bleu", "rouge_l"))
    ),
    "records grounding": Reader(_lines("records/grounding.jsonl", FILE), _score("grounding")),
    "records references": Reader(_lines("records/vqa-none.jsonl", FILE, OTHER), _references),
    "records compare": Reader(_lines("records/vqa-none.jsonl", FILE, OTHER), _compare),
    "records probes": Reader(_put_probes, _probes),
    "records floors": Reader(_lines("records/vqa-none.jsonl", FILE, OTHER), _floors, weight=0.5),
    "records leaks": Reader(
        _lines("records/vqa-none.jsonl", FILE, OTHER), lambda: leaks_between(FILE, OTHER, None, None)
    ),
    "records continued": Reader(_lines("records/vqa-none.jsonl", FILE), _append),
    "candidates": _scored_with(
        "c.json",
        {"0": ["cyst", "nodule"]},
        "vqa",
        "records/vqa-none.jsonl",
        protocol="llava_med",
        candidates=Path("c.json"),
    ),
    "r2gen vocabulary": _scored_with(
        "v.json",
        ["heart", "lung"],
        "report",
        "records/report-none.jsonl",
        **{"report_protocol": "r2gen", "r2gen_vocabulary": Path("v.json"), "metrics": ("rouge_l",)},
    ),
    "scores": Reader(_scores, lambda: read_json(Path("scores.json"))),
    "eval coco boxes": _coco("bbox"),
    "eval coco masks": _coco("segm"),
    "report coco": Reader(_report_coco_folder, _report_coco, ("reports/*.json", "refs.json")),
    "yaml recipe": _yaml("r.yaml", lambda file: read_settings(Recipe, file), (MADE / "recipe.yaml").read_text),
    "yaml manifest": _yaml("b.yaml", lambda file: read_settings(BuildSettings, file), (MADE / "build.yaml").read_text),
    "yaml labels": _yaml("l.yaml", read_labels, lambda: "version: 2\nlabels:\n  lung: {synonyms: [lungs]}\n"),
    "yaml sets": Reader(_sets_of_files, lambda: read_settings(Recipe, Path("recipe.yaml")), ("sets.yaml",)),
    "option": Reader(
        lambda folder: put(folder / "option.txt", "eval.resamples=20\neval.metrics=[bleu, cider]\n"), _options
    ),
    "eval page": Reader(_run_folder, lambda: write_page([Path("run")], Path("page.html"), settings=FEW), weight=0.3),
}
