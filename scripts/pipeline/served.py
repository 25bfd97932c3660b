"""`medglip vqa|report predict RECIPE --endpoint`: every source and probe of a recipe, asked of a served model.

Nothing is trained: regions are those of the run's core, of the core that the recipe names, or of the shipped `small`.
"""

import logging
import re
from collections.abc import Sequence
from functools import cached_property, partial
from pathlib import Path

from ...grounding.bad_input import BadInput, Skipped
from ...grounding.evidence.evidence import PLAIN, EvidenceSettings
from ...grounding.evidence.names import Form, needs_vectors, parse_forms
from ...grounding.files import claim_folder
from ...grounding.grounders.medglip import MedGlipGrounder
from ...grounding.grounders.pretrained import checkpoint_folder
from ...grounding.records import Task
from ...grounding.run_folder import RunFolder
from ...grounding.served.client import Endpoint
from ...grounding.settings import read_settings
from ...vqa.inference.settings import GenerateSettings
from ...vqa.served.notation import notation_of
from ...vqa.served.predict import count_odd, predict_served
from ...vqa.task import Job
from ..inference.served import words_only
from ..page.gather import write_page
from ..recipe import Recipe
from .pipeline import Pipeline
from .run import RecordWriter, predict_sources
from .tasks import TASKS

logger = logging.getLogger("medglip")
USUAL_CORE = "small"


class UntrainedPipeline(Pipeline):
    """A recipe whose core is taken as it is: trained before, named by the recipe, or else the shipped one."""

    @cached_property
    def grounder(self) -> MedGlipGrounder:
        """The core."""
        if self.recipe.grounding.core:
            return super().grounder
        if self.grounder_dir.is_dir():
            return MedGlipGrounder.from_pretrained(self.grounder_dir)
        logger.warning("note: the core of this recipe is not trained; %r finds the regions", USUAL_CORE)
        return MedGlipGrounder.from_pretrained(checkpoint_folder(USUAL_CORE))


class ServedAnswers:
    """A served model over several files of records. `num_unanswered`: questions without an answer so far."""

    def __init__(self, endpoint: Endpoint, boxes: str | None):
        self.endpoint, self.notation = endpoint, notation_of(endpoint.model, boxes)
        self.num_unanswered, self.paths = 0, list[Path]()

    def predict(self, pipeline: Pipeline, tasks: Sequence[Task], folder: str = "") -> None:
        """Every source of the pipeline's recipe, and its probes; `folder`: see `RecordWriter`."""
        for source in pipeline.recipe.sources:
            # without evidence the prompt is plain, as that of an adapter that learned without
            shown = PLAIN if source == "none" else pipeline.recipe.evidence
            names = {"model": self.endpoint.model, "adapter": ""}
            writer = RecordWriter(names=names, shown=shown, write=partial(self._write, shown), folder=folder)
            predict_sources(pipeline, writer, (source,), tasks)

    def _write(self, shown: EvidenceSettings, jobs: Sequence[Job], decoding: GenerateSettings, path: Path) -> Skipped:
        skipped, num = predict_served(self.endpoint, self.notation, jobs, shown, decoding, path)
        self.num_unanswered += num
        self.paths.append(path)
        return skipped


def predict_recipe(
    recipe_path: Path, task: Task, endpoint: Endpoint, boxes: str | None, forms: str | None = None
) -> tuple[list[str], bool]:
    """Records of a task in `records/MODEL`, and the page; called again, it asks for what has no answer yet.

    `forms`: of the evidence, `text+crops`; None: the recipe's, but for vectors. Returns the lines for the terminal, and
    whether everything is answered. Raises `BadInput` as the pipeline and the client do, and for records made otherwise.
    """
    recipe = read_settings(Recipe, recipe_path)
    if (section := TASKS[task].section(recipe)) is None:
        raise BadInput(f"the recipe has no section {task!r}.", file=recipe_path, fix="give a recipe that has it")
    shown = words_only(recipe.evidence.forms) if forms is None else sendable(parse_forms(forms))
    answers, folder, name = ServedAnswers(endpoint, boxes), RunFolder(recipe.out_dir), folder_of(endpoint.model)
    with folder.locked():
        pipeline = UntrainedPipeline(recipe)
        pipeline.recipe = with_forms(recipe, shown)  # what was claimed is the recipe as it is
        made = {"model": endpoint.model, "boxes": boxes or "", "forms": list(shown)}
        made |= {"finder": pipeline.grounder.fingerprint}
        made |= {"generate": section.generate.model_dump(mode="json", exclude={"batch_size", "merge"})}
        file = folder.records_dir / name / f"{task}.asked.json"
        claim_folder(file, made, "these records were made with other settings", f"remove {file.parent} to ask anew")
        answers.predict(pipeline, (task,), name)
        pipeline.skipped.write(folder.skipped_file)
        lines = [*(f"{path}: {count_odd(path)}" for path in answers.paths), pipeline.skipped.summary()]
        if any(path.is_file() and path.stat().st_size for path in answers.paths):  # something was answered
            lines.append(f"page: {write_page([folder.path], folder.page_file, settings=recipe.eval)}")
    if answers.num_unanswered:
        lines.append(f"{answers.num_unanswered} without an answer: call again, only these are asked")
    return [*lines, count_odd(*answers.paths)], not answers.num_unanswered


def with_forms(recipe: Recipe, forms: Sequence[Form]) -> Recipe:
    """The recipe with other forms of evidence."""
    return recipe.model_copy(update={"evidence": recipe.evidence.model_copy(update={"forms": tuple(forms)})})


def sendable(forms: Sequence[Form]) -> Sequence[Form]:
    """The forms. Raises `BadInput` where one of them needs vectors of regions."""
    if vectors := [form for form in forms if needs_vectors([form])]:
        fix = "--forms text+crops: words and images can be sent"
        raise BadInput(f"the form {vectors[0]!r} cannot be sent to a server.", fix=fix)
    return forms


def folder_of(model: str) -> str:
    """A model's name as one of a folder: `Qwen/Qwen3-VL-4B` is `Qwen-Qwen3-VL-4B`."""
    return re.sub(r"[^\w.-]+", "-", model).strip("-.") or "model"
