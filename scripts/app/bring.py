"""Pictures that come from outside, into the folder of a session: uploads, `data:` addresses, volumes as one slice.

Nothing of what a caller sends is taken for a path of this machine, and no address is fetched.
"""

import base64
import binascii
import re
from pathlib import Path

from PIL import Image

from ...grounding.bad_input import BadInput, in_one_line
from ...grounding.imaging.nifti import AXES, Axis, plane, plane_spacing_mm, read_volume, resize, square_size
from ...grounding.imaging.window import percentile_window, to_uint8, unit_scale
from ...grounding.modalities import MODALITIES, parse_modality

MAX_BYTES = 256 * 2**20
"""Of one upload."""
MAX_ERROR = 400
"""Letters of the line that an error becomes."""
_PATH = re.compile(r"(?<![\w.:/])/(?:[^/\s:'\"]+/)+([^/\s:'\"]*)")
_ADDRESS = re.compile(r"data:[\w.+-]*/?[\w.+-]*(?:;[\w.+=-]+)*;base64,", re.IGNORECASE)
_ENDINGS = {b"\x89PNG": ".png", b"\xff\xd8\xff": ".jpg", b"BM": ".bmp", b"II*\0": ".tif", b"MM\0*": ".tif"}


def error_line(error: Exception) -> str:
    """What went wrong as one line of at most `MAX_ERROR` letters, each path of this machine shortened to its name."""
    if isinstance(error, BadInput) and error.file:
        name = Path(error.file).name
        error = BadInput(error.problem.replace(str(error.file), name), file=name, row=error.row, fix=error.fix)
    words = _PATH.sub(r"\1", " ".join(str(error).split()) or type(error).__name__)
    return words if len(words) <= MAX_ERROR else f"{words[: MAX_ERROR - 4]} ..."


def safe_name(name: str) -> str:
    """The last part of a name that a caller gave, as a file name of ours: Latin letters, digits, `.`, `_` and `-`."""
    last = re.split(r"[/\\]", name)[-1]
    return re.sub(r"[^A-Za-z0-9._-]+", "_", last).lstrip(".-")[-80:] or "image"


def keep(content: bytes, name: str, folder: Path) -> Path:
    """A file of this content in the folder, under a safe name that nothing there has. Raises `BadInput` by size."""
    if not content:
        raise BadInput("the file is empty.", file=safe_name(name), fix="choose it again")
    if len(content) > MAX_BYTES:
        raise BadInput("the file is too large.", file=safe_name(name), fix=f"at most {MAX_BYTES >> 20} MiB")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / safe_name(name)
    for number in range(2, 10_000):
        try:
            with path.open("xb") as file:
                file.write(content)
            return path
        except FileExistsError:
            path = folder / f"{number}-{safe_name(name)}"
    raise BadInput("too many files of one name.", file=safe_name(name), fix="rename some of them")


def from_address(address: str, folder: Path) -> Path:
    """The picture of a `data:...;base64,` address as a file. Raises `BadInput` for any other address or path."""
    head = _ADDRESS.match(address.strip())
    if head is None:
        fix = "send the file itself, or data:image/png;base64,..."
        raise BadInput("the image is neither a file nor a data: address.", fix=fix)
    try:
        content = base64.b64decode("".join(address.strip()[head.end() :].split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadInput(
            f"the data: address is no base64 ({in_one_line(error)}).", fix="encode the file again"
        ) from error
    ending = next((ending for start, ending in _ENDINGS.items() if content.startswith(start)), "")
    is_nifti = "nifti" in head[0].lower() or content[344:347] in (b"n+1", b"ni1")
    return keep(content, f"image{ending or ('.nii' if is_nifti else '')}", folder)


def is_volume(path: Path) -> bool:
    """Whether a file is a NIfTI volume, by its name."""
    return path.name.lower().endswith((".nii", ".nii.gz"))


def slice_of(path: Path, modality: str = "", axis: Axis = "axial", part: float = 0.5) -> Path:
    """One slice of a NIfTI volume as a PNG beside it, square pixels, in the window of its modality.

    `part`: where in the volume, in [0, 1]. Raises `BadInput` as `read_volume` does.
    """
    volume = read_volume(path)
    index = round(min(max(part, 0.0), 1.0) * (volume.values.shape[AXES.index(axis)] - 1))
    values_HW = plane(volume.values, axis, index)
    window = MODALITIES[parse_modality(modality or "unknown")].window or percentile_window(volume.values)
    grey_HW = to_uint8(unit_scale(values_HW, *window))
    size_px = square_size((grey_HW.shape[1], grey_HW.shape[0]), plane_spacing_mm(volume, axis))
    out = path.with_name(f"{path.name.split('.')[0]}-{axis}-{index}.png")
    Image.fromarray(resize(grey_HW, size_px)).convert("RGB").save(out)
    return out
