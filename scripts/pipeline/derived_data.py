"""Questions and captions derived from a recipe's region sets, once a run, in `derived.jsonl`."""

from collections.abc import Callable
from pathlib import Path

from datasets import Dataset

from ...grounding.bad_input import Skipped
from ...grounding.files import sha256, write_atomic
from ...grounding.recipe import CoreRecipe
from ...grounding.training.stage import HeldOut, core_images
from ...vqa.derived.derive import derive, write
from ...vqa.derived.settings import DeriveSettings


def derived_file(recipe: CoreRecipe, settings: DeriveSettings, images: Callable[[], Dataset]) -> Path:
    """The items of the recipe's region sets, `studies`, which are asked for only where the settings have changed."""
    file = recipe.out_dir / "derived.jsonl"
    stamp = sha256(recipe.model_dump_json(include={"seed", "phantoms", "grounding"}) + settings.model_dump_json())
    made_of = file.with_suffix(".sha256")
    if not (file.exists() and made_of.exists() and made_of.read_text() == stamp):
        items, left_out = derive(images(), settings, {s.name: s.licence for s in recipe.grounding.data})
        write(file, items)
        write_atomic(made_of, stamp)
        left_out.write(file.with_suffix(".skipped.jsonl"))
        print(f"   {len(items)} questions and captions derived; {left_out.summary()}")
    return file


def derived_items(recipe: CoreRecipe, settings: DeriveSettings, skipped: Skipped) -> tuple[Path, Dataset]:
    """The file of the items derived from the recipe's region sets, and their images."""
    images = core_images(recipe, HeldOut(), skipped)
    return derived_file(recipe, settings, lambda: images), images


def without_phantoms(recipe: CoreRecipe) -> CoreRecipe:
    """The recipe with its real region sets alone: phantoms come with questions of their own."""
    real = tuple(d for d in recipe.grounding.data if d.layout != "phantom")
    return recipe.model_copy(update={"grounding": recipe.grounding.model_copy(update={"data": real})})
