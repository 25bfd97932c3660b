"""NIfTI volumes in one orientation, and their slices as a radiologist sees them. Needs nibabel.

Voxel axes are turned to the closest of right, anterior, superior (RAS, as nibabel names them); nothing is resampled.
The patient's right is at the left of axial and coronal slices, the front at the top of axial and at the left of
sagittal ones, the head at the top of the others. Text fields of the header (`descrip`, `aux_file`) are never read.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..bad_input import BadInput, explain
from .deadline import deadline

Axis = Literal["sagittal", "coronal", "axial"]
AXES: tuple[Axis, ...] = ("sagittal", "coronal", "axial")
"""Names of the axes that slices lie across, in order: x to the right, y to the front, z to the head."""
MAX_VOLUME_BYTES = 2**30
"""Of the values of a volume, as stored and rescaled together."""


_MAX_ERROR, _MAX_LABEL = 1e-3, 2**24
"""What a scale in float32 adds to a label at most, and the largest label that float32 holds."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Volume:
    """`values` [X, Y, Z] rising to the right, front and head; `affine` float64[4, 4] of voxels to mm in that order."""

    values: NDArray[Any]
    affine: NDArray[np.float64]

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance of voxel centres along x, y, z."""
        x, y, z = np.linalg.norm(self.affine[:3, :3], axis=0).tolist()
        return x, y, z

    def fits(self, other: "Volume") -> bool:
        """Whether both have the same voxels: equal shape, and corners less than half a voxel apart."""
        if self.values.shape != other.values.shape:
            return False
        # homogeneous voxel coordinates of the eight corners: one affine maps them to mm
        corners = np.array([[x, y, z, 1] for x in (0, 1) for y in (0, 1) for z in (0, 1)]) * [*self.values.shape, 1]
        apart = np.linalg.norm(corners @ (self.affine - other.affine).T, axis=1).max()
        return bool(apart < min(self.spacing_mm) / 2)


def read_volume(path: Path, channel: int = 0) -> Volume:
    """A volume, rescaled as its header says; of four dimensions the given channel.

    Raises `BadInput` for a missing, damaged, too large or non-NIfTI file, an unusable orientation, and a channel too
    high.
    """
    import nibabel  # loaded here: most sets do without it
    from nibabel.spatialimages import SpatialImage

    if not path.is_file():
        raise BadInput("no such volume.", file=path, fix="check the path")
    # nibabel raises whatever it likes on a damaged file
    with explain("damaged, or no NIfTI file", Exception, file=path, fix="copy or export it again"), deadline(path):
        image: Any = nibabel.load(path)
        if not isinstance(image, SpatialImage):
            raise BadInput("holds no volume.", file=path, fix="give a .nii or .nii.gz file")
        _check_shape(image, path)
        if len(image.shape) == 4 and not channel < image.shape[3]:
            raise BadInput(f"has {image.shape[3]} channels, not {channel + 1}.", file=path, fix="set `channel` lower")
        turned: Any = nibabel.as_closest_canonical(image)
        values, affine = np.asanyarray(turned.dataobj), np.asarray(turned.affine, np.float64)
    values = values[..., channel] if values.ndim == 4 else values
    if values.dtype.kind not in "biuf" or not abs(np.linalg.det(affine[:3, :3])) > 1e-9:
        raise BadInput(f"no volume of three axes: {values.shape}.", file=path, fix="export one volume of grey values")
    return Volume(values=values, affine=affine)


def _check_shape(image: Any, path: Path) -> None:
    """Raises `BadInput` for a shape that is no volume, or takes too much memory, before anything is unpacked."""
    if len(image.shape) not in (3, 4) or 0 in image.shape:
        raise BadInput(f"no volume of three axes: {image.shape}.", file=path, fix="export one volume of grey values")
    slope, intercept = getattr(image.dataobj, "slope", 1), getattr(image.dataobj, "inter", 0)
    per_voxel = image.get_data_dtype().itemsize + (0 if (slope, intercept) == (1, 0) else 8)  # rescaled to float64
    if (size := math.prod(image.shape) * per_voxel) > MAX_VOLUME_BYTES:
        problem = f"the volume is too large: {image.shape}, {size:,} bytes."
        raise BadInput(problem, file=path, fix=f"resample or cut it to {MAX_VOLUME_BYTES:,} bytes")


def read_labels(path: Path) -> Volume:
    """A volume of whole numbers; those that went through a scale in floats come back whole.

    Raises `BadInput` as `read_volume` does, and for fractions.
    """
    # 0 and 255 with a slope of 1/255, which the header keeps as float32, read 0 and 1.00000006
    volume = read_volume(path)
    if volume.values.dtype.kind != "f":
        return volume
    whole = np.empty(volume.values.shape, np.int32)
    for index, values in enumerate(volume.values):
        rounded = np.rint(values)
        if not (np.abs(values - rounded) <= _MAX_ERROR).all() or np.abs(rounded).max(initial=0) > _MAX_LABEL:
            fix = "export one whole number a voxel, without a scale"
            raise BadInput("fractions hold no classes.", file=path, fix=fix)
        whole[index] = rounded
    return Volume(values=whole, affine=volume.affine)


def plane(values: NDArray[Any], axis: Axis, index: int) -> NDArray[Any]:
    """A view [H, W] of one slice of [X, Y, Z], as a radiologist sees it."""
    cut: list[Any] = [slice(None)] * 3
    cut[AXES.index(axis)] = index  # a view: np.take would walk through the whole volume
    return values[tuple(cut)].T[::-1, ::-1]


def plane_spacing_mm(volume: Volume, axis: Axis) -> tuple[float, float]:
    """(x, y) distance of pixel centres in a slice."""
    first, second = (mm for name, mm in zip(AXES, volume.spacing_mm, strict=True) if name != axis)
    return first, second


def square_size(size_px: tuple[int, int], spacing_mm: tuple[float, float]) -> tuple[int, int]:
    """(width, height) with square pixels of the finer spacing; the size itself where they differ by under 1 %."""
    fine = min(spacing_mm)
    if max(spacing_mm) / fine < 1.01:
        return size_px
    width, height = (max(1, round(pixels * mm / fine)) for pixels, mm in zip(size_px, spacing_mm, strict=True))
    return width, height


def resize(pixels_HW: NDArray[Any], size_px: tuple[int, int]) -> NDArray[Any]:
    """[H', W'] at (width, height): uint8 with interpolation, bool by the nearest pixel."""
    if pixels_HW.shape == size_px[::-1]:
        return pixels_HW
    how = Image.Resampling.NEAREST if pixels_HW.dtype == bool else Image.Resampling.BILINEAR  # labels do not mix
    image = Image.fromarray(np.ascontiguousarray(pixels_HW, np.uint8))
    return np.asarray(image.resize(size_px, how)).astype(pixels_HW.dtype)
