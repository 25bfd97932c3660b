"""The manifest of a build: which sets, what their labels mean, under which licence, and how they become one dataset."""

from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator, model_validator

from ...bad_input import nearest, repeated
from ...settings import Settings
from ...vocabulary.labels import load_labels
from ..settings import DataSettings


class LicenceTable(Settings):
    """A CSV file of the set that names the licence of each image."""

    file: str
    """The CSV file, below the folder of the set."""
    image: str = "filename"
    """Column with the image file's name."""
    licence: str = "license"
    """Column with its licence."""


class SourceSettings(DataSettings):
    """One set of a build: where and how it lies, as in a recipe, and what its owner says of it."""

    rename: str = ""
    """Name of the set in the built dataset; the last part of its path when left out."""
    licence: str = ""
    """Licence of images and labels in the owner's words; rows without one count as "not stated"."""
    licence_table: LicenceTable | None = None
    """Where each image has a licence of its own; it goes before `licence`."""
    labels: dict[str, str | None] = Field(default_factory=dict)
    """What the set's own labels mean: a label of the tree, or null to leave the regions out. Goes before the tree."""
    unknown_labels: Literal["drop", "keep"] | None = None
    """As in the manifest, for this set alone."""
    body_region: str = ""
    """Body region of every image, where the labels do not say it."""

    @property
    def set_name(self) -> str:
        """Name of the set in the built dataset."""
        return self.rename or self.name

    @field_validator("labels")
    @classmethod
    def _in_the_tree(cls, value: dict[str, str | None]) -> dict[str, str | None]:
        tree = load_labels()
        for source, label in value.items():
            if label is not None and label not in tree.labels:
                raise ValueError(f"{source!r}: {label!r} is no label of the tree, {nearest(label, tree.labels)}")
        meanings: dict[str, str | None] = {}
        for source, label in value.items():
            if meanings.setdefault(tree.label(source), label) != label:
                raise ValueError(f"{source!r} is {tree.label(source)!r} to the readers, and that has another meaning")
        return value

    @model_validator(mode="after")
    def _whole_sets(self) -> "SourceSettings":
        if self.limit is not None or self.weight != 1:
            raise ValueError("key 'limit' and 'weight': of training; a build takes whole sets")
        return self


class BuildSettings(Settings):
    """One grounded dataset from many sets: `medglip data build MANIFEST.yaml`."""

    name: str
    """Title of the data card."""
    out_dir: Path
    """Everything the build writes; a second call continues there."""
    sources: tuple[SourceSettings, ...] = Field(min_length=1)
    """The sets. Of an image that several of them hold, the first set keeps its row."""
    unknown_labels: Literal["drop", "keep"] = "drop"
    """Labels the tree does not hold, or that mean several things in it: drop or keep as they are; always listed."""
    licences: tuple[str, ...] = ()
    """Take only rows under these licences, word for word; all when left out."""
    images: Literal["bytes", "path"] = "bytes"
    """Images inside the shards, or paths to where they lie now (below MEDGLIP_DATA where possible)."""
    near_duplicates: bool = True
    """Leave out images that look like one of an earlier set, not only those of equal pixels."""
    shard_rows: int = Field(default=2000, gt=0)
    """Rows a shard."""
    seed: int = 0
    """Seed of the split by group where a set has `val_fraction`."""

    @model_validator(mode="after")
    def _one_name_each(self) -> "BuildSettings":
        if twice := repeated(source.set_name for source in self.sources):
            raise ValueError(f"key 'sources': two sets are named {min(twice)!r}; set `rename` in one of them")
        return self
