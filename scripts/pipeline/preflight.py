"""What would fail hours later is looked at first: base and licence gate, core, packages, weights of scores, disk."""

import logging
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from ...grounding.bad_input import BadInput, in_one_line
from ...grounding.files import read_object
from ...grounding.grounders.pretrained import checkpoint_folder, has_no_weights, is_hub_name
from ...grounding.training.loop import processes
from ...report.datasets.sets import REPORT_SETS
from ...vqa.families import family_of
from ...vqa.model.identity import check_updates, has_our_tower
from ...vqa.model.lora import require_four_bit
from ...vqa.model.settings import MllmSettings
from ...vqa.model.shipped import shipped_folder
from ..recipe import Recipe
from ..scorers.clinical import missing_scores

if TYPE_CHECKING:
    from .pipeline import Pipeline

logger = logging.getLogger("medglip")

GATED = ("google/medgemma", "google/gemma", "google/paligemma", "meta-llama/")
"""Beginnings of hub names behind a licence that every user accepts on the hub."""
BYTES_AN_IMAGE = 60_000
"""Cached regions of one image: 20 regions of vectors at half precision, compressed; measured 20 to 60 kB."""
SPARE_BYTES = 2**30
"""Records, pages and logs."""


def check_models(recipe: Recipe) -> None:
    """Raise `BadInput` for a core, start or base that cannot be loaded, and for a package that is missing.

    Nothing is loaded but configurations. With `eval.require_scores` it raises for a clinical score that the run would
    not have.
    """
    grounding = recipe.grounding
    for name in filter(None, (grounding.core, grounding.start_from, *grounding.half_cores)):
        checkpoint_folder(name)
    if (name := recipe.evidence.grounder) and not is_hub_name(name) and not has_no_weights(name):
        checkpoint_folder(name)
    if not (recipe.vqa or recipe.report):
        return
    check_base(recipe.mllm)
    if recipe.mllm.aligned:
        check_updates(shipped_folder("aligned", recipe.mllm.aligned), recipe.mllm.lora.model_dump(mode="json"))
    base = recipe.mllm.base
    if recipe.mllm_train.by_image and base != "smollm2-135m" and not has_our_tower(base):
        raise BadInput("this base cannot share the tokens of an image.", fix="leave mllm_train.by_image out")
    if recipe.mllm.lora.four_bit:
        require_four_bit()
    if recipe.report and recipe.eval.require_scores:
        _ = _unscored(recipe)


def tell_unscored(recipe: Recipe) -> None:
    """Say which clinical scores the run will not have, a line each, where reports of real studies are written.

    Called when data are read: a wrong path is told before these lines.
    """
    for line in _unscored(recipe) if processes().is_main_process else ():
        logger.warning("%s", line)


def _unscored(recipe: Recipe) -> list[str]:
    has_rows = recipe.report is not None and any(REPORT_SETS[name].has_rows for name in recipe.report.sets)
    return missing_scores(recipe.eval) if has_rows else []


def check_base(settings: MllmSettings) -> None:
    """Raise `BadInput` for a base that is no image-text model, is not whole, or that the hub would not give."""
    base = settings.base
    if is_hub_name(base):
        _check_hub(base)
        return
    if not (folder := Path(base)).is_dir():
        if folder.is_absolute() or "/" in base:
            fix = "mllm.base: smollm2-135m, a model folder, or a hub name such as Qwen/Qwen3-VL-4B-Instruct"
            raise BadInput("no such model folder.", file=base, fix=fix)
        return  # a name of ours
    read_object(folder / "config.json")
    if not any(folder.glob("*.safetensors")):
        raise BadInput("holds no *.safetensors.", file=folder, fix="download the model again, whole")
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    except Exception as error:  # of whatever class: see `damaged`
        raise BadInput(f"no image-text model: {in_one_line(error)}", file=base, fix="mllm.base") from error
    family_of(config)


def _check_hub(name: str) -> None:
    """The configuration is in the hub's local cache, or the hub gives it to us."""
    from huggingface_hub import HfApi, get_token, try_to_load_from_cache
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    if isinstance(try_to_load_from_cache(name, "config.json"), str):
        return
    url = f"https://huggingface.co/{name}"
    gate = f"accept the licence at {url}, then `hf auth login` or set HF_TOKEN"
    if name.startswith(GATED) and not get_token():
        raise BadInput(f"{name} is behind a licence gate, and there is no token of the hub here.", fix=gate)
    try:
        HfApi().auth_check(name)
    except GatedRepoError as error:
        raise BadInput(f"{name} is behind a licence gate that this token does not open.", fix=gate) from error
    except RepositoryNotFoundError as error:
        raise BadInput(f"the hub has no model {name}.", fix=f"look at {url}, or give a model folder") from error
    except Exception as error:  # no network, a proxy, the hub itself
        problem = f"{name} is not in the hub's local cache, and the hub cannot be asked ({in_one_line(error)})."
        raise BadInput(problem, fix="download it where there is a network, then mllm.base: FOLDER") from error


def check_disk(pipeline: "Pipeline") -> None:
    """Raise `BadInput` where regions, checkpoints and adapters of the run will not fit. Called when data are read."""
    recipe = pipeline.recipe
    images = {image.image_id for item in pipeline.all_items for image in item.images}
    needed = len(images) * BYTES_AN_IMAGE + _adapter_bytes(recipe) + SPARE_BYTES
    free = shutil.disk_usage(recipe.out_dir).free
    if free < needed:
        problem = f"{free / 2**30:.1f} GiB are free, about {needed / 2**30:.1f} GiB are needed"
        raise BadInput(f"{problem} ({len(images)} images, two adapters).", file=recipe.out_dir, fix="another out_dir")


def _adapter_bytes(recipe: Recipe) -> int:
    """Weights of two adapters in fp32, each kept thrice (result, checkpoint, best) and with two moments of AdamW."""
    folder = Path(recipe.mllm.base)
    if not (recipe.vqa or recipe.report) or not (folder / "config.json").is_file():
        return 2**30 if recipe.vqa or recipe.report else 0
    values = read_object(folder / "config.json")
    text = values.get("text_config") or values
    width, depth = int(text.get("hidden_size", 4096)), int(text.get("num_hidden_layers", 32))
    weights = depth * len(recipe.mllm.lora.linears) * 2 * width * recipe.mllm.lora.r + 4 * width**2
    return 2 * 5 * 4 * weights
