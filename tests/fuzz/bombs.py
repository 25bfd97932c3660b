"""Small files that unpack to much, and the process in which each of them is tried."""

import gzip
import resource
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from fuzz.making_files import coco_file, picture, put
from fuzz.pictures import put_dicom
from fuzz.trying import attempt
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGBaseline8Bit, RLELossless

from medglip.eval.records import read_records
from medglip.eval.score import score
from medglip.eval.settings import EvalSettings
from medglip.eval.tasks.coco import score_coco
from medglip.grounding.datasets.load import load_images
from medglip.grounding.datasets.settings import DataSettings
from medglip.grounding.foreign import read_csv, read_yaml
from medglip.grounding.imaging.nifti import read_volume
from medglip.grounding.imaging.read import read_image
from medglip.scripts.inference.user_image import user_image

GB = 10**9
SIDE = 13_000
"""A legal image of 169 million pixels."""
SECONDS = 120
"""Of computing, for the largest image on a slow machine."""


def deflated(size: int) -> bytes:
    """So many zeros as one raw deflate stream, made of a block that repeats."""
    body, tail = (zlib.compressobj(9, zlib.DEFLATED, -15) for _ in range(2))
    block = body.compress(bytes(1 << 20)) + body.flush(zlib.Z_FULL_FLUSH)
    return block * (size >> 20) + tail.compress(bytes(size % (1 << 20))) + tail.flush()


def zlibbed(size: int) -> bytes:
    return b"\x78\x9c" + deflated(size) + ((size % 65521 << 16) | 1).to_bytes(4, "big")


def png(side: int, colour: int, depth: int, channels: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", side, side, depth, colour, 0, 0, 0)
    pixels = zlibbed(side * (1 + side * channels * depth // 8))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def webp(side: int) -> bytes:
    """A black square without loss: its two sides less one are 14 bits each, its pixels a few bits in all."""
    sides = struct.pack("<I", side - 1 | (side - 1) << 14 | 1 << 28)
    return bytes.fromhex("524946461a000000574542505650384c0e0000002f") + sides + bytes.fromhex("071011fd0f4444ff03")


def float_tiff(side: int) -> bytes:
    data = zlibbed(side * side * 4)
    tags = [(256, 4, side), (257, 4, side), (258, 3, 32), (259, 3, 8), (262, 3, 1), (273, 4, 8), (277, 3, 1)]
    tags += [(278, 4, side), (279, 4, len(data)), (339, 3, 3)]
    table = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    return b"II*\0" + struct.pack("<I", 8 + len(data)) + data + struct.pack("<H", len(tags)) + table + bytes(4)


def nifti(shape: tuple[int, int, int], kind: Any) -> bytes:
    header: Any = nibabel.Nifti1Header()
    header.set_data_shape(shape)
    header.set_data_dtype(kind)
    header.set_sform(np.eye(4))
    header["magic"], header["vox_offset"] = b"n+1", 352
    size = int(np.prod(shape)) * np.dtype(kind).itemsize
    return gzip.compress(header.binaryblock + bytes(4)) + gzip.compress(bytes(1 << 24)) * (size >> 24)


def run_lengths(side: int) -> bytes:
    return struct.pack("<16L", 1, 64, *[0] * 14) + bytes([129, 0]) * (side * side // 128 + 1)


def aliases(levels: int, key: str) -> str:
    rows = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    rows += [f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 10)}]" for i in range(1, levels)]
    return "\n".join([*rows, f"{key}: *a{levels - 1}", ""])


def _read(name: str, make: Callable[[], bytes], read: Callable[[Path], Any] = read_image) -> Callable[[], Any]:
    def tried() -> None:
        Path(name).write_bytes(make())
        read(Path(name))

    return tried


def _square(side: int) -> dict[str, int]:
    return {"Rows": side, "Columns": side}


def _dicom(make: Callable[[], dict[str, Any]]) -> Callable[[], Any]:
    def tried() -> None:
        elements: Any = {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7} | make()
        put_dicom(Path("a.dcm"), **elements)
        user_image(Path("a.dcm"), None)

    return tried


def _masks(layout: str, **options: Any) -> Callable[[], Any]:
    def tried() -> None:
        for folder in ("images", "masks"):
            put(Path("set") / folder / "a.png", png(SIDE, 0, 8, 1))
        load_images([DataSettings(layout=layout, path=str(Path("set").resolve()), **options)], 0)

    return tried


def _coco(side: int) -> Callable[[], Any]:
    mask = {"size": [side, side], "counts": [side * side]}

    def tried() -> None:
        picture(Path("set/images/a.png"))
        put(Path("set/annotations.json"), coco_file("a.png", segmentation=mask))
        load_images([DataSettings(layout="coco", path=str(Path("set").resolve()))], 0)
        put(
            Path("found.json"),
            [{"image_id": 0, "category_id": 1, "bbox": [1, 1, 2, 2], "score": 1, "segmentation": mask}],
        )
        score_coco(Path("set/annotations.json"), Path("found.json"), "segm", EvalSettings(resamples=20))

    return tried


def _record(side: int) -> Callable[[], Any]:
    region = {"phrase": "a", "box_xyxy_px": [0, 0, 9, 9], "score": 1.0, "path": []}
    regions = [{**region, "mask_rle": {"size": [side, side], "counts": [0, side * side]}}]
    row = {"id": "1", "dataset": "d", "split": "test", "task": "grounding", "image_id": "i", "cluster_id": "c"}
    row |= {"question": "a", "answer": regions, "prediction": regions}

    def tried() -> None:
        put(Path("r.jsonl"), [row])
        score(read_records([Path("r.jsonl")], "grounding"), "grounding", EvalSettings(resamples=20))

    return tried


BOMBS: dict[str, Callable[[], Any]] = {
    "png rgb": _read("a.png", lambda: png(SIDE, 2, 8, 3)),
    "png rgba": _read("a.png", lambda: png(SIDE, 6, 8, 4)),
    "png grey 16": _read("a.png", lambda: png(SIDE, 0, 16, 1)),
    "png rgb 16": _read("a.png", lambda: png(SIDE, 2, 16, 3)),
    "png grey alpha 16": _read("a.png", lambda: png(SIDE, 4, 16, 2)),
    "png 20000": _read("a.png", lambda: png(20_000, 0, 8, 1)),
    "png as a user's image": _read("a.png", lambda: png(SIDE, 0, 8, 1), lambda file: user_image(file, None)),
    "webp": _read("a.webp", lambda: webp(9_400)),
    "webp 13000": _read("a.webp", lambda: webp(SIDE)),
    "tiff float": _read("a.tif", lambda: float_tiff(SIDE)),
    "label_map": _masks("label_map", classes={1: "liver"}),
    "mask_folder": _masks("mask_folder", phrase="liver"),
    "dicom run lengths": _dicom(
        lambda: {"syntax": RLELossless, "PixelData": encapsulate([run_lengths(30_000)]), **_square(30_000)}
    ),
    "dicom jpeg": _dicom(
        lambda: {"syntax": JPEGBaseline8Bit, "PixelData": encapsulate([b"\xff\xd8\xff"]), **_square(30_000)}
    ),
    "dicom grey": _dicom(
        lambda: {**_square(SIDE), "PixelData": bytes(2 * SIDE**2), "BitsAllocated": 16, "BitsStored": 12, "HighBit": 11}
    ),
    "nifti int16": _read("v.nii.gz", lambda: nifti((1600, 1600, 1600), np.int16), read_volume),
    "nifti float32": _read("v.nii.gz", lambda: nifti((1000, 1000, 1000), np.float32), read_volume),
    "rle of coco": _coco(60_000),
    "rle of coco, huge": _coco(10**6),
    "rle of a record": _record(60_000),
    "rle of a record, huge": _record(10**6),
    "rle of a record, legal": _record(16_000),
    "yaml": _read("a.yaml", lambda: aliases(9, "liver").encode(), read_yaml),
    "csv gz": _read(
        "a.csv.gz",
        lambda: gzip.compress(b"a,b\n") + gzip.compress((b"1," + b"2" * 1021 + b"\n") * 2**10) * 500,
        lambda file: sum(1 for _ in read_csv(file, ("a",))),
    ),
}


def tried_alone(name: str, folder: Path, pipe: Any) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (16 * GB, 16 * GB))  # what is not held ends here, not the machine
    fault = attempt(BOMBS[name], folder, SECONDS)
    # the peak of this process: `ru_maxrss` would be that of the one which started it, where that is higher
    peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    pipe.send((fault, int(peak.split()[1]) * 1024))
