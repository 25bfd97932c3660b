"""NIfTI volumes in one orientation, and their slices as a radiologist sees them. Needs nibabel.

Voxel axes are turned to the closest of right, anterior, superior (RAS, as nibabel names them); nothing is resampled.
The patient's right is at the left of axial and coronal slices, the front at the top of axial and at the left of
sagittal ones, the head at the top of the others. Text fields of the header (`descrip`, `aux_file`) are never read.
"""

import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..bad_input import BadInput, explain

Axis = Literal["sagittal", "coronal", "axial"]
AXES: tuple[Axis, ...] = ("sagittal", "coronal", "axial")
"""Names of the axes that slices lie across, in order: x to the right, y to the front, z to the head."""
_ERRORS = (OSError, EOFError, ValueError, KeyError, TypeError, OverflowError, MemoryError, zlib.error, struct.error)


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

    Raises `BadInput` for a missing, damaged or non-NIfTI file, an unusable orientation, and a channel too high.
    """
    import nibabel  # loaded here: most sets do without it
    from nibabel.filebasedimages import ImageFileError
    from nibabel.spatialimages import HeaderDataError, SpatialImage

    if not path.is_file():
        raise BadInput("no such volume.", file=path, fix="check the path")
    fix = "copy or export it again"
    with explain("damaged, or no NIfTI file", ImageFileError, HeaderDataError, *_ERRORS, file=path, fix=fix):
        image: Any = nibabel.load(path)
        if not isinstance(image, SpatialImage):
            raise BadInput("holds no volume.", file=path, fix="give a .nii or .nii.gz file")
        turned: Any = nibabel.as_closest_canonical(image)
        values, affine = np.asanyarray(turned.dataobj), np.asarray(turned.affine, np.float64)
    if values.ndim == 4:
        if not channel < values.shape[3]:
            raise BadInput(f"has {values.shape[3]} channels, not {channel + 1}.", file=path, fix="set `channel` lower")
        values = values[..., channel]
    if values.ndim != 3 or values.dtype.kind not in "biuf" or not abs(np.linalg.det(affine[:3, :3])) > 1e-9:
        raise BadInput(f"no volume of three axes: {values.shape}.", file=path, fix="export one volume of grey values")
    return Volume(values=values, affine=affine)


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
