"""Questions and captions derived from a recipe's region sets, once a run, in `derived.jsonl`."""

import logging
from collections.abc import Callable
from pathlib import Path

from datasets import Dataset

from ...grounding.files import sha256, write_atomic
from ...grounding.recipe import CoreRecipe
from ...vqa.derived.derive import derive, write
from ...vqa.derived.settings import DeriveSettings

logger = logging.getLogger("medglip")


def derived_file(recipe: CoreRecipe, settings: DeriveSettings, images: Callable[[], Dataset]) -> Path:
    """The items of the recipe's region sets, `images`, which are asked for only where the settings have changed."""
    file = recipe.out_dir / "derived.jsonl"
    # items follow from these settings alone; with others they are made anew
    stamp = sha256(recipe.model_dump_json(include={"seed", "phantoms", "grounding"}) + settings.model_dump_json())
    stamp_file = file.with_suffix(".sha256")
    if not (file.exists() and stamp_file.exists() and stamp_file.read_text() == stamp):
        items, left_out = derive(images(), settings, {s.name: s.licence for s in recipe.grounding.data})
        write(file, items)  # before the stamp: if it is killed in between, they are made again
        write_atomic(stamp_file, stamp)
        left_out.write(file.with_suffix(".skipped.jsonl"))
        logger.info("   %d questions and captions derived; %s", len(items), left_out.summary())
    return file
