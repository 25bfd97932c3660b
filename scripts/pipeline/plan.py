"""`medglip vqa plan`: what the adapters of a recipe need, before any weights are fetched."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...grounding.bad_input import BadInput
from ...grounding.evidence.forms.tokens import TokenShape
from ...grounding.evidence.names import FORMS
from ...grounding.grounders.pretrained import checkpoint_folder
from ...grounding.model.config import MedGlipConfig
from ...grounding.model.features import FILE as FEATURES
from ...grounding.run_folder import RunFolder
from ...grounding.settings import read_settings
from ...grounding.training.settings import ModelSettings
from ...vqa.model.footprint import Footprint, measure
from ...vqa.model.gpus import GPUS, Gpu
from ...vqa.model.grounded_mllm import resolve
from ...vqa.model.settings import MllmSettings
from ..recipe import Recipe, TuneSettings

USED = 0.35
"""Part of a GPU's peak that a LoRA training is taken to reach; `python -m medglip.scripts.bench.gpu` measures it."""
WORDS, WORDS_A_REGION = 250, 15
"""Tokens of instruction and context, and of a line of evidence, about."""
BATCHES = (1, 2, 4, 8, 16, 32)
CONFIG = "config.json"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One base with one adapter, a prompt of so many tokens, and how it is trained.

    `pictures`, `labels`: of a prompt, and tokens of its answer.
    """

    base: str
    footprint: Footprint
    mllm: MllmSettings
    training: TuneSettings
    tokens: int
    pictures: int
    labels: int

    @property
    def precision(self) -> str:
        """Of the recipe on a GPU: fp32, bf16 or 4bit."""
        return "4bit" if self.mllm.lora.four_bit else "fp32" if self.mllm.dtype == "fp32" else "bf16"

    def step_gib(self, precision: str, batch_size: int, is_checkpointed: bool) -> float:
        """GiB of a training step on one GPU."""
        counted = self.footprint.step_bytes(precision, batch_size, self.tokens, self.labels, is_checkpointed)
        return counted / 2**30

    def hours(self, tflops: float) -> float:
        """Of one adapter on one GPU of this peak at `USED` of it."""
        train = self.training
        examples = train.steps * train.batch_size * train.gradient_accumulation
        flops = self.footprint.flops(self.tokens, self.pictures, self.labels, train.gradient_checkpointing)
        return examples * flops / (tflops * 1e12 * USED) / 3600

    def to_json(self) -> dict[str, Any]:
        """Every number of `lines`, for a program."""
        found, train = self.footprint, self.training
        numbers = ("base", "trained", "lora", "projector", "regions", "packed", "patches", "picture_tokens")
        memory = {
            precision: {
                str(size): {k: round(self.step_gib(precision, size, is_it), 2) for k, is_it in CHECKPOINTING.items()}
                for size in sorted({*BATCHES, train.batch_size})
            }
            for precision in found.precisions
        }
        return {
            "base_model": self.base,
            "family": found.family.name,
            "parameters": {name: getattr(found, name) for name in numbers},
            "weights_gib": {name: round(found.weight_bytes(name) / 2**30, 2) for name in ("fp32", "bf16", "4bit")},
            "prompt": {"tokens": self.tokens, "pictures": self.pictures, "labels": self.labels},
            "step_gib": memory,
            "hours": {gpu.name: round(self.hours(gpu.tflops), 2) for gpu in self.fitting()},
            "part_of_peak": USED,
        }

    def fitting(self) -> list[Gpu]:
        """The GPUs that hold a step of the recipe as it is."""
        if self.precision not in self.footprint.precisions:
            return []
        train = self.training
        need = self.step_gib(self.precision, train.batch_size, train.gradient_checkpointing)
        return [gpu for gpu in GPUS if need <= gpu.memory_gib]


CHECKPOINTING = {"kept": False, "checkpointed": True}


def plan(recipe: Path, tokens: int | None = None, *, allow_download: bool = False) -> Plan:
    """The plan of a recipe, or of a base alone: a folder with `config.json`, or that file.

    `tokens`: of the longest prompt; None: estimated. Raises `BadInput` where no base is found.
    """
    mllm, given = _read(recipe)
    shape, vision = core_of(given) if given else (TokenShape(ModelSettings().width), None)
    found = measure(mllm, resolve(mllm.base, vision), shape, allow_download=allow_download)
    pictures, labels, words = _prompt(given) if given else (1, 16, WORDS)
    return Plan(
        base=mllm.base,
        footprint=found,
        mllm=mllm,
        training=given.mllm_train if given else TuneSettings(gradient_checkpointing=True),
        tokens=tokens or pictures * found.picture_tokens + words + labels,
        pictures=pictures,
        labels=labels,
    )


def _read(place: Path) -> tuple[MllmSettings, Recipe | None]:
    """The settings of the language model, and the recipe that they stand in."""
    folder = place.parent if place.name == CONFIG else place
    if folder.is_dir():
        return MllmSettings(base=str(folder)), None
    recipe = read_settings(Recipe, place)
    return recipe.mllm, recipe


def core_of(recipe: Recipe) -> tuple[TokenShape, Path | None]:
    """What an adapter will read of a region, and the core's folder; None: it is still to be trained."""
    section, own = recipe.grounding, RunFolder(recipe.out_dir).core_dir
    taken = section.core if section.core and not (own / CONFIG).is_file() else ""
    name = str(own) if (own / CONFIG).is_file() else taken or section.settings.start_from
    try:
        folder = checkpoint_folder(name) if name else None
    except BadInput:  # of another recipe, not trained yet
        folder = None
    if folder is None:
        model = section.settings.model
        return TokenShape(model.width, (*model.stage_widths[1:], model.hidden_size)), None
    config = MedGlipConfig.from_pretrained(folder)
    tower: Any = config.vision_config
    # a core that is trained from here on keeps what its tower saw; one taken as it is may be of before
    has_features = (folder / FEATURES).is_file() or name == section.settings.start_from
    return TokenShape(config.width, (*tower.stage_widths[1:], tower.hidden_size) if has_features else ()), folder


def _prompt(recipe: Recipe) -> tuple[int, int, int]:
    """Pictures, labels and words of the longest prompts: of a report where the recipe writes them."""
    shown, section = recipe.evidence, recipe.report or recipe.vqa
    pictures = 1
    if recipe.report:
        entry = recipe.report.data[0].model_dump()
        pictures = int(entry.get("max_views", 1)) + (entry.get("prior", "") in ("both", "images"))
    cut_out = {"crops", "tiles", "context"} & set(shown.forms)
    extra = shown.max_crops * len(cut_out) + sum(bool(FORMS[form].mark) for form in shown.forms)
    regions = shown.max_regions if shown.forms else 0
    labels = section.generate.max_new_tokens if section else 16
    return pictures + extra, labels, WORDS + WORDS_A_REGION * regions


def lines(found: Plan) -> Iterator[str]:
    """The plan in words and aligned columns."""
    footprint, train = found.footprint, found.training
    yield f"base         {found.base} ({footprint.family.name})"
    yield f"parameters   {footprint.base:,}"
    yield (
        f"trained      {footprint.trained:,} = {footprint.lora:,} LoRA + {footprint.projector:,} picture projector"
        f" + {footprint.regions:,} region projector"
    )
    if not footprint.has_region_row:
        yield "             (without a tokenizer: <region> may need one more row of the embedding)"
    weights = ", ".join(f"{name} {footprint.weight_bytes(name) / 2**30:.1f}" for name in ("fp32", "bf16", "4bit"))
    yield f"weights      GiB: {weights}"
    yield (
        f"prompt       {found.tokens:,} tokens, {found.pictures} pictures of {footprint.picture_tokens:,} among them,"
        f" {found.labels} of the answer; --tokens says otherwise"
    )
    yield ""
    sizes = sorted({*BATCHES, train.batch_size})
    yield "GiB of a training step, activations kept / checkpointed:"
    yield "batch   " + "".join(f"{size:>18}" for size in sizes)
    for name in footprint.precisions:
        cells = [[found.step_gib(name, size, is_it) for is_it in CHECKPOINTING.values()] for size in sizes]
        yield f"{name:<8}" + "".join(f"{f'{kept:.1f} / {less:.1f}':>18}" for kept, less in cells)
    if not footprint.precisions:
        yield "not counted: this architecture looks at its own numbers"
        return
    yield ""
    how = f"{found.precision}, batch {train.batch_size}" + ", checkpointed" * train.gradient_checkpointing
    fitting = found.fitting()
    names = ", ".join(gpu.name for gpu in fitting) or "none of the GPUs known; see docs/large-bases.md"
    yield f"the recipe ({how}) fits: {names}"
    if fitting:
        yield f"hours of one adapter ({train.steps:,} steps), at {USED:.0%} of the peak: " + ", ".join(
            f"{gpu.name} {found.hours(gpu.tflops):.1f}" for gpu in fitting
        )
    yield "Calculated, not measured: no core, no prediction, no loading."
