"""Stage 5: records -> scores -> `results.json` and one table, intervals and n beside every value."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from tqdm.auto import tqdm

from ...eval.compare import compare_runs
from ...eval.page.statements import Differences, statements
from ...eval.records import read_records
from ...eval.score import score as score_records
from ...eval.score import write_json
from ...eval.statistics.bootstrap import Estimate
from ...eval.table import table
from ...grounding.datasets.schema import images as images_of
from ...grounding.datasets.schema import split_of
from ...grounding.evidence.names import SOURCES, row_name
from ...grounding.files import read_object, write_atomic
from ...grounding.grounders.cache import regions_of
from ...grounding.imaging.corruptions import SEVERITIES, corrupted, corrupted_record, mark_of
from ...grounding.records import RecordFile, Task, grounding_record, record_id
from ...grounding.types import NOTICE, AnnotatedImage
from ...report.datasets.sets import REPORT_SETS
from ..scorers.clinical import add_scores
from .pipeline import Pipeline
from .references import REFERENCES, write_references
from .tasks import TASKS

HEADLINE: dict[Task, Mapping[str, str]] = {
    "grounding": {"ap50": "ap50", "miou": "miou", "dice": "dice"},
    **{name: row.headline for name, row in TASKS.items()},
}
"""Scores of a run's table: the name there -> the name of the metric."""


def write_grounding_records(pipeline: Pipeline) -> Path:
    """One record for each scored image and phrase that its set annotates, present or not; and of probe `corrupt`."""
    folder, seed = pipeline.folder, pipeline.recipe.seed
    scored = list(images_of(split_of(pipeline.images, pipeline.recipe.eval_split)))
    _write_regions(pipeline, scored, scored, folder.record_file("grounding"))
    for severity in SEVERITIES if "corrupt" in pipeline.recipe.probes else ():
        changed = [corrupted(image, severity, folder.corrupted_dir, seed) for image in scored]
        _write_regions(pipeline, changed, scored, folder.probe_file("grounding", "", "corrupt"), severity)
    return folder.record_file("grounding")


def _write_regions(
    pipeline: Pipeline,
    images: Sequence[AnnotatedImage],
    originals: Sequence[AnnotatedImage],
    path: Path,
    severity: int = 0,
) -> None:
    """Records of what is found in `images`, which are the `originals` or these corrupted with a severity."""
    file = RecordFile(path)
    regions, skipped = regions_of(
        pipeline.grounder, images, [image.phrases for image in images], pipeline.folder.regions_dir
    )
    pipeline.skipped.entries += skipped.entries
    # an image whose records are all there is done; of one that was cut short `append` adds only what is missing
    readable = [pair for pair in zip(images, originals, strict=True) if pair[0].image_id in regions]
    mark, seed = mark_of(severity), pipeline.recipe.seed
    new = [
        pair for pair in readable if not file.done.issuperset(f"{record_id(pair[1], p)}{mark}" for p in pair[1].phrases)
    ]
    for image, original in tqdm(new, desc="presence", unit="image", disable=None):
        chances = pipeline.grounder.presence([image], [image.phrases])[0]
        by_phrase = [(phrase, [r for r in regions[image.image_id] if r.phrase == phrase]) for phrase in image.phrases]
        records = [grounding_record(original, phrase, own, chances[phrase]) for phrase, own in by_phrase]
        file.append([corrupted_record(r, original, severity, seed) if severity else r for r in records])


def score(pipeline: Pipeline) -> dict[str, Any]:
    """Score every record file of the run; write `scores/*.json` and `results.json`; return the results."""
    folder, recipe = pipeline.folder, pipeline.recipe
    regions = folder.record_file("grounding")
    grounding = _score_file(pipeline, "grounding", regions) if regions.exists() else {}
    results: dict[str, Any] = {"grounding": grounding, **{task: {} for task in TASKS}}
    results["paired"] = {task: {} for task in TASKS}
    paired: dict[Task, dict[str, Differences]] = {task: {} for task in TASKS}
    write_references(pipeline, folder.path)
    add_clinical(pipeline)
    for source in sorted(recipe.sources, key=list(SOURCES).index):
        for task in TASKS:
            path, base = folder.record_file(task, source), folder.record_file(task, "none")
            if path.exists():
                results[task][source] = _score_file(pipeline, task, path)
            # the same samples with and without evidence: their difference is what evidence is worth
            if source != "none" and path.exists() and base.exists():
                ours, plain = (read_records([file], task) for file in (path, base))
                if SOURCES[source].needs_truth:  # of a mix, only the samples whose set knows their true regions
                    ids = {record["id"] for record in ours}
                    plain = [record for record in plain if record["id"] in ids]
                (compared,) = compare_runs([ours, plain], [source, "none"], task, recipe.eval)
                results["paired"][task][source] = {name: asdict(one) for name, one in compared.metrics.items()}
                headline = HEADLINE[task].values()
                paired[task][source] = {name: one for name, one in compared.metrics.items() if name in headline}
    for name in REFERENCES:
        if (path := folder.record_file("vqa", name)).exists():
            results["vqa"][name] = _score_file(pipeline, "vqa", path)
    seconds = read_object(folder.seconds_file, "remove it: it only counts seconds")
    results |= {"seconds": round(sum(seconds.values()), 1), "stages": seconds}
    results |= {"recipe": recipe.name, "seed": recipe.seed, "notice": NOTICE}
    results["train_source"] = recipe.evidence.train_source
    results["shown"] = [sentence for task in TASKS for sentence in statements(paired[task], "none", task)]
    write_atomic(folder.results_file, json.dumps(results, indent=1))
    shown = "".join(f"\n{sentence}\n" for sentence in results["shown"])
    write_atomic(folder.table_file, results_table(results, "markdown") + "\n" + shown)
    return results


def add_clinical(pipeline: Pipeline) -> None:
    """What the models of clinical scores say of the reports written, into their records."""
    section = pipeline.recipe.report
    if section is None or not REPORT_SETS[section.sets[0]].has_rows:
        return
    for source in pipeline.recipe.sources:
        if (path := pipeline.folder.record_file("report", source)).exists():
            add_scores(path, pipeline.recipe.eval)


def _score_file(pipeline: Pipeline, task: Task, records: Path) -> dict[str, Any]:
    """The headline metrics of one record file; the full score file goes to `scores/`."""
    scores = score_records(read_records([records], task), task, pipeline.recipe.eval)
    write_json(scores, pipeline.folder.score_file(records.stem))
    # a metric that the records do not allow (no findings annotated) is left out, not written as 0
    metrics = {short: asdict(scores.metrics[full]) for short, full in HEADLINE[task].items() if full in scores.metrics}
    return metrics | {"n": scores.counts["records"]}


def results_table(results: Mapping[str, Any], form: Literal["text", "markdown"] = "text") -> str:
    """The two tables of a run: the core; the tasks, a row a metric and a column an evidence source or a reference."""

    def estimates(scores: Mapping[str, Any], task: Task) -> dict[str, Estimate]:
        return {f"{task} {name}": Estimate(**scores[name]) for name in HEADLINE[task] if name in scores}

    by_source: dict[str, dict[str, Estimate]] = {}
    for task in TASKS:
        for source in results[task]:
            # a reference (`rules`, a floor) is no source; results made before say nothing of what was learned
            learned = results.get("train_source", "predicted")
            name = row_name(source, learned) if source in SOURCES else source
            by_source.setdefault(name, {}).update(estimates(results[task][source], task))
    core = {"grounding core": estimates(results["grounding"], "grounding")}
    return table(core, form) + "\n\n" + table(by_source, form)
