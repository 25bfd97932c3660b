"""Pictures that come from outside, into the folder of a session: uploads and `data:` addresses.

Nothing of what a caller sends is taken for a path of this machine, and no address is fetched.
"""

import base64
import binascii
import re
from pathlib import Path

from ...grounding.bad_input import BadInput, in_one_line
from ...grounding.parts.giving_up import GivenUp

MAX_BYTES = 256 * 2**20
"""Of one upload."""
FAULTS = (BadInput, OSError, MemoryError, GivenUp)
"""What a caller is told of in a line of its own; all else is a fault of ours."""
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
    said = str(error).encode(errors="replace").decode()  # a lone surrogate of a caller's JSON can be sent to nobody
    words = _PATH.sub(r"\1", " ".join(said.split()) or type(error).__name__)
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
        is_cut = address.startswith("data:")  # by `curl -F`, which reads on after a semicolon
        fix = "send the file itself, or data:image/png;base64,..." + " (curl: --form-string)" * is_cut
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
