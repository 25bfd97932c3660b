"""Stages 3 and 4: two adapters with one budget, then predictions with every evidence source."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from ...grounding.bad_input import BadInput
from ...grounding.evidence.evidence import PLAIN, EvidenceSettings, Source
from ...grounding.files import write_atomic
from ...grounding.records import Task
from ...grounding.settings import read_settings
from ...grounding.training.loop import processes
from ...grounding.training.provenance import write_learned
from ...report.task import Report
from ...report.text.citation_targets import to_cited
from ...report.text.judge import finding_labels
from ...vqa.inference.generate import GenerateSettings
from ...vqa.inference.predict import Job, predict
from ...vqa.inference.shards import shared
from ...vqa.model.grounded_mllm import GroundedMLLM, load
from ...vqa.probes import Probe, probed
from ...vqa.prompt.prompt import Example
from ...vqa.task import Question
from ...vqa.training.train import train
from ..recipe import Recipe
from ..records import _identity, question_job
from ..report_records import Exact, report_job
from .pipeline import Line
from .warm_up import warmed

Adapter = Literal["plain", "grounded"]
ADAPTERS: tuple[Adapter, ...] = ("plain", "grounded")
DOWNSTREAM: tuple[Task, ...] = ("vqa", "report")
PROBED: tuple[Source, ...] = ("none", "predicted")
"""Controls of the evidence are not probed: they are no system that anybody would use."""


def evidence_settings(line: Line, kind: Adapter) -> EvidenceSettings:
    """The plain adapter never sees evidence."""
    return line.recipe.evidence if kind == "grounded" else PLAIN


def tuned(line: Line, kind: Adapter) -> GroundedMLLM:
    """The base with one adapter, trained now, or further, if it is not finished."""
    folder = line.out / f"adapter-{kind}"
    dim, core = line.grounder.embedding_dim, line.grounder_dir
    if (folder / "complete").exists():
        return load(line.recipe.mllm, dim, folder, vision=core)
    aligned, start = line.aligned_dir, warmed(line)
    with line.timed(f"adapter {kind}"):
        model = load(line.recipe.mllm, dim, start, vision=core)
        source: Source = "predicted" if kind == "grounded" else "none"
        items, held_out = (
            [item for item in [*line.questions, *line.reports] if item.image.split == split]
            for split in ("train", line.recipe.held_out_split)
        )
        examples, weights = mixed(line, kind, items, prompts(line, kind, source, items))
        tried = prompts(line, kind, source, held_out)
        name, out = f"adapter {kind}", line.out / f"train-{kind}"
        train(model, examples, evidence_settings(line, kind), line.recipe.mllm_train, out, name, tried, weights)
        if processes().is_main_process:
            model.save(folder, evidence_settings(line, kind))
            write_learned(folder, {path for example in examples for path in example.pictures}, start or aligned)
            write_atomic(folder / "complete", "")
        processes().wait_for_everyone()
    return model


def prompts(line: Line, kind: Adapter, source: Source, items: Sequence[Question | Report]) -> list[Example]:
    """Prompts' parts of each item; reports are to cite where the recipe's evidence asks for it, as questions are."""
    sections, cites = line.recipe.mllm_train.sections, evidence_settings(line, kind).cite
    examples = []
    for item, example in zip(items, line.examples(source, items), strict=True):
        if isinstance(item, Report) and item.section == "both" and sections:
            weighed = (("Findings:", sections.findings), ("Impression:", sections.impression))
            example = replace(example, parts=weighed)
        examples.append(to_cited(item, example) if isinstance(item, Report) and cites else example)
    return examples


def mixed(
    line: Line, kind: Adapter, items: Sequence[Question | Report], examples: list[Example]
) -> tuple[list[Example], list[float] | None]:
    """What an adapter learns from, and how often each is drawn, by the recipe's `mix`; without, once an epoch.

    Where reports are to cite they are learned both ways: as they are, and with citations.
    """
    if (mix := line.recipe.mllm_train.mix) is None:
        return examples, None
    questions = [e for item, e in zip(items, examples, strict=True) if isinstance(item, Question)]
    reports = [e for item, e in zip(items, examples, strict=True) if isinstance(item, Report)]
    cites = evidence_settings(line, kind).cite
    plain = [replace(example, may_cite=False) for example in reports]
    kinds = [
        (questions, mix.vqa),
        (plain, mix.report if cites else mix.report + mix.cited),
        (reports if cites else [], mix.cited),
    ]
    drawn = [(examples, share) for examples, share in kinds if examples and share]
    if not drawn:
        raise BadInput("nothing to draw: every kind of example that is there has share 0.", fix="key 'mllm_train.mix'")
    weights = [share / len(examples) for examples, share in drawn for _ in examples]
    return [example for examples, _ in drawn for example in examples], weights


def predict_source(
    line: Line, model: GroundedMLLM, kind: Adapter, source: Source, only: tuple[Task, ...] = DOWNSTREAM
) -> None:
    """Records of every scored question and report with one evidence source; continues after the last whole line."""
    tasks = {"vqa": (line.recipe.vqa, line.questions), "report": (line.recipe.report, line.reports)}
    for task in only:
        section, items = tasks[task]
        if section is None:
            continue
        scored = [item for item in items if item.image.split == line.recipe.eval_split]
        if source == "oracle":  # of a mix, the sets that know their true regions
            scored = [item for item in scored if item.image.phrases]
        examples = prompts(line, kind, source, scored)
        exact = exact_of(line, source, [item for item in scored if isinstance(item, Report)])
        jobs = [job(line, item, example, kind, exact) for item, example in zip(scored, examples, strict=True)]
        path = line.out / "records" / f"{task}-{source}.jsonl"
        _write(line, model, kind, jobs, section.generate, path)


def predict_probe(line: Line, model: GroundedMLLM, kind: Adapter, source: Source, probe: Probe) -> None:
    """Records of the scored questions under one probe, `probes/vqa-SOURCE.PROBE.jsonl`, for `medglip eval probes`.

    A changed picture's record has the id, image and cluster of its original, so that the two pair.
    """
    if (section := line.recipe.vqa) is None:
        return
    scored = [question for question in line.questions if question.image.split == line.recipe.eval_split]
    asked = probed(probe, scored, line.recipe.seed)
    examples = line.examples(source, asked, None if source == "none" else line.caches_of(asked, probe == "flipped"))
    jobs = [job(line, question, example, kind) for question, example in zip(asked, examples, strict=True)]
    originals = {question.question_id: question.image for question in scored}
    for found in jobs:
        if original := originals.get(found.id):
            found.fields.update(_identity(original))
    path = line.out / "probes" / f"vqa-{source}.{probe}.jsonl"
    _write(line, model, kind, jobs, section.generate, path)


def _write(
    line: Line, model: GroundedMLLM, kind: Adapter, jobs: Sequence[Job], generate: GenerateSettings, path: Path
) -> None:
    shown = evidence_settings(line, kind)
    skipped = shared(jobs, path, lambda mine, own: predict(model, mine, shown, generate, own))
    line.skipped.entries += skipped.entries


def job(line: Line, item: Question | Report, example: Example, kind: Adapter, exact: Exact | None = None) -> Job:
    """The record's fields of one question or report, and how its text is read.

    `exact`: what reports are judged with.
    """
    names = {"model": line.recipe.mllm.base, "adapter": f"adapter-{kind}"}
    settings = evidence_settings(line, kind)
    if isinstance(item, Question):
        return question_job(item, example, settings, names)
    section = line.recipe.report
    return report_job(item, example, settings, names, exact, section.negation if section else "rules")


def exact_of(line: Line, source: Source, items: Sequence[Report]) -> Exact | None:
    """What reports are judged with where findings are annotated; None where they are not, as in most sets.

    Sentences of the adapter without evidence are grounded in what the core finds: writing first, grounding after.
    """
    labels = finding_labels(line.reports) if items else ()
    if not labels:
        return None
    found = line.evidence("predicted", items) if source == "none" else []
    return Exact(labels=labels, found=dict(zip((item.report_id for item in items), found, strict=False)))


def tune_and_predict(line: Line, kind: Adapter, only: tuple[Task, ...] = DOWNSTREAM) -> None:
    """One adapter, loaded once, and the predictions of its evidence sources."""
    sources = sources_of(line, kind)
    if not sources:
        return
    model = tuned(line, kind)
    for source in sources:
        with line.timed(f"predict {source}"):
            predict_source(line, model, kind, source, only)
        for probe in line.recipe.probes if "vqa" in only and source in PROBED else ():
            with line.timed(f"probe {source} {probe}"):
                predict_probe(line, model, kind, source, probe)


def prepared(recipe: Path) -> Line:
    """The line of a recipe with its core trained and its regions found: by the first of several processes alone, what
    is not trained, so that none of them draws a picture or looks for a region twice.
    """
    line, ranks = Line(read_settings(Recipe, recipe)), processes()
    with ranks.main_process_first():
        _ = line.phantom_dir, line.images
    line.train_core()
    with ranks.main_process_first():
        line.find_regions()
    return line


def train_adapters(recipe: Path) -> None:
    """Every stage of a recipe up to its two adapters; every process of the training calls it."""
    line = prepared(recipe)
    for kind in ADAPTERS:
        if sources_of(line, kind):
            tuned(line, kind)


def predict_task(recipe: Path, task: Task) -> None:
    """Records of one task with every evidence source of a recipe; every process calls it."""
    line = prepared(recipe)
    for kind in ADAPTERS:
        tune_and_predict(line, kind, (task,))


def sources_of(line: Line, kind: Adapter) -> list[Source]:
    """Evidence sources that this adapter predicts with."""
    return [source for source in line.recipe.sources if (source == "none") == (kind == "plain")]
