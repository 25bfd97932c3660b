"""Stage 5: records -> scores -> `results.json` and one table, intervals and n beside every value."""

import json
from pathlib import Path
from typing import Any

from ..eval.compare import compare
from ..eval.records import read_records
from ..eval.score import Scores, score_grounding, score_report, score_vqa
from ..eval.table import table
from ..grounding.cache import regions_of
from ..grounding.datasets.schema import studies as studies_of
from ..grounding.records import PredictionRecord, RecordFile, write_atomic
from ..grounding.types import Region, Study, region_to_json
from .line import Line

VQA_NAMES = {"open": "open_accuracy", "closed": "closed_accuracy"}
REPORT_NAMES = {"bleu_4": "bleu_4", "rouge_l": "rouge_l", "cider": "cider"}
GROUNDING_NAMES = {"ap50": "ap50", "miou": "miou", "dice": "dice"}


def write_grounding_records(line: Line) -> Path:
    """One record for each scored image and phrase that its set annotates, present or not."""
    path = line.out / "records" / "grounding.jsonl"
    file = RecordFile(path)
    scored = [s for s in studies_of(line.studies) if s.split == line.recipe.eval_split]
    found, skipped = regions_of(line.grounder, scored, [s.phrases for s in scored], line.out / "regions")
    line.skipped.entries += skipped.entries
    for study in scored:
        if study.study_id in found:
            file.append([_grounding_record(study, phrase, found[study.study_id]) for phrase in study.phrases])
    return path


def _grounding_record(study: Study, phrase: str, found: list[Region]) -> PredictionRecord:
    return PredictionRecord(
        id=f"{study.dataset}/{study.study_id}/{phrase}",
        dataset=study.dataset,
        split=study.split,
        task="grounding",
        image_id=study.study_id,
        cluster_id=f"{study.dataset}/{study.group}",
        question=phrase,
        answer=[region_to_json(region) for region in study.regions if region.phrase == phrase],
        prediction=[region_to_json(region) for region in found if region.phrase == phrase],
        evidence="predicted",
        meta={"size_px": list(study.size_px), "modality": study.modality},
    )


def score(line: Line) -> dict[str, Any]:
    """Score every record file of the run; write `scores/*.json`, `results.json` and `table.md`; return the results."""
    records, scores = line.out / "records", line.out / "scores"
    settings = line.recipe.eval
    results: dict[str, Any] = {"grounding": {}, "vqa": {}, "report": {}}
    grounding = score_grounding(read_records([records / "grounding.jsonl"], "grounding"), settings)
    results["grounding"] = _pick(grounding, GROUNDING_NAMES, scores / "grounding.json")
    for source in line.recipe.sources:
        for task, names, scorer in (("vqa", VQA_NAMES, score_vqa), ("report", REPORT_NAMES, score_report)):
            path = records / f"{task}-{source}.jsonl"
            if not path.exists():
                continue
            rows = read_records([path], task)
            result = scorer(rows, settings)
            results[task][source] = _pick(result, names, scores / path.with_suffix(".json").name) | {"n": len(rows)}
    results["paired"] = paired(line)
    seconds = json.loads((line.out / "seconds.json").read_text())
    results["seconds"] = round(sum(seconds.values()), 1)
    results |= {"recipe": line.recipe.name, "seed": line.recipe.seed, "notice": "research use, not for diagnosis"}
    write_atomic(line.out / "results.json", json.dumps(results, indent=1))
    write_atomic(line.out / "table.md", results_table(results, markdown=True))
    return results
