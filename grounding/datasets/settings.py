"""Settings of the region sets of a recipe, and of the phantoms it draws."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, field_validator, model_serializer, model_validator

from ..bad_input import check_name
from ..imaging.nifti import Axis
from ..modalities import parse_modality
from ..settings import Settings


@dataclass(frozen=True, kw_only=True)
class Layout:
    """One way in which a region set may lie on disk.

    `files`: what the folder holds, as help shows it. `options`: keys of `DataSettings` that `read` takes by the same
    name; layouts without them refuse them. `needs`: options that must be given, and what they say. `module`: the file,
    seen from this folder, whose `read(folder, skipped, modality=..., **options)` yields images one at a time; when left
    out, the file of the layout's name in `layouts/`.
    """

    files: str
    options: tuple[str, ...] = ()
    needs: Mapping[str, str] = field(default_factory=dict)
    module: str = ""


LAYOUTS: dict[str, Layout] = {
    "phantom": Layout(files="the recipe's own phantoms", module=".phantoms.dataset"),
    "coco": Layout(files="annotations.json, images/", options=("allow_outside",)),
    "voc": Layout(files="Annotations/*.xml, JPEGImages/"),
    "mask_folder": Layout(
        files="images/ and masks/ of one phrase", options=("phrase",), needs={"phrase": "what its masks outline"}
    ),
    "covid_cxr": Layout(files="lung_boxes.json, metadata.csv", options=("licences", "allow_outside")),
    "label_map": Layout(files="images/ and masks/ of several classes", options=("classes", "components")),
    "named_masks": Layout(files="BiomedParse: train/, train_mask/", options=("components",)),
    "odvg": Layout(files="*.jsonl", options=("allow_outside",)),
    "slake": Layout(files="imgs/", options=("classes",)),
    "ms_cxr": Layout(files="MS_CXR_Local_Alignment*.csv", options=("allow_outside",)),
    "chest_imagenome": Layout(files="silver_dataset/scene_graph/, MIMIC-CXR's files/ and csv.gz"),
    "vindr_cxr": Layout(files="annotations/*.csv, train/, test/", options=("merge",)),
    "padchest_gr": Layout(
        files="grounded_reports_*.json, master_table.csv, Padchest_GR_files/", options=("language", "merge")
    ),
    "nifti": Layout(files="volumes, read as slices", options=("classes", "components", "slices")),
    "dicom_seg": Layout(files="DICOM images and segmentations", options=("components",)),
    "built": Layout(files="data-*.parquet of `data build`", options=("allow_outside",), module=".building.built"),
}
"""Every layout: a new one is a file of `layouts/` and a row here. Each is described in its file."""


class SliceSettings(Settings):
    """Which slices of a volume become images, and how they look."""

    axis: Axis = "axial"
    """axial, coronal or sagittal."""
    step: int = Field(default=10, gt=0)
    """Every so many slices one is taken, from half a step on."""
    min_area: float = Field(default=0.0005, ge=0, lt=1)
    """Part of the slice that a class must cover to be outlined; below it the class is unknown there."""
    keep_empty: bool = False
    """Whether slices without any outlined class stay, as negatives."""
    window: tuple[float, float] | None = None
    """Values shown black and white; when left out, -160 and 240 HU for CT, else percentiles of the volume."""
    square_pixels: bool = True
    """Stretch slices to square pixels where the spacing differs; False takes voxels as they are."""
    channel: int = Field(default=0, ge=0)
    """Which channel of a volume with four dimensions."""
    folder: str = ""
    """Where the PNG files go; the cache folder (MEDGLIP_CACHE) when left out."""


class DataSettings(Settings):
    """One region set: where it is, how it is laid out, how much of it counts."""

    layout: str = Field(
        description="How the set lies on disk; each layout is described in the file of its name: "
        + "; ".join(f"{name} ({layout.files})" for name, layout in LAYOUTS.items()),
        json_schema_extra={"enum": [*LAYOUTS]},
    )
    path: str = ""
    """Folder of the set, absolute or below MEDGLIP_DATA; its last part names the data set."""
    modality: str = ""
    """Modality of the images where the files name none."""
    body_part: str = ""
    """Body part of the images where the files name none: colon, chest."""
    phrase: str = ""
    """What the masks of a mask_folder outline; other layouts name their regions themselves."""
    classes: dict[int, str] | str = ""
    """Names of the values of label maps, `{1: liver}`, or the file in the folder that names them (`classes.yaml`)."""
    components: bool = False
    """Whether each blob of a mask is a region of its own, not all blobs of a class one region."""
    merge: bool = False
    """Whether boxes of several readers that overlap are one region, their mean; kept apart when left out."""
    language: Literal["", "en", "es"] = ""
    """Language of the sentences of a set that has both; en when left out."""
    slices: SliceSettings | None = None
    """Which slices of NIfTI volumes become images: axis, step, min_area, window ..."""
    licences: tuple[str, ...] = ()
    """Only images under these licences, where the set has one an image (covid_cxr: its column `license`)."""
    allow_outside: bool = False
    """Whether file names in the set may leave its folder, by `..` or an absolute path."""
    boxes_only: bool = False
    """Leave the masks of the set alone, because they are poor or not licensed like the boxes."""
    absent: tuple[str, ...] = ()
    """Phrases that no image of the set shows, known from how it was made (healthy donors have no tumor); they are
    asked as negatives, in training and in scoring."""
    weight: float = Field(default=1.0, gt=0)
    """Weight of the set in training, relative to the other sets."""
    rehearse: bool = False
    """An old set, drawn along with new ones so that a core that goes on from another does not forget it."""
    licence: str = ""
    """As its owner states it, for the model card."""
    limit: int | None = Field(default=None, gt=0)
    """At most so many images, drawn with the seed; all of them when left out."""
    split: Literal["keep", "hash"] = "keep"
    """keep the set's own splits where it has any; hash: draw them by group, whatever it says (its own are not by
    patient)."""
    block: int = Field(default=1, ge=1)
    """Images whose last number in the file's name falls into one block of so many are one group: neighbours in sets
    that record no patient."""
    val_fraction: float | None = Field(default=None, ge=0, lt=1)
    """Left out: patients teach, choose or are reported on by the rule of the house (`parts.py`). A number: the rule
    before it, this part of the groups as `val`, by the recipe's seed, and no `test`."""

    @property
    def name(self) -> str:
        """Name of the data set: the last part of the path."""
        return Path(self.path).name or self.layout

    @field_validator("modality")
    @classmethod
    def _our_name(cls, value: str) -> str:
        return parse_modality(value) if value else ""

    @field_validator("layout")
    @classmethod
    def _is_a_layout(cls, value: str) -> str:
        return check_name(value, LAYOUTS, "layout")

    @model_validator(mode="before")
    @classmethod
    def _bring_their_splits(cls, values: Any) -> Any:
        # runs made before wrote a fraction for every set, those with splits of their own too, where it did nothing
        brings = isinstance(values, dict) and values.get("layout") in ("phantom", "built")
        return {key: value for key, value in values.items() if key != "val_fraction"} if brings else values

    @model_validator(mode="after")
    def _no_contradictions(self) -> "DataSettings":
        if not self.path and self.layout != "phantom":
            raise ValueError(f"key 'path': layout {self.layout!r} needs the folder of the set")
        for key, what in LAYOUTS[self.layout].needs.items():
            if not getattr(self, key):
                raise ValueError(f"key {key!r}: layout {self.layout!r} needs {what}")
        for key in type(self).model_fields:
            users = [name for name, layout in LAYOUTS.items() if key in layout.options]
            if users and getattr(self, key) and self.layout not in users:
                raise ValueError(f"key {key!r}: layout {self.layout!r} has no use for it, {', '.join(users)} have")
        return self


class PhantomSettings(Settings):
    """How many phantoms, how large, from which seed."""

    num_train: int = Field(default=360, ge=1)
    """Training images, modalities in turn."""
    num_val: int = Field(default=48, ge=0)
    """Validation images."""
    num_test: int = Field(default=84, ge=0)
    """Test images."""
    size_px: int = Field(default=192, ge=96)
    """Side of the square images, 96 or more."""
    seed: int = Field(default=0, ge=0)
    """Seed of everything; the splits never share a draw."""
    detail: bool = False
    """Findings have details (calcified, margin, texture) that only full resolution shows: 1,024 px or a multiple."""

    @model_validator(mode="after")
    def _shows_details(self) -> "PhantomSettings":
        if self.detail and self.size_px % 1024:
            raise ValueError(f"key 'size_px': details do not show at {self.size_px} px, give 1024 or a multiple of it")
        return self

    # Phantoms know the settings that drew them by the hash of this JSON. A field that came later stands in it only
    # where it is set, so that sets (and weights that know their images' bytes) from before are what they were.
    @model_serializer(mode="wrap")
    def _as_before(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        values = write(self)
        return {key: value for key, value in values.items() if key != "detail" or value}


class ScoredPhantoms(PhantomSettings):
    """Phantoms to be asked about alone, all of them in split test."""

    num_train: int = Field(default=0, ge=0)
    num_val: int = Field(default=0, ge=0)
