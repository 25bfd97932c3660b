"""A public zero-shot detector, trained further on the region sets of a recipe."""

import json
from pathlib import Path

from ...grounding.files import write_atomic
from ...grounding.grounders.pretrained import load_grounder
from ...grounding.grounders.zero_shot import ZeroShotGrounder
from ...grounding.training.detector import check_tunable
from ...grounding.training.detector import fine_tune as fine_tune_detector
from ...grounding.training.settings import FineTuneSettings
from .pipeline import Pipeline


def fine_tune(
    pipeline: Pipeline, checkpoint: str, out: Path, settings: FineTuneSettings, *, download: bool = False
) -> Path:
    """Train the detector on the split `train` of the recipe's region sets; return its folder, `out / "model"`.

    What the sets annotate is kept beside the weights as `vocabulary.json`, so that `medglip grounding predict` knows
    what to look for. Sets of images that could not be read are listed in `skipped.jsonl` of the folder. Raises
    `BadInput` as `zero_shot_train.fine_tune` does, before any data are read where the detector cannot be trained.
    """
    grounder = load_grounder(checkpoint, device="cpu", allow_download=download)  # the training chooses its own device
    check_tunable(grounder)
    assert isinstance(grounder, ZeroShotGrounder)
    folder = fine_tune_detector(grounder, pipeline.images, settings, out, sets=pipeline.recipe.grounding.data)
    write_atomic(folder / "vocabulary.json", json.dumps(pipeline.vocabulary, indent=1))
    return folder
