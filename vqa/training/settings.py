"""How the language model is tuned, and how a fresh picture projector is aligned before."""

from pydantic import Field

from ...grounding.settings import Settings
from ...grounding.training.settings import TrainSettings


class MllmTrainSettings(Settings):
    """How the language model is tuned."""

    train: TrainSettings = TrainSettings(steps=80, batch_size=8, learning_rate=1e-3, warmup_steps=8, clip_norm=1.0)
    """Steps, batches and rates of the one training loop."""
    group_by_length: bool = False
    """Batches of examples of like length, showing the same forms: less padding, other batches than without."""
    by_image: bool = False
    """Questions about one image stand in one batch and share its tokens, and those of evidence that they have in
    common: less computing for as many draws, which are more alike within a batch. For the small default alone."""
    gradient_checkpointing: bool = False
    """Compute activations again in the backward pass: the same gradients with less memory, a third more time."""


def _stage(steps: int, rate: float) -> MllmTrainSettings:
    train = TrainSettings(steps=steps, batch_size=8, learning_rate=rate, warmup_steps=steps // 20, clip_norm=1.0)
    return MllmTrainSettings(train=train, group_by_length=True)


class AlignSettings(Settings):
    """What is spelled first, the two stages, and a third for regions."""

    spell_picture_steps: int = Field(default=0, ge=0)
    """Before all: steps in which pictures, and crops where there are some, become words that are true of them, without
    a language model."""
    projector: MllmTrainSettings = _stage(400, 2e-3)
    """Stage 1: the picture projector alone."""
    together: MllmTrainSettings = _stage(1200, 5e-4)
    """Stage 2: the projector and LoRA."""
    regions: MllmTrainSettings | None = None
    """Stage 3: all that is trained, on pictures, on regions as tokens alone, on crops and on their details in equal
    parts; left out: no such stage."""
    spell_steps: int = Field(default=1000, ge=0)
    """Before stage 3: steps in which region tokens become the words of what they show, without a language model."""
