"""What a recipe says of the grounding core: its name, seed, phantoms, region sets and training."""

from collections.abc import Mapping
from itertools import chain
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from ..datasets.parts import PARTS, Half, parse_split
from ..datasets.settings import DataSettings, PhantomSettings
from ..foreign import read_yaml
from ..settings import Settings
from .settings import GroundingSettings


class GroundingSection(GroundingSettings):
    """What the grounding core learns from, and how."""

    core: str = ""
    """A trained core taken as it is, `small`, `small-research` or a folder; nothing is trained then, and images that
    it learned from are not scored. Left out: a core is trained on `data`."""
    data: tuple[DataSettings, ...] = ()
    """Region sets, any mix of layouts; with `core` they are only scored."""
    data_files: tuple[Path, ...] = ()
    """YAML files, each a list of further region sets as in `data`, seen from the folder of the recipe."""
    half: Half = ""
    """a or b: learn one half of the patients of split `train` (of each set), so that another core, of the other half,
    may say what is on their images without having learned them."""

    half_cores: tuple[str, ...] = ()
    """Two cores that learned a half each (folders; `half: a` and `half: b`): the evidence of an image that teaches the
    language model comes from the one that did not learn it, as in use nobody has learned the image. Evidence of what
    selects and is scored, and every region vector, is the run's own core's. Left out: all evidence is."""

    @property
    def settings(self) -> GroundingSettings:
        """Model sizes and training, as `training.core.train` takes them."""
        # the fields of the parent alone: a training does not know `core` and `data`
        return GroundingSettings(**{name: getattr(self, name) for name in GroundingSettings.model_fields})

    @model_validator(mode="before")
    @classmethod
    def _old_spelling(cls, values: Any, info: ValidationInfo) -> Any:
        if not isinstance(values, dict):
            return values
        new = flatten_settings(values)
        recipe = (info.context or {}).get("file") or Path()
        files = [recipe.parent / file for file in new.pop("data_files", ())]
        return {**new, "data": [*new.get("data", ()), *chain(*map(_read_sets, files))]} if files else new

    @model_validator(mode="after")
    def _trained_or_taken(self) -> "GroundingSection":
        if not (self.core or self.data):
            raise ValueError("key 'data': nothing to train a core on; give region sets, or `core: small`")
        # a core that is taken is never trained, so settings of a training would silently do nothing
        if self.core and self.settings != GroundingSettings():
            raise ValueError(f"key 'core': {self.core!r} is taken as it is; `start_from` goes on from it")
        return self


def _read_sets(file: Path) -> list[Any]:
    """The region sets that a file lists."""
    if not file.is_file():
        raise ValueError(f"key 'data_files': no such file {file}; paths are seen from the folder of the recipe")
    sets = read_yaml(file)
    if not isinstance(sets, list):
        raise ValueError(f"key 'data_files': {file} is no list; each entry is a region set as in `data`")
    return sets


def flatten_settings(values: Mapping[str, Any]) -> dict[str, Any]:
    """The section `grounding` as it is spelt today: version 0.1 had model and training below `settings`."""
    new = {key: value for key, value in values.items() if key != "settings"}
    return {**new, **values["settings"]} if isinstance(values.get("settings"), dict) else dict(values)


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
    eval_split: Literal["val", "test"] = Field(default="test", json_schema_extra={"enum": ["val", "test", *PARTS]})
    """Split that is predicted and scored; `select` is val, `report` is test, whose figures count."""
    phantoms: PhantomSettings | None = None
    """Draw synthetic phantoms first; tasks and region sets named `phantom` use them."""
    grounding: GroundingSection
    """Stage 1: regions."""

    @field_validator("eval_split", mode="before")
    @classmethod
    def _split_name(cls, value: Any) -> Any:
        return parse_split(value) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _phantoms_are_drawn(self) -> "CoreRecipe":
        if self.phantoms is None and any(d.layout == "phantom" for d in self.grounding.data):
            raise ValueError("key 'phantoms': some data are 'phantom', so this section is needed")
        return self
