"""Draws the images that come along with `examples/`: phantoms, so that no patient is shown and no licence binds.

python -m medglip.scripts.release.samples draws `examples/data` again: fourteen images with their true regions as a COCO
folder, questions on them, and one of them as a DICOM file.
"""

import json
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian, generate_uid

from ...grounding.datasets.phantoms import dataset as phantom
from ...grounding.datasets.schema import images
from ...grounding.files import write_atomic
from ...grounding.geometry import mask_to_rle
from ...grounding.imaging.read import read_image
from ...grounding.types import AnnotatedImage
from ..app.samples import SETTINGS, named

LICENCE = (
    "The images of this folder are drawn (python -m medglip.scripts.release.samples). They show no patient.\n"
    "They are given to the public domain: CC0 1.0, https://creativecommons.org/publicdomain/zero/1.0/\n"
)


def main(out: Annotated[Path, typer.Argument()] = Path("examples/data")) -> None:
    """Draw the images of the examples."""
    shutil.rmtree(out, ignore_errors=True)
    with tempfile.TemporaryDirectory() as folder:
        phantom.write(Path(folder), SETTINGS)
        data = phantom.read(Path(folder))
        drawn = list(images(data))
        names = {image.image_id: name for name, image in named(drawn).items()}
        (out / "images").mkdir(parents=True)
        for image in drawn:
            # without the truth that phantoms carry in their files
            read_image(image.image_path).save(_file(out, names, image), optimize=True)
        rows = phantom.read_rows(Path(folder) / "questions.jsonl", ("question", "answer"), data)
        questions = [_question(row, names[image.image_id], image.modality) for _, row, image in rows]
    write_atomic(out / "annotations.json", json.dumps(_coco(drawn, names)) + "\n")
    write_atomic(out / "questions.jsonl", "".join(json.dumps(row) + "\n" for row in questions))
    write_atomic(out / "LICENSE", LICENCE)
    chest = next(image for image in drawn if image.modality == "xray")
    _write_dicom(_file(out, names, chest), out / "chest.dcm")
    typer.echo(f"written: {out}, {sum(file.stat().st_size for file in out.rglob('*.*')) / 2**10:.0f} KiB")


def _file(out: Path, names: dict[str, str], image: AnnotatedImage) -> Path:
    return out / "images" / names[image.image_id]


def _question(row: dict[str, Any], image: str, modality: str) -> dict[str, str]:
    shown = {key: str(row[key]) for key in ("question", "answer", "answer_type")}
    return {"image": image, "modality": modality, **shown}


def _coco(drawn: Sequence[AnnotatedImage], names: dict[str, str]) -> dict[str, Any]:
    phrases = sorted({phrase for image in drawn for phrase in image.phrases})
    category = {phrase: number for number, phrase in enumerate(phrases, 1)}
    rows: dict[str, Any] = {"images": [], "annotations": [], "categories": []}
    rows["categories"] = [{"id": number, "name": phrase} for phrase, number in category.items()]
    for number, image in enumerate(drawn, 1):
        width, height = image.size_px
        row = {"id": number, "file_name": names[image.image_id], "width": width, "height": height}
        rows["images"].append(row | {"modality": image.modality, "body_site": image.body_part})
        for region in image.regions:
            x0, y0, x1, y1 = (round(float(value), 1) for value in region.box_xyxy_px)
            box = {"bbox": [x0, y0, round(x1 - x0, 1), round(y1 - y0, 1)], "iscrowd": 0}
            mask = (
                {}
                if region.mask is None
                else {"segmentation": mask_to_rle(region.mask), "area": int(region.mask.sum())}
            )
            about = {"id": len(rows["annotations"]) + 1, "image_id": number, "category_id": category[region.phrase]}
            rows["annotations"].append(about | box | mask)
    return rows


def _write_dicom(picture: Path, out: Path) -> None:
    """The picture as a digital X-ray of nobody."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = DigitalXRayImageStorageForPresentation
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=["medglip sample", "instance"])
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file = FileDataset(str(out), {}, file_meta=meta, preamble=b"\0" * 128)
    pixels_HW = np.asarray(read_image(picture).convert("L"))
    values = {
        "SOPClassUID": meta.MediaStorageSOPClassUID,
        "SOPInstanceUID": meta.MediaStorageSOPInstanceUID,
        "StudyInstanceUID": generate_uid(entropy_srcs=["medglip sample", "study"]),
        "SeriesInstanceUID": generate_uid(entropy_srcs=["medglip sample", "series"]),
        "PatientName": "Phantom^Drawn",
        "PatientID": "phantom-1",
        "PatientBirthDate": "",
        "PatientSex": "O",
        "StudyDate": "20260101",
        "StudyTime": "120000",
        "StudyID": "1",
        "AccessionNumber": "",
        "ReferringPhysicianName": "",
        "Manufacturer": "medglip",
        "SeriesNumber": 1,
        "InstanceNumber": 1,
        "Modality": "DX",
        "BodyPartExamined": "CHEST",
        "PresentationIntentType": "FOR PRESENTATION",
        "PhotometricInterpretation": "MONOCHROME2",
        "SamplesPerPixel": 1,
        "Rows": pixels_HW.shape[0],
        "Columns": pixels_HW.shape[1],
        "BitsAllocated": 8,
        "BitsStored": 8,
        "HighBit": 7,
        "PixelRepresentation": 0,
        "PixelData": pixels_HW.tobytes(),
    }
    for name, value in values.items():
        setattr(file, name, value)
    file.save_as(out, enforce_file_format=True)


if __name__ == "__main__":
    typer.run(main)
