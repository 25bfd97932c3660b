"""Stages 3 and 4: two adapters with one budget, then predictions with every evidence source."""

from pathlib import Path
from typing import Any, Literal

from ..grounding.evidence import Evidence, EvidenceSettings, Source
from ..grounding.labels import load_labels
from ..grounding.records import Task, write_atomic
from ..grounding.settings import read_settings
from ..grounding.types import region_to_json
from ..report.sentences import ground_sentences
from ..report.task import Report
from ..vqa.answer import parse_answer
from ..vqa.mllm.model import GroundedMLLM, load
from ..vqa.mllm.predict import Job, predict
from ..vqa.mllm.prompt import Example
from ..vqa.mllm.train import train
from ..vqa.task import Question
from .line import Line
from .recipe import Recipe
from .task_data import record_meta

Adapter = Literal["plain", "grounded"]
ADAPTERS: tuple[Adapter, ...] = ("plain", "grounded")
DOWNSTREAM: tuple[Task, ...] = ("vqa", "report")
PLAIN = EvidenceSettings(forms=())


def evidence_settings(line: Line, kind: Adapter) -> EvidenceSettings:
    """The plain adapter never sees evidence."""
    return line.recipe.evidence if kind == "grounded" else PLAIN


def tuned(line: Line, kind: Adapter) -> GroundedMLLM:
    """The base with one adapter, trained now, or further, if it is not finished."""
    folder = line.out / f"adapter-{kind}"
    dim, core = line.grounder.embedding_dim, line.grounder_dir
    if (folder / "complete").exists():
        return load(line.recipe.mllm, dim, folder, vision=core)
    model = load(line.recipe.mllm, dim, vision=core)
    source: Source = "predicted" if kind == "grounded" else "none"
    items = [item for item in [*line.questions, *line.reports] if item.study.split == "train"]
    name, out = f"adapter {kind}", line.out / f"train-{kind}"
    train(model, line.examples(source, items), evidence_settings(line, kind), line.recipe.mllm_train, out, name)
    model.save(folder)
    write_atomic(folder / "complete", "")
    return model


def predict_source(
    line: Line, model: GroundedMLLM, kind: Adapter, source: Source, only: tuple[Task, ...] = DOWNSTREAM
) -> None:
    """Records of every scored question and report with one evidence source; continues after the last whole line."""
    tasks = {"vqa": (line.recipe.vqa, line.questions), "report": (line.recipe.report, line.reports)}
    for task in only:
        section, items = tasks[task]
        if section is None:
            continue
        scored = [item for item in items if item.study.split == line.recipe.eval_split]
        examples = line.examples(source, scored)
        jobs = [job(line, item, example, kind) for item, example in zip(scored, examples, strict=True)]
        path = line.out / "records" / f"{task}-{source}.jsonl"
        skipped = predict(model, jobs, evidence_settings(line, kind), section.generate, path)
        line.skipped.entries += skipped.entries


def job(line: Line, item: Question | Report, example: Example, kind: Adapter) -> Job:
    """The record's fields of one question or report, and how its text is read."""
    study = item.study
    fields: dict[str, Any] = {
        "dataset": study.dataset,
        "split": study.split,
        "image_id": study.study_id,
        "cluster_id": f"{study.dataset}/{study.group}",
        "model": line.recipe.mllm.base,
        "adapter": f"adapter-{kind}",
    }
    if isinstance(item, Report):
        fields |= {"task": "report", "question": example.instruction, "answer": item.text}
        meta = record_meta(study)
        return Job(example=example, fields=fields, parse=lambda text: _grounded(text, example.evidence, meta))
    fields |= {"task": "vqa", "question": item.question, "answer": item.answer, "answer_type": item.answer_type}
    fields["meta"] = record_meta(study, item.phrases) | {"question_type": item.content_type}
    return Job(example=example, fields=fields, parse=lambda text: {"parsed": parse_answer(text, item.answer_type)})


def _grounded(text: str, evidence: Evidence, meta: dict[str, Any]) -> dict[str, Any]:
    """A report's sentences with the regions they speak of, as the record keeps them."""
    sentences = ground_sentences(text, evidence.regions, load_labels(), evidence.size_px)
    rows = [
        {
            "text": sentence.text,
            "is_negated": sentence.is_negated,
            "regions": [region_to_json(region) | {"mask_rle": None} for region in sentence.regions],
        }
        for sentence in sentences
    ]
    return {"parsed": text, "meta": meta | {"sentences": rows}}


def tune_and_predict(line: Line, kind: Adapter, only: tuple[Task, ...] = DOWNSTREAM) -> None:
    """One adapter, loaded once, and the predictions of its evidence sources."""
    sources = sources_of(line, kind)
    if not sources:
        return
    with line.timed(f"adapter {kind}"):
        model = tuned(line, kind)
    for source in sources:
        with line.timed(f"predict {source}"):
            predict_source(line, model, kind, source, only)


def train_adapters(recipe: Path) -> None:
    """Every stage of a recipe up to its two adapters."""
    line = Line(read_settings(Recipe, recipe))
    for kind in ADAPTERS:
        if sources_of(line, kind):
            with line.timed(f"adapter {kind}"):
                tuned(line, kind)


def predict_task(recipe: Path, task: Task) -> None:
    """Records of one task with every evidence source of a recipe."""
    line = Line(read_settings(Recipe, recipe))
    for kind in ADAPTERS:
        tune_and_predict(line, kind, (task,))


def sources_of(line: Line, kind: Adapter) -> list[Source]:
    """Evidence sources that this adapter predicts with."""
    return [source for source in line.recipe.sources if (source == "none") == (kind == "plain")]
