"""`medglip vqa ablate RECIPE --endpoint`: the grid of evidence, asked of a served model; nothing is trained."""

from pathlib import Path

from ...grounding.bad_input import BadInput, check_name
from ...grounding.records import Task
from ...grounding.run_folder import RunFolder
from ...grounding.served.client import Endpoint
from ...grounding.settings import read_settings
from ..pipeline.pipeline import Adapter as AdapterKind
from ..pipeline.pipeline import Pipeline
from ..pipeline.served import ServedAnswers, UntrainedPipeline, folder_of, sendable
from ..pipeline.tasks import TASKS
from ..recipe import Recipe
from .ablate import Grid, run_cells


def run_served_grid(
    recipe_path: Path, grid: Grid, task: str, endpoint: Endpoint, boxes: str | None = None, out: Path | None = None
) -> str:
    """Ask for what is not there yet, score all; return the table. Raises `BadInput` where answers are missing then,
    and for sources that an adapter would have to learn with (`oracle:oracle`).
    """
    name, recipe = check_name(task, TASKS, "task"), read_settings(Recipe, recipe_path)
    if getattr(recipe, name) is None:
        raise BadInput(f"the recipe has no section {name!r}.", file=recipe_path, fix="ablate another --task")
    if learned := next((one for one in grid.sources if one.learned), None):
        fix = f"--sources {learned.source}: the source that it is asked with"
        raise BadInput(f"a served model learns nothing here, not with {learned.learned!r} either.", fix=fix)
    for forms in grid.forms:
        sendable(forms)
    answers = ServedAnswers(endpoint, boxes)

    def answer(cell: Pipeline, kind: AdapterKind, tasks: tuple[Task, ...]) -> None:
        answers.predict(cell, tasks)
        if answers.num_unanswered:
            problem = f"{answers.num_unanswered} questions of {cell.folder.path.name} have no answer yet."
            raise BadInput(problem, fix="call again: only these are asked")

    out = out or recipe.out_dir / f"ablation-{folder_of(endpoint.model)}"
    with RunFolder(recipe.out_dir).locked(), RunFolder(out).locked():
        base = UntrainedPipeline(recipe)
        # the cells say in their recipes whose answers they hold
        mllm = recipe.mllm.model_copy(update={"base": endpoint.model})
        base.recipe = recipe.model_copy(update={"mllm": mllm})
        return run_cells(base, grid, name, out, answer)
