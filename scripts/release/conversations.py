"""`medglip data export chat`: what an adapter of a recipe would learn, as conversations for other training programs."""

import json
from pathlib import Path

from tqdm import tqdm

from ...grounding.bad_input import BadInput, Skipped
from ...grounding.evidence.evidence import PLAIN
from ...grounding.evidence.names import SOURCES, Source
from ...grounding.evidence.sources import RegionCaches
from ...grounding.files import write_atomic
from ...grounding.settings import read_settings
from ...vqa.publish.conversations import Conversations
from ...vqa.served.notation import notation_of
from ..pipeline.pipeline import Pipeline
from ..recipe import Recipe


def export_conversations(
    recipe_path: Path, out: Path, form: str, source: Source, split: str = "train", boxes: str | None = None
) -> tuple[int, Skipped]:
    """Write one line for each question and report of a split; returns how many, and what was left out.

    The core is trained first where the recipe trains one and the source needs it. Evidence is written as the recipe
    shows it, but for region tokens, which are words and boxes instead; nothing of it is dropped or moved. Pictures that
    are not files as they stand lie beside `out`, in `NAME-images`.
    """
    recipe = read_settings(Recipe, recipe_path)
    pipeline = Pipeline(recipe)
    with pipeline.folder.locked():
        shown = PLAIN
        if source != "none":
            forms = tuple(one for one in recipe.evidence.forms if one != "tokens") or ("text",)
            shown = recipe.evidence.model_copy(update={"forms": forms})
        folder = out.with_name(f"{out.stem}-images")
        notation = notation_of(recipe.mllm.base, boxes)
        writer = Conversations(format=form, settings=shown, notation=notation, folder=folder)
        lines: list[str] = []
        skipped = pipeline.skipped
        for task, all_items in pipeline.items.items():
            items = [item for item in all_items if item.image.split == split]
            if SOURCES[source].needs_truth:
                items = [item for item in items if item.image.phrases]
            if not items:
                continue
            caches = RegionCaches(predicted={}, truth={}) if source == "none" else pipeline.caches_of(items)
            for example in tqdm(pipeline.examples(task, shown, source, items, caches), desc=task, disable=None):
                if example.target is None:
                    continue
                try:
                    lines.append(json.dumps(writer.row(example), ensure_ascii=False) + "\n")
                except BadInput as error:
                    skipped.add(example.example_id, error)
    if not lines:
        fix = f"the recipe's sets have no split {split!r} with answers, or --split names another"
        raise BadInput("nothing to write.", file=recipe_path, fix=fix)
    write_atomic(out, "".join(lines))
    return len(lines), skipped
