"""Settings of the region sets of a recipe, and of the phantoms it draws."""

from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator, model_validator

from ..imaging.nifti import Axis
from ..modalities import parse_modality
from ..settings import Settings

Layout = Literal[
    "phantom",
    "coco",
    "voc",
    "mask_folder",
    "covid_cxr",
    "label_map",
    "named_masks",
    "odvg",
    "slake",
    "ms_cxr",
    "nifti",
    "dicom_seg",
    "built",
]
OPTIONS: dict[str, tuple[Layout, ...]] = {
    "phrase": ("mask_folder",),
    "classes": ("label_map", "nifti", "slake"),
    "components": ("label_map", "named_masks", "nifti", "dicom_seg"),
    "slices": ("nifti",),
    "licences": ("covid_cxr",),
}
"""Settings that only some layouts have; their readers take them by the same name."""


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

    layout: Layout
    """phantom, coco (annotations.json), voc (Annotations/*.xml), mask_folder (images/ and masks/ of one phrase),
    label_map (images/ and masks/ of several classes), named_masks (BiomedParse), odvg (*.jsonl), slake, ms_cxr, nifti
    (volumes as slices), dicom_seg, covid_cxr, built (`data build`); each is described in the file of its name."""
    path: str = ""
    """Folder of the set, absolute or below MEDGLIP_DATA; its last part names the data set."""
    modality: str = ""
    """Modality of the images where the files name none."""
    phrase: str = ""
    """What the masks of a mask_folder outline; other layouts name their regions themselves."""
    classes: dict[int, str] | str = ""
    """Names of the values of label maps, `{1: liver}`, or the file in the folder that names them (`classes.yaml`)."""
    components: bool = False
    """Whether each blob of a mask is a region of its own, not all blobs of a class one region."""
    slices: SliceSettings | None = None
    """Which slices of NIfTI volumes become images: axis, step, min_area, window ..."""
    licences: tuple[str, ...] = ()
    """Only images under these licences, where the set has one an image (covid_cxr: its column `license`)."""
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
    val_fraction: float = Field(default=0.15, ge=0, lt=1)
    """Part of the groups (patients) held out as `val`, where the set brings no splits of its own."""

    @property
    def name(self) -> str:
        """Name of the data set: the last part of the path."""
        return Path(self.path).name or self.layout

    @field_validator("modality")
    @classmethod
    def _our_name(cls, value: str) -> str:
        return parse_modality(value) if value else ""

    @model_validator(mode="after")
    def _no_contradictions(self) -> "DataSettings":
        if not self.path and self.layout != "phantom":
            raise ValueError(f"key 'path': layout {self.layout!r} needs the folder of the set")
        if self.layout == "mask_folder" and not self.phrase:
            raise ValueError("key 'phrase': layout 'mask_folder' needs what its masks outline")
        for key, layouts in OPTIONS.items():
            if getattr(self, key) and self.layout not in layouts:
                raise ValueError(f"key {key!r}: layout {self.layout!r} has no use for it, {', '.join(layouts)} have")
        return self


class PhantomSettings(Settings):
    """How many phantoms, how large, from which seed."""

    num_train: int = Field(default=360, ge=1)
    """Training pictures, modalities in turn."""
    num_val: int = Field(default=48, ge=0)
    """Validation pictures."""
    num_test: int = Field(default=84, ge=0)
    """Test pictures."""
    size_px: int = Field(default=192, ge=96)
    """Side of the square pictures, 96 or more."""
    seed: int = Field(default=0, ge=0)
    """Seed of everything; the splits never share a draw."""
