r"""Make the checkpoint of a finished recipe one that comes with the package: half precision, vocabulary, model card.

MEDGLIP_DATA=... python -m medglip.scripts.release.ship_core recipes/small.yaml grounding/weights/small \
    --licence cc-by-sa-4.0
"""

import json
import math
import shutil
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import typer

from ...eval.page.curves import reliability_file
from ...eval.records import Record, meta_of, phrases_of
from ...eval.score import EvalSettings, measure, score, score_measured
from ...eval.statistics.bootstrap import Estimate
from ...eval.statistics.macro import macro
from ...eval.table import by_metric, table
from ...eval.tasks.grounding import curves
from ...grounding.bad_input import BadInput
from ...grounding.datasets.schema import AnnotatedImages, split_of
from ...grounding.datasets.schema import images as images_of
from ...grounding.files import write_atomic
from ...grounding.grounder import Grounder
from ...grounding.grounders.medglip import MedGlipGrounder
from ...grounding.grounders.pretrained import load_grounder
from ...grounding.settings import read_settings
from ...grounding.training.core import limits_of
from ...grounding.training.model_card import facts_of, write_card
from ...grounding.training.provenance import FILE as LEARNED
from ..inference.evaluate_coco import MAX_PER_PHRASE, METRICS, predict
from ..pipeline.pipeline import Pipeline
from ..recipe import Recipe

SHOWN = (*METRICS, "ece")
FIGURES, REPORT = "figures.json", "test.json"
"""What weights are chosen by (split val), and what the card states (split test)."""
RELIABILITY = "reliability.svg"
FEW = 10
"""Images of a set below which it is no part of the mean."""
SCORED_ON = {
    "val": "Select (split `val`): its patients were not trained on, but served to choose and to calibrate.",
    "test": "Report (split `test`): its patients neither taught the core nor chose anything of it.",
}
Figures = Mapping[str, Mapping[str, Estimate]]


def main(
    recipe: Annotated[Path, typer.Argument(help="The recipe; its training must be finished")],
    out: Annotated[Path, typer.Argument(help="Folder of the package for the weights")],
    licence: Annotated[str, typer.Option(help="Licence of the weights, as hubs spell it")],
    limit: Annotated[list[str] | None, typer.Option(help="A limit for the card; repeat it")] = None,
    worse: Annotated[bool, typer.Option(help="Replace weights that score higher")] = False,
    seed: Annotated[int, typer.Option(help="Seed of the intervals")] = 0,
) -> None:
    """Ship a core if it is better than the one in `out`, by the mean AP50 over its sets, on the split of the recipe."""
    pipeline = Pipeline(read_settings(Recipe, recipe))
    _ = pipeline.grounder  # trains it, if the training is not finished
    staged = pipeline.folder.path / "shipped"
    core = MedGlipGrounder.from_pretrained(pipeline.grounder_dir, "cpu")
    core.model.half().save_pretrained(staged)  # config.json then says float16, which loading would compute in
    core.processor.save_pretrained(staged)
    if core.features is not None:
        core.features.save(staged)
    config = json.loads((staged / "config.json").read_text())
    write_atomic(staged / "config.json", json.dumps(config | {"dtype": "float32"}, indent=2) + "\n")
    write_atomic(staged / "vocabulary.json", json.dumps(pipeline.vocabulary, indent=1))
    shutil.copy(pipeline.grounder_dir / LEARNED, staged)
    settings = EvalSettings(seed=seed, score_threshold=core.threshold)
    # what is shipped is scored: the staged files, loaded anew; records of other weights have another name
    grounder = load_grounder(staged, max_per_phrase=MAX_PER_PHRASE, min_score=0.01)
    figures, mean, records = score_split(pipeline, grounder, "val", settings)
    there = out / FIGURES
    typer.echo(figures_text(figures, mean))
    if there.exists() and mean.value <= (before := json.loads(there.read_text())["macro_ap50"]) and not worse:
        raise BadInput(f"macro AP50 {mean.value:.3f}, the weights there have {before:.3f}.", file=out, fix="keep those")
    write_figures(staged / FIGURES, figures, mean, by_phrase(records, settings))
    split = "val"
    if len(split_of(pipeline.images, "test")):
        figures, mean, records = score_split(pipeline, grounder, "test", settings)
        write_figures(staged / REPORT, figures, mean, by_phrase(records, settings))
        split = "test"
    write_atomic(staged / RELIABILITY, reliability_file(curves(records, settings)))
    num_images = len({(record["dataset"], record["image_id"]) for record in records})
    text = (
        f"{SCORED_ON[split]} Intervals of 95 % over patients, {len(records)} pairs of image and phrase of {num_images} "
        f"images. `all` is every pair together; Dice counts regions from {core.threshold:.2f} on.\n\n"
        f"{figures_text(figures, mean, 'markdown')}\n\n"
        f"How often a region of a score is right: ![reliability diagram]({RELIABILITY})"
    )
    write_card(
        staged,
        facts_of(pipeline.images, pipeline.recipe.grounding.data),
        core.model,
        pipeline.recipe.grounding.settings,
        name=pipeline.recipe.name,
        licence=licence,
        figures=text,
        limits=[*(limit or ()), *limits_of(core, AnnotatedImages(split_of(pipeline.images, "val")))],
    )
    out.mkdir(parents=True, exist_ok=True)
    for file in sorted(staged.iterdir(), key=lambda file: file.name == FIGURES):  # the figures last
        (out / file.name).write_bytes(file.read_bytes())
    typer.echo(f"shipped: {out}")


def score_split(
    pipeline: Pipeline, grounder: Grounder, split: str, settings: EvalSettings
) -> tuple[Figures, Estimate, list[Record]]:
    """Metrics of all pairs of image and phrase and of each set, the mean AP50 over sets, and the records.

    The mean is over real sets of ten images or more, all splits together: what fewer say is in the table alone.
    """
    path = pipeline.folder.path / "records" / f"{grounder.fingerprint[:16]}-{split}.jsonl"
    images = list(images_of(split_of(pipeline.images, split)))
    records = predict(grounder, images, path, pipeline.skipped, model=pipeline.recipe.name)
    measured = measure(records, "grounding", settings)
    scores = score_measured(measured, records, "grounding", settings)
    by_set, parts, ap50 = scores.strata.get("dataset", {}), [], measured.measures["ap50"]
    set_of_N = np.array(measured.strata["dataset"])[ap50.rows_N]
    drawn = {data.name for data in pipeline.recipe.grounding.data if data.layout == "phantom"}
    for name, number in Counter(pipeline.images["dataset"]).items():
        if number >= FEW and name not in drawn and "ap50" in by_set.get(name, {}):
            parts.append((ap50.subset(set_of_N == name), measured.clusters))
    return {"all": scores.metrics, **by_set}, macro(parts, **settings.intervals), records


def figures_text(figures: Figures, mean: Estimate, form: Literal["text", "markdown"] = "text") -> str:
    """The table, and the mean below it."""
    return (
        f"{table(by_metric(figures, SHOWN), form, 'set')}\n\nMacro AP50: {mean.value:.3f} [{mean.interval()}], mean "
        f"over the {mean.n} real sets of {FEW} images or more, with an interval over sets and patients."
    )


def by_phrase(records: Sequence[Record], settings: EvalSettings) -> dict[str, dict[str, dict[str, float]]]:
    """Modality -> phrase -> `ap50` and `n`, of the images with the phrase; those in none are left out."""
    rows = defaultdict[tuple[str, str], list[Record]](list)
    for record in records:
        rows[str(meta_of(record).get("modality")), next(iter(phrases_of(record)))].append(record)
    quick = settings.model_copy(update={"resamples": 10, "strata": False})  # the values alone are kept
    found = defaultdict[str, dict[str, dict[str, float]]](dict)
    for (modality, phrase), own in sorted(rows.items()):
        num = sum(bool(record["answer"]) for record in own)
        ap50 = score(own, "grounding", quick).metrics.get("ap50") if num else None
        if ap50 is not None and math.isfinite(ap50.value):
            found[modality][phrase] = {"ap50": round(ap50.value, 4), "n": num}
    return found


def write_figures(file: Path, figures: Figures, mean: Estimate, phrases: Mapping[str, Any]) -> None:
    """The values alone, as JSON."""
    plain = {name: {m: row[m].value for m in SHOWN if m in row} for name, row in figures.items()}
    write_atomic(file, json.dumps({"macro_ap50": mean.value, "sets": plain, "phrases": phrases}, indent=1))


if __name__ == "__main__":
    typer.run(main)
