"""One finished run of the smallest line, on tiny models, made once for all workers."""

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from making import make_once

SOURCES = ("none", "predicted", "oracle", "shuffled", "random")


@pytest.fixture(scope="session")
def write_recipe(tiny_base: Path) -> Callable[[Path], Path]:
    """Writes a recipe of the smallest line that has every stage into a folder."""
    train = {"steps": 3, "batch_size": 2, "warmup_steps": 1, "checkpoint_every": 1}
    sizes = {"image_size": 64, "width": 16, "stage_widths": [8, 8, 8, 8], "hidden_size": 8, "depths": [1, 1, 1, 2]}
    recipe = {
        "name": "tiny",
        "out_dir": "",
        "phantoms": {"num_train": 7, "num_val": 7, "num_test": 14, "size_px": 96},
        "grounding": {
            "data": [{"layout": "phantom", "path": "phantoms"}],
            "settings": {"model": sizes, "train": train},
        },
        "evidence": {"forms": ["text", "tokens", "crops"], "max_regions": 2, "min_score": 0.0},
        "sources": list(SOURCES),
        "mllm": {"base": str(tiny_base), "dtype": "fp32", "lora": {"r": 2}},
        "mllm_train": {"train": train},
        "vqa": {"data": "phantom", "max_test": 30, "generate": {"max_new_tokens": 2}},
        "report": {"data": "phantom", "max_test": 4, "generate": {"max_new_tokens": 4}},
        "eval": {"resamples": 20, "metrics": ["bleu", "rouge_l", "cider"]},  # METEOR starts Java: slow
    }

    def write(folder: Path) -> Path:
        path = folder / "recipe.yaml"
        path.write_text(yaml.safe_dump(recipe | {"out_dir": str(folder / "run")}))
        return path

    return write


@pytest.fixture(scope="session")
def tiny_run(write_recipe: Callable[[Path], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run."""
    from medglip.scripts.pipeline.run import run

    def make(folder: Path) -> Path:
        run(write_recipe(folder))
        return folder / "run"

    return make_once(tmp_path_factory, "line", make)
