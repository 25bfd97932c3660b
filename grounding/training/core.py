"""Train the core: images of any data sets in, a folder that `MedGlipGrounder.from_pretrained` reads out."""

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, cast

import torch
from datasets import Dataset
from safetensors import safe_open

from ..assets import SCRATCH
from ..bad_input import BadInput, damaged
from ..datasets.schema import AnnotatedImages, split_of, words_of
from ..datasets.settings import DataSettings
from ..files import claim_folder, told_when_full, write_atomic
from ..grounders.medglip import GrounderSettings, MedGlipGrounder
from ..grounders.pretrained import checkpoint_folder
from ..modalities import MODALITIES
from ..model.backbones import STRIDES
from ..model.config import MedGlipConfig
from ..model.image_tower import freeze, load_start, vision_settings
from ..model.losses import losses_of
from ..model.medglip import MedGlipModel
from ..model.processing import MedGlipProcessor, train_tokenizer
from ..model.text_tower import load_text_start, text_settings, text_tokenizer
from ..settings import validate as validated
from ..types import AnnotatedImage
from ..vocabulary.labels import load_labels
from .checkpoint import ANEW, OTHER_TRAINING, finished_steps, latest_folder
from .examples import chances, collate, datasets_of, draw, labels_of_sets, load_examples
from .health import health, make_watch, sample_pixels
from .loop import fit, processes
from .model_card import facts_of, write_card
from .provenance import training_images, write_learned
from .settings import ADDED_PATHS, GroundingSettings
from .tower_features import learn_features
from .validation import calibrate, mean_iou

_LOG = logging.getLogger("medglip")

CALIBRATED = GrounderSettings(min_score=0.01, max_per_phrase=100)
"""Regions that calibration is fitted on: as many and as faint as scores are computed of."""


def train(images: Dataset, settings: GroundingSettings, out_dir: Path, *, sets: Sequence[DataSettings] = ()) -> Path:
    """Train on the split `train` (`IMAGE_FEATURES`), return the folder of the trained core, `out_dir / "model"`.

    A second call goes on after the last checkpoint, or returns at once. `sets`: the recipe's settings of the data sets,
    by whose names weights, rehearsal and licences are known. What could not be read is listed in `skipped.jsonl`.
    Raises `BadInput` for no readable example and for settings other than those in `out_dir`.
    """
    folder = out_dir / "model"
    # a folder of other settings is refused; more steps are fine, and so is what a later version added, as its default
    free: Any = {"train": {"steps", "tracker"}, "memory_gb": True}
    file = out_dir / "settings.json"

    def with_defaults(theirs: dict[str, Any]) -> dict[str, Any]:
        return validated(GroundingSettings, theirs, file).model_dump(mode="json", exclude=free)

    claim_folder(file, settings.model_dump(mode="json", exclude=free), OTHER_TRAINING, upgrade=with_defaults)
    if finished_steps(folder) >= settings.train.steps:
        return folder
    rows = split_of(images, "train")
    model, processor = _start(settings, rows, _modalities(out_dir))
    started = {name: value.clone() for name, value in model.state_dict().items()} if settings.start_share else {}
    examples = load_examples(
        rows, processor.image_size, settings.memory_gb, out_dir / "skipped.jsonl", model.config.mask_stride
    )
    validation = AnnotatedImages(split_of(images, "val"))
    own_labels = labels_of_sets(rows) if settings.draw.own_absent else {}
    watched_B3SS = sample_pixels(validation, processor)
    fit(
        model,
        examples,
        prepare=partial(draw, settings=settings.draw, own_labels=own_labels),
        collate=partial(collate, processor=processor, batch_negatives=settings.draw.batch_negatives),
        loss=partial(losses_of, presence_weight=settings.presence_weight),
        settings=settings.train,
        out_dir=out_dir,
        weights=chances(datasets_of(examples, rows), sets, settings),
        validate=_make_validation(images, settings, processor) if settings.train.validate_every else None,
        watch=None if watched_B3SS is None else make_watch(watched_B3SS),
        name="grounding",
    )
    if processes().is_main_process:
        if started:
            _move_back(model, started, settings.start_share)
        model.config.calibration = None
        core = MedGlipGrounder(model, processor, CALIBRATED)
        calibration = calibrate(core, validation)
        model.config.calibration = calibration and asdict(calibration)
        features = learn_features(core, examples, datasets_of(examples, rows), validation)
        model.config.pooled_strides = STRIDES
        with told_when_full(out_dir):
            model.save_pretrained(folder)
            processor.tokenize([["lung"]])  # how it last padded is saved with it: the same after any interruption
            processor.save_pretrained(folder)
            features.save(folder)
        limits = limits_of(MedGlipGrounder(model, processor), validation)
        write_card(folder, facts_of(images, sets), model, settings, limits=limits)
        start = checkpoint_folder(settings.start_from) if settings.start_from else None
        write_learned(folder, training_images(images), start)
        write_atomic(folder / "finished.json", json.dumps({"steps": settings.train.steps}))
    processes().wait_for_everyone()
    return folder


def _modalities(out_dir: Path) -> tuple[str, ...]:
    """Those of a new core; of a training that an earlier version began, those that it had, the first of ours."""
    if not (out_dir / "latest").exists():
        return tuple(MODALITIES)
    file = latest_folder(out_dir) / "trained.safetensors"
    with damaged(file, ANEW), safe_open(file, "pt") as weights:
        prompts = "phrase_encoder.prompts.weight"
        num = weights.get_slice(prompts).get_shape()[0] if prompts in weights.keys() else len(MODALITIES)  # noqa: SIM118
    return tuple(MODALITIES)[:num]


def _start(
    settings: GroundingSettings, rows: Dataset, modalities: tuple[str, ...]
) -> tuple[MedGlipModel, MedGlipProcessor]:
    """The core before its first step, and its processor."""
    sizes = settings.model
    if settings.start_from:
        size = sizes.image_size if "image_size" in sizes.model_fields_set else None
        added = sizes.model_dump(include=set(ADDED_PATHS), exclude_defaults=True)
        return continue_from(settings.start_from, size, sizes.frozen_rows, **added)
    if sizes.text_start != SCRATCH:
        tokenizer = text_tokenizer(sizes.text_start)
    else:  # words of the training phrases, of their paths, and of the label tree
        tree = load_labels()
        words = [word for label in tree.labels for word in (label, *tree.synonyms(label), tree.description(label))]
        tokenizer = train_tokenizer(chain(words, words_of(rows)))
    processor = MedGlipProcessor(tokenizer, sizes.image_size, sizes.max_phrase_tokens, modalities)
    return build(settings, len(tokenizer), modalities), processor


def _move_back(model: MedGlipModel, started: Mapping[str, torch.Tensor], share: float) -> None:
    """Move each weight by `share` of the way back to `started`, where it began."""
    for name, value in model.state_dict().items():
        if value.is_floating_point():
            value.lerp_(started[name].to(value.device), share)


def build(settings: GroundingSettings, vocabulary_size: int, modalities: Sequence[str] | None = None) -> MedGlipModel:
    """An untrained core; its weights come from the training's seed, the global generator is left as it was."""
    sizes = settings.model
    text_config = text_settings(sizes.text_start, sizes.max_phrase_tokens)
    if sizes.text_start == SCRATCH:
        text_config |= {"vocab_size": vocabulary_size, "num_hidden_layers": sizes.text_layers}
    of_tower = {"image_size", "stage_widths", "hidden_size", "depths"}
    of_core = {"width", "num_fusion_layers", "num_head_convs", "max_phrase_tokens", "modality_prompts", *ADDED_PATHS}
    config = MedGlipConfig(
        vision_config=sizes.model_dump(mode="json", include=of_tower) | vision_settings(sizes.image_start),
        text_config=text_config,
        modalities=tuple(modalities or MODALITIES),
        **sizes.model_dump(include=of_core),
    )
    with torch.random.fork_rng():
        torch.manual_seed(settings.train.seed)
        model = MedGlipModel(config)
    # pretrained weights last, so that a draw of the other layers does not depend on what is loaded
    load_start(model.image_tower, sizes.image_start)
    freeze(model.image_tower, sizes.frozen_rows)
    load_text_start(model.phrase_encoder, sizes.text_start)
    if sizes.frozen_text:
        model.phrase_encoder.bert.requires_grad_(False)  # prompts and projection stay trainable
    return model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]


def _make_validation(
    images: Dataset, settings: GroundingSettings, processor: MedGlipProcessor
) -> Callable[[torch.nn.Module], float]:
    """A function that scores a core on a sample of split val. Raises `BadInput` where there is none."""
    sample = AnnotatedImages(split_of(images, "val", settings.validate_images, settings.train.seed))
    if not sample:
        raise BadInput("no image of split val to validate on.", fix="set train.validate_every to 0, or give some")
    limits = GrounderSettings(calibrated=False, mask_min_score=1.0)  # boxes alone

    def validate(model: torch.nn.Module) -> float:
        return mean_iou(MedGlipGrounder(cast(MedGlipModel, model), processor, limits), sample)

    return validate


def limits_of(core: MedGlipGrounder, validation: Sequence[AnnotatedImage]) -> list[str]:
    """Limits of a core for its card, which are logged too: stages of the image tower that died in training."""
    pixels_B3SS = sample_pixels(validation, core.processor)
    if pixels_B3SS is None:
        return []
    limits = [
        f"Stride {stride} of its image tower died in training (spread {one.spread:.2f}, {one.dead:.0%} of the units of "
        "a layer are constant): boxes and masks come from the others. A core that is trained anew keeps it with "
        "`train.tower_rate: 0.1`."
        for stride, one in health(core.model.image_tower, pixels_B3SS.to(core.model.device)).items()
        if one.is_dying
    ]
    for limit in limits:
        _LOG.warning(limit)
    return limits


def continue_from(
    name: str, image_size: int | None, frozen_rows: int, **added: Any
) -> tuple[MedGlipModel, MedGlipProcessor]:
    """The core of `small`, `small-research` or a folder, uncalibrated, at another input size if one is given.

    `added`: values of `ADDED_PATHS` that a core without gains; they change no score, box or embedding before they are
    trained. New words fall into the tokenizer's parts and characters. Raises `BadInput` where there is no core.
    """
    core = MedGlipGrounder.from_pretrained(checkpoint_folder(name), "cpu")
    model, processor = core.model, core.processor
    size = image_size or processor.image_size
    if size % 32:
        raise BadInput(f"image_size {size} is no multiple of 32.", fix="give 256, 320, ...")
    model.config.vision_config.image_size = size  # pyright: ignore[reportOptionalMemberAccess, reportAttributeAccessIssue]
    model.config.calibration = None
    if any(getattr(model.config, path) != value for path, value in added.items()):
        values = model.config.to_dict() | added
        with torch.random.fork_rng():
            torch.manual_seed(0)
            larger = MedGlipModel(MedGlipConfig.from_dict(values))  # pyright: ignore[reportArgumentType]
        # a new path ends in zeros; every other weight is that of the old core
        larger.load_state_dict({**larger.state_dict(), **model.state_dict()})
        model = larger
    processor.image_size = size
    freeze(model.image_tower, frozen_rows)
    return model.to(memory_format=torch.channels_last), processor  # pyright: ignore[reportCallIssue]
