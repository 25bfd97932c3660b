"""Train the core: studies of any data sets in, a folder that `MedGlipGrounder.from_pretrained` reads out."""

import json
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import torch
from accelerate import PartialState
from datasets import Dataset
from pydantic import Field
from transformers import PreTrainedTokenizerFast

from .bad_input import BadInput, Skipped
from .calibration import calibration_to_json
from .datasets.schema import studies as studies_of
from .labels import load_labels
from .medglip_grounder import MedGlipGrounder
from .model.config import SMALL_BERT, MedGlipConfig
from .model.examples import DrawSettings, collator, draw, load_examples
from .model.image_starts import SCRATCH, freeze, load_start, vision_settings
from .model.losses import losses_of
from .model.medglip import MedGlipModel
from .model.processing import MedGlipProcessor, train_tokenizer
from .records import write_atomic
from .settings import Settings
from .training import TrainSettings, fit
from .types import Study
from .validation import calibrate

Score = Callable[[MedGlipGrounder, list[Study]], Mapping[str, float]]


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
    text_layers: int = 2
    """Transformer layers of the phrase encoder."""


class GroundingSettings(Settings):
    """The grounding core and its training."""

    model: ModelSettings = ModelSettings()
    """Sizes."""
    train: TrainSettings = TrainSettings(steps=400, learning_rate=1e-3, warmup_steps=50, batch_size=8)
    """Steps and rates."""
    draw: DrawSettings = DrawSettings()
    """Phrases and augmentation of each draw."""
    temperature: float = Field(default=1.0, ge=1)
    """A data set is drawn in proportion to size^(1/temperature): 1 by size, large values all alike."""
    memory_gb: float = 2.0
    """Images are kept in memory if they fit into so much, else read at every draw."""


def train(
    studies: Dataset,
    settings: GroundingSettings,
    out_dir: Path,
    *,
    dataset_weights: Mapping[str, float] | None = None,
    score: Score | None = None,
) -> Path:
    """Train on the split `train` (`STUDY_FEATURES`), return the folder of the trained core, `out_dir / "model"`.

    A second call goes on after the last checkpoint, or returns at once. `dataset_weights`: further weights of data
    sets by name. `score(core, studies of split val)` is written to `val.json`; what could not be read is listed in
    `skipped.jsonl`. Raises `BadInput` for no readable example and for settings other than those in `out_dir`.
    """
    folder = out_dir / "model"
    _claim(out_dir, settings)
    if _is_finished(out_dir, settings):
        return folder
    rows = _split(studies, "train")
    skipped = Skipped()
    examples = load_examples(rows, settings.model.image_size, settings.memory_gb, skipped)
    skipped.write(out_dir / "skipped.jsonl")
    processor = MedGlipProcessor(_tokenizer(rows), settings.model.image_size)
    model = build(settings, len(processor.tokenizer))
    fit(
        model,
        examples,
        prepare=partial(draw, settings=settings.draw),
        collate=collator(processor, settings.draw),
        loss=losses_of,
        settings=settings.train,
        out_dir=out_dir,
        weights=_weights([example.study.dataset for example in examples], settings.temperature, dataset_weights),
        name="grounding",
    )
    if PartialState().is_main_process:
        _save(model, processor, folder, score, studies)
    PartialState().wait_for_everyone()
    return folder


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
        text_config=SMALL_BERT | {"vocab_size": vocabulary_size, "num_hidden_layers": sizes.text_layers},
        width=sizes.width,
        num_fusion_layers=sizes.num_fusion_layers,
        num_head_convs=sizes.num_head_convs,
    )
    with torch.random.fork_rng():
        torch.manual_seed(settings.train.seed)
        model = MedGlipModel(config)
    load_start(model.image_tower, sizes.image_start)
    freeze(model.image_tower, sizes.frozen_rows)
    return model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]


def _claim(out_dir: Path, settings: GroundingSettings) -> None:
    """Write down the settings, or refuse a folder of others (more steps are fine)."""
    path = out_dir / "settings.json"
    mine = settings.model_dump(mode="json", exclude={"train": {"steps"}, "memory_gb": True})
    if path.exists() and json.loads(path.read_text()) != mine:
        raise BadInput(
            "holds a training with other settings.", file=path, fix="give another out_dir, or remove this one"
        )
    write_atomic(path, json.dumps(mine, indent=1))


def _is_finished(out_dir: Path, settings: GroundingSettings) -> bool:
    finished = out_dir / "model" / "finished.json"
    return finished.exists() and json.loads(finished.read_text())["steps"] >= settings.train.steps


def _split(studies: Dataset, name: str) -> Dataset:
    return studies.select(np.flatnonzero(np.array(studies["split"]) == name))


def _tokenizer(rows: Dataset) -> PreTrainedTokenizerFast:
    """Words of the training phrases, of their paths, and of the label tree."""
    tree = load_labels()
    words = [word for label in tree.labels for word in (label, *tree.synonyms(label))]
    words += [phrase for phrases in rows["phrases"] for phrase in phrases]
    words += [word for regions in rows["regions"] for r in regions for word in (r["phrase"], *r["path"])]
    return train_tokenizer(words)


def _weights(datasets: list[str], temperature: float, further: Mapping[str, float] | None) -> list[float] | None:
    """Chance of each example, None where all are alike."""
    sizes = Counter(datasets)
    weight = {d: (further or {}).get(d, 1.0) * n ** (1 / temperature - 1) for d, n in sizes.items()}
    return None if len(set(weight.values())) < 2 else [weight[name] for name in datasets]


def _save(
    model: MedGlipModel, processor: MedGlipProcessor, folder: Path, score: Score | None, studies: Dataset
) -> None:
    """Calibrate on the validation split; weights, configuration, tokenizer; its scores; the mark of completion last."""
    validation, skipped = list(studies_of(_split(studies, "val"))), Skipped()
    model.config.calibration = None
    calibration = calibrate(MedGlipGrounder(model, processor), validation, skipped)
    model.config.calibration = calibration and calibration_to_json(calibration)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    steps = int((folder.parent / "latest").read_text().rpartition("-")[2])
    if score is not None:
        scores = score(MedGlipGrounder(model, processor), validation)
        write_atomic(folder.parent / "val.json", json.dumps(dict(scores), indent=1))
    write_atomic(folder / "finished.json", json.dumps({"steps": steps}))
