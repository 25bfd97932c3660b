"""`medglip vqa align RECIPE`: derived questions of any region sets, two stages, and a probe of what came of it."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from pydantic import Field

from ..eval.probes import ProbeResult
from ..eval.probes import probe as score_probes
from ..eval.records import read_records
from ..eval.settings import EvalSettings
from ..eval.table import probes_text
from ..grounding.bad_input import BadInput, Skipped
from ..grounding.checkpoints import checkpoint_folder
from ..grounding.evidence import PLAIN, Evidence
from ..grounding.medglip_grounder import MedGlipGrounder
from ..grounding.recipe import CoreRecipe, HeldOut, core_studies
from ..grounding.records import write_atomic
from ..grounding.settings import read_settings
from ..grounding.training import processes
from ..vqa.datasets import derived
from ..vqa.derived.derive import DeriveSettings
from ..vqa.mllm.align import AlignSettings, aligned
from ..vqa.mllm.generate import GenerateSettings
from ..vqa.mllm.model import GroundedMLLM, MllmSettings, load
from ..vqa.mllm.predict import predict
from ..vqa.mllm.prompt import Example
from ..vqa.probes import blank
from ..vqa.task import Question, to_example
from .derived_data import CAPTION, derived_file
from .tune import question_job


class AlignRecipe(CoreRecipe):
    """Which base learns to see, from what, and how that is tested."""

    core: str = "small"
    """Whose image tower the small default looks through: a shipped core by name, or a folder."""
    mllm: MllmSettings = MllmSettings()
    """The base and its LoRA; a recipe that starts from the result says the same."""
    derive: DeriveSettings = DeriveSettings()
    """Questions and captions from the region sets."""
    align: AlignSettings = AlignSettings()
    """The two stages."""
    max_probed: int = Field(default=400, ge=2)
    """At most so many held-out questions are asked with the real and with the blank picture."""
    generate: GenerateSettings = GenerateSettings(max_new_tokens=12)
    """Answers of the probe."""
    eval: EvalSettings = EvalSettings()
    """Scores and intervals of the probe."""


def align_recipe(path: Path, out: Path | None = None) -> Path:
    """Align, probe, print; return the adapter's folder: `out`, else one in the cache. Called again, it continues."""
    recipe = read_settings(AlignRecipe, path)
    skipped = Skipped()
    with processes().main_process_first():  # it alone draws phantoms and derives; the others find them
        file = derived_file(recipe, recipe.derive, lambda: core_studies(recipe, HeldOut(), skipped))
    questions = derived.read(file)  # without their regions, whose masks would fill the memory for nothing
    training = [to_aligned_example(question) for question in questions if question.study.split == "train"]
    core = checkpoint_folder(recipe.core)
    dim = MedGlipGrounder.from_pretrained(core).embedding_dim
    folder = aligned(recipe.mllm, dim, training, recipe.align, vision=core, out_dir=out)
    if not processes().is_main_process:
        return folder
    skipped.write(recipe.out_dir / "skipped.jsonl")
    asked = probed_questions(questions, recipe)
    mllm = load(recipe.mllm.model_copy(update={"aligned": ""}), dim, folder, vision=core)
    found = blank_probe(mllm, asked, recipe, recipe.out_dir / "probe" / folder.name)
    write_atomic(recipe.out_dir / "probe" / folder.name / "probe.json", json.dumps(asdict(found), indent=1))
    print(probes_text(found))
    print(verdict(found))
    print(f"aligned: {folder}\nin a recipe: mllm: {{ aligned: {folder} }}")
    return folder


def to_aligned_example(question: Question) -> Example:
    """The prompt's parts without evidence; a caption is asked for in its own words, not as a short answer."""
    example = to_example(question, Evidence.none(question.study.size_px))
    return replace(example, instruction=question.question) if question.content_type == CAPTION else example


def probed_questions(questions: list[Question], recipe: AlignRecipe) -> list[Question]:
    """Held-out questions with short answers, at most `max_probed`, drawn with the seed."""
    held_out = [q for q in questions if q.study.split == recipe.eval_split and q.content_type != CAPTION]
    if not held_out:
        raise BadInput(f"no question is of split {recipe.eval_split!r}.", fix="eval_split: val, or test")
    size = min(recipe.max_probed, len(held_out))
    drawn = np.random.default_rng(recipe.seed).choice(len(held_out), size, replace=False)
    return [held_out[k] for k in sorted(drawn.tolist())]


def blank_probe(mllm: GroundedMLLM, questions: list[Question], recipe: AlignRecipe, folder: Path) -> ProbeResult:
    """Answers with the real pictures and with grey ones; drops with their intervals. Continues in `folder`."""
    files: list[Path] = []
    names = {"model": recipe.mllm.base, "adapter": "aligned"}
    for name, asked in (("original", questions), ("blank", blank(questions))):
        examples = [to_aligned_example(question) for question in asked]
        jobs = [question_job(q, e, PLAIN, names) for q, e in zip(asked, examples, strict=True)]
        files.append(folder / f"{name}.jsonl")
        predict(mllm, jobs, PLAIN, recipe.generate, files[-1])
    return score_probes([read_records([file], "vqa") for file in files], [file.name for file in files], recipe.eval)


def verdict(found: ProbeResult) -> str:
    """One sentence: does the answer hang on the picture?"""
    drop = found.drops["blank"]["overall_accuracy"].difference
    interval = "no interval" if drop.low is None else f"[{drop.low:+.3f}, {drop.high:+.3f}]"
    sees = drop.low is not None and drop.low > 0
    said = "it looks at the picture" if sees else "NOT ALIGNED: it does as well without the picture"
    return f"blank-image probe: overall accuracy drops by {drop.value:+.3f} {interval}, n={drop.n}: {said}"
