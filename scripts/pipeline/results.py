"""Stage 5: records -> scores -> `results.json` and one table, intervals and n beside every value."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from tqdm.auto import tqdm

from ...eval.compare import compare
from ...eval.records import read_records
from ...eval.score import score as score_records
from ...eval.score import write_json
from ...eval.statistics.bootstrap import Estimate
from ...eval.table import table
from ...grounding.datasets.schema import images as images_of
from ...grounding.datasets.schema import split_of
from ...grounding.files import write_atomic
from ...grounding.grounders.cache import regions_of
from ...grounding.records import RecordFile, Task
from ...grounding.types import NOTICE
from ..records import grounding_record, record_id
from .pipeline import Line
from .tune import DOWNSTREAM

NAMES: dict[Task, dict[str, str]] = {
    "grounding": {"ap50": "ap50", "miou": "miou", "dice": "dice"},
    "vqa": {"open": "open_accuracy", "closed": "closed_accuracy"},
    "report": {
        **{"bleu_4": "bleu_4", "rouge_l": "rouge_l", "cider": "cider", "label_f1": "label_micro_f1"},
        **{"spatial_precision": "radfact_spatial_precision", "spatial_recall": "radfact_spatial_recall"},
    },
}


def write_grounding_records(line: Line) -> Path:
    """One record for each scored image and phrase that its set annotates, present or not."""
    path = line.out / "records" / "grounding.jsonl"
    file = RecordFile(path)
    scored = list(images_of(split_of(line.images, line.recipe.eval_split)))
    found, skipped = regions_of(line.grounder, scored, [s.phrases for s in scored], line.out / "regions")
    line.skipped.entries += skipped.entries
    readable = [image for image in scored if image.image_id in found]
    new = [image for image in readable if not file.done.issuperset(record_id(image, p) for p in image.phrases)]
    for image in tqdm(new, desc="presence", unit="image", disable=None):
        chances = line.grounder.presence([image], [image.phrases])[0]
        by_phrase = [(phrase, [r for r in found[image.image_id] if r.phrase == phrase]) for phrase in image.phrases]
        file.append([grounding_record(image, phrase, regions, chances[phrase]) for phrase, regions in by_phrase])
    return path


def score(line: Line) -> dict[str, Any]:
    """Score every record file of the run; write `scores/*.json` and `results.json`; return the results."""
    has_regions = (line.out / "records" / "grounding.jsonl").exists()
    grounding = _scored(line, "grounding", "grounding") if has_regions else {}
    results: dict[str, Any] = {"grounding": grounding, "vqa": {}, "report": {}}
    for source in line.recipe.sources:
        for task in DOWNSTREAM:
            name = f"{task}-{source}"
            if (line.out / "records" / f"{name}.jsonl").exists():
                results[task][source] = _scored(line, task, name)
    results["paired"] = {task: _paired(line, task) for task in DOWNSTREAM}
    seconds = json.loads((line.out / "seconds.json").read_text())
    results |= {"seconds": round(sum(seconds.values()), 1), "stages": seconds}
    results |= {"recipe": line.recipe.name, "seed": line.recipe.seed, "notice": NOTICE}
    write_atomic(line.out / "results.json", json.dumps(results, indent=1))
    write_atomic(line.out / "table.md", results_table(results, "markdown") + "\n")
    return results


def _scored(line: Line, task: Task, name: str) -> dict[str, Any]:
    """The headline metrics of one record file; the full score file goes to `scores/`."""
    scores = score_records(read_records([line.out / "records" / f"{name}.jsonl"], task), task, line.recipe.eval)
    write_json(scores, line.out / "scores" / f"{name}.json")
    found = {short: asdict(scores.metrics[full]) for short, full in NAMES[task].items() if full in scores.metrics}
    return found | {"n": scores.counts["records"]}


def _paired(line: Line, task: Task) -> dict[str, Any]:
    """Difference of every source against `none` over the same samples."""
    records = line.out / "records"
    base = records / f"{task}-none.jsonl"
    found: dict[str, Any] = {}
    for source in line.recipe.sources:
        path = records / f"{task}-{source}.jsonl"
        if source != "none" and base.exists() and path.exists():
            metrics = compare([path], [base], task, line.recipe.eval).metrics
            found[source] = {name: asdict(difference) for name, difference in metrics.items()}
    return found


def results_table(results: Mapping[str, Any], form: Literal["text", "markdown"] = "text") -> str:
    """The two tables of a run: the core, and the tasks with a row a metric and a column an evidence source."""
    core = {f"grounding {name}": found for name, found in _cells(results["grounding"], "grounding").items()}
    by_source = {
        source: {
            f"{task} {name}": found
            for task in DOWNSTREAM
            for name, found in _cells(results[task].get(source, {}), task).items()
        }
        for source in {**results["vqa"], **results["report"]}
    }
    return table({"grounding core": core}, form) + "\n\n" + table(by_source, form)


def _cells(found: Mapping[str, Any], task: Task) -> dict[str, Estimate]:
    return {name: Estimate(**found[name]) for name in NAMES[task] if name in found}
