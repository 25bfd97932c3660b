"""`medglip run RECIPE.yaml`: train the core, cache regions, tune with and without evidence, predict, score, show."""

from pathlib import Path
from typing import Any

from ..grounding.settings import read_settings
from ..grounding.training.loop import processes
from .page.gather import write_page
from .pipeline.pipeline import Line
from .pipeline.results import results_table, score, write_grounding_records
from .pipeline.tune import ADAPTERS, tune_and_predict
from .recipe import Recipe


def run(recipe_path: Path) -> dict[str, Any]:
    """The whole line of one recipe; called again, it continues where it was. Returns what `results.json` holds.

    Several processes train and predict together; what is not shared the first of them does alone, scores among it,
    and the others return nothing.
    """
    line, ranks = Line(read_settings(Recipe, recipe_path)), processes()
    with line.timed("data"), ranks.main_process_first():
        num = len(line.questions), len(line.reports), len(line.images)
        print(f"   {num[0]} questions, {num[1]} reports, {num[2]} studies with regions")
        if line.phantom_dir:
            print(f"   first picture: {line.phantom_dir / 'phantoms.png'}")
    with line.timed("grounding core"):
        line.train_core()
    with line.timed("regions"), ranks.main_process_first():
        write_grounding_records(line)
        line.find_regions()
    for kind in ADAPTERS:
        tune_and_predict(line, kind)
    if not ranks.is_main_process:
        return {}
    with line.timed("scores and page"):
        results = score(line)
        line.skipped.write(line.out / "skipped.jsonl")
        page = write_page([line.out], line.out / "index.html", settings=line.recipe.eval)
    print(results_table(results))
    print(line.skipped.summary())
    print(f"page: {page}\nresults: {line.out / 'results.json'}")
    return results
