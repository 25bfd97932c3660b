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
from ..vqa.mllm.model import GroundedMLLM
from ..vqa.mllm.predict import Job, predict
from ..vqa.mllm.prompt import Example
from ..vqa.mllm.smollm2 import assemble
from ..vqa.mllm.train import train
from ..vqa.task import Question
from .line import Line
from .recipe import Recipe

Adapter = Literal["plain", "grounded"]
ADAPTERS: tuple[Adapter, ...] = ("plain", "grounded")
PLAIN = EvidenceSettings(forms=())


def base_model(line: Line) -> str:
    """Folder or hub name of the base; the small default is assembled once from our image tower and SmolLM2."""
    if line.recipe.mllm.base != "smollm2-135m":
        return line.recipe.mllm.base
    folder = line.out / "base"
    if not (folder / "complete").exists():
        assemble(line.grounder_dir, folder)
        write_atomic(folder / "complete", "")
    return str(folder)


def evidence_settings(line: Line, kind: Adapter) -> EvidenceSettings:
    """The plain adapter never sees evidence."""
    return line.recipe.evidence if kind == "grounded" else PLAIN


def tuned(line: Line, kind: Adapter) -> GroundedMLLM:
    """The base with one adapter, trained now, or further, if it is not finished."""
    folder = line.out / f"adapter-{kind}"
    settings = line.recipe.mllm.model_copy(update={"base": base_model(line)})
    if (folder / "adapter_config.json").exists():
        return GroundedMLLM.load(settings, line.grounder.embedding_dim, folder)
    model = GroundedMLLM.load(settings, line.grounder.embedding_dim)
    source: Source = "predicted" if kind == "grounded" else "none"
    examples = line.examples(source, [i for i in [*line.questions, *line.reports] if i.study.split == "train"])
    train(model, examples, evidence_settings(line, kind), line.recipe.mllm_train, line.out / f"train-{kind}", kind)
    model.save(folder)
    return model


def predict_source(line: Line, model: GroundedMLLM, kind: Adapter, source: Source) -> None:
    """Records of every scored question and report with one evidence source; continues after the last whole line."""
    tasks = {"vqa": (line.recipe.vqa, line.questions), "report": (line.recipe.report, line.reports)}
    for task, (section, items) in tasks.items():
        if section is None:
            continue
        scored = [item for item in items if item.study.split == line.recipe.eval_split]
        jobs = [
            job(item, example, source, line.recipe.eval_split)
            for item, example in zip(scored, line.examples(source, scored), strict=True)
        ]
        path = line.out / "records" / f"{task}-{source}.jsonl"
        skipped = predict(model, jobs, evidence_settings(line, kind), section.generate, path)
        line.skipped.entries += skipped.entries


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
        for source in sources_of(line, kind):
            with line.timed(f"predict {source}"):
                predict_source(line, tuned(line, kind), kind, source, (task,))


def sources_of(line: Line, kind: Adapter) -> list[Source]:
    """Evidence sources that this adapter predicts with."""
    return [source for source in line.recipe.sources if (source == "none") == (kind == "plain")]
