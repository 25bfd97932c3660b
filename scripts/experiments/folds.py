"""`medglip vqa cross-validate RECIPE`: every image is scored once, by adapters that saw none of its questions.

Whole groups of images are dealt into parts; a fold trains on all parts but one and answers that one. The records of
all folds are one run, held against what sees no image and was taught by the same questions, paired by image.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ...eval.catalog import tested_metrics
from ...eval.compare import compare_runs
from ...eval.records import Record, read_records
from ...eval.score import score
from ...eval.table import by_metric, table
from ...grounding.bad_input import BadInput
from ...grounding.files import write_atomic
from ...grounding.run_folder import RunFolder
from ...grounding.settings import read_settings
from ..pipeline.pipeline import Pipeline
from ..pipeline.preflight import check_models
from ..pipeline.references import REFERENCES, write_references
from ..recipe import Recipe
from .ablate import BASELINE, Adapter, Grid, pooled, row_title, run_adapters, with_changes

TEXT_FLOORS = ("bag_of_words", "nearest_question")
"""What every row is held against; they know the question alone."""


def cross_validate(recipe_path: Path, grid: Grid, num_folds: int = 5, out: Path | None = None) -> str:
    """Train and predict what is not there yet, score all; return the text, which `out/folds.md` holds too.

    `grid`: its rows and seeds. Raises `BadInput` for a recipe whose questions are not of one public set.
    """
    recipe = read_settings(Recipe, recipe_path)
    if recipe.vqa is None or len(recipe.vqa.data) != 1 or not hasattr(recipe.vqa.data[0], "fold"):
        fix = "one of vqa_rad, slake, pathvqa in vqa.data"
        raise BadInput("its questions are not of one public set.", file=recipe_path, fix=fix)
    if num_folds < 2:
        raise BadInput(f"{num_folds} folds leave nothing to learn from, or nothing to score.", fix="--folds 5")
    out = out or recipe.out_dir / "folds"
    folders = [out / f"fold-{k}-of-{num_folds}" for k in range(1, num_folds + 1)]
    with RunFolder(recipe.out_dir).locked(), RunFolder(out).locked():
        check_models(recipe)
        for k, folder in enumerate(folders, 1):
            _run_fold(recipe, grid, f"{k}/{num_folds}", folder)
    text = _write(recipe, grid, folders, out)
    return f"{text}\n\nwritten: {out / 'folds.md'}, folds.json"


def _run_fold(recipe: Recipe, grid: Grid, fold: str, folder: Path) -> None:
    """The cells of one fold, its core and regions, and the floors that its training questions teach."""
    assert recipe.vqa
    data = recipe.vqa.data[0].model_copy(update={"fold": fold})
    section = recipe.vqa.model_copy(update={"data": (data,)})
    sources = tuple(dict.fromkeys((BASELINE, *(source for source, _ in grid.rows))))
    base = Pipeline(with_changes(recipe, {"out_dir": folder, "vqa": section, "eval_split": "test", "sources": sources}))
    run_adapters(base, grid, folder / "cells", "vqa")
    if not RunFolder(folder).record_file("vqa", REFERENCES[0]).exists():
        write_references(base, folder)
    base.skipped.write(folder / "skipped.jsonl")


def _write(recipe: Recipe, grid: Grid, folders: Sequence[Path], out: Path) -> str:
    """Scores of every row and floor over all folds, and the differences to `none` and to each text floor."""
    settings = recipe.eval.model_copy(update={"strata": False})
    rows: dict[str, list[Record]] = {}
    for source, adapter in [(BASELINE, Adapter()), *grid.rows]:
        cells = (pooled(folder / "cells", source, adapter, grid.seeds, "vqa") for folder in folders)
        rows[row_title(source, adapter, recipe)] = sorted((r for cell in cells for r in cell), key=lambda r: r["id"])
    floors = {name: _of_every_seed(folders, name, grid.seeds) for name in REFERENCES}
    floors = {name: records for name, records in floors.items() if records}
    tested = tested_metrics("vqa")
    scores = {name: score(records, "vqa", settings).metrics for name, records in (rows | floors).items()}
    texts, differences = [table(by_metric(scores, tested), "markdown", "answers")], dict[str, Any]()
    for baseline in (name for name in (BASELINE, *TEXT_FLOORS) if name in scores):
        names = [name for name in rows if name != baseline]
        if not names:
            continue
        every = rows | floors
        compared = compare_runs([every[name] for name in (*names, baseline)], [*names, baseline], "vqa", settings)
        differences[baseline] = {one.a_name: one.metrics for one in compared}
        shown = table(by_metric(differences[baseline], tested), "markdown", "answers")
        texts.append(f"Differences to `{baseline}`:\n\n{shown}\n\n{compared[0].family}.")
    texts.append(
        f"{len(folders)} folds by image, seeds {', '.join(map(str, grid.seeds))}; intervals and permutations over "
        "images. Every question is answered once a seed, by adapters and floors that its image taught nothing."
    )
    text = "\n\n".join(texts)
    facts: Mapping[str, Any] = {"grid": grid, "scores": scores, "differences": differences}
    write_atomic(out / "folds.json", json.dumps(facts, indent=1, default=asdict))
    write_atomic(out / "folds.md", text + "\n")
    return text


def _of_every_seed(folders: Sequence[Path], name: str, seeds: Sequence[int]) -> list[Record]:
    """A floor's records of all folds, once a seed, so that they pair with the adapters' answers."""
    files = [file for folder in folders if (file := RunFolder(folder).record_file("vqa", name)).exists()]
    records = read_records(files, "vqa") if files else []
    every: list[Any] = [{**record, "id": f"{record['id']}@{seed}"} for record in records for seed in seeds]
    return sorted(every, key=lambda record: record["id"])
