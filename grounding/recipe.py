"""What a recipe says of the grounding core: its name, seed, phantoms, region sets and training."""

from pathlib import Path
from typing import Literal

from pydantic import model_validator

from .datasets.settings import DataSettings, PhantomSettings
from .settings import Settings
from .training.settings import GroundingSettings


class GroundingSection(Settings):
    """What the grounding core learns from, and how."""

    core: str = ""
    """A trained core taken as it is, `small`, `small-research` or a folder; nothing is trained then, and pictures that
    it learned from are not scored. Left out: a core is trained on `data`."""
    data: tuple[DataSettings, ...] = ()
    """Region sets, any mix of layouts; with `core` they are only scored."""
    settings: GroundingSettings = GroundingSettings()
    """Model sizes and training."""

    @model_validator(mode="after")
    def _trained_or_taken(self) -> "GroundingSection":
        if not (self.core or self.data):
            raise ValueError("key 'data': nothing to train a core on; give region sets, or `core: small`")
        if self.core and self.settings != GroundingSettings():
            raise ValueError(f"key 'settings': {self.core!r} is taken as it is; `settings.start_from` goes on from it")
        return self


class CoreRecipe(Settings):
    """A recipe as far as the grounding core goes."""

    name: str
    """Shown on the page."""
    out_dir: Path
    """Everything the run writes; a second call continues there."""
    seed: int = 0
    """Seed of data, training, shuffling and intervals."""
    title: str = ""
    """One sentence for the top of the page."""
    eval_split: Literal["val", "test"] = "test"
    """Split that is predicted and scored."""
    phantoms: PhantomSettings | None = None
    """Draw synthetic phantoms first; tasks and region sets named `phantom` use them."""
    grounding: GroundingSection
    """Stage 1: regions."""

    @model_validator(mode="after")
    def _phantoms_are_drawn(self) -> "CoreRecipe":
        if self.phantoms is None and any(d.layout == "phantom" for d in self.grounding.data):
            raise ValueError("key 'phantoms': some data are 'phantom', so this section is needed")
        return self
