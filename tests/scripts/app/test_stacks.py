"""One picture out of many: frames, series and what else a folder of a disc holds."""

from pathlib import Path

import numpy as np
import pydicom
from pydicom.uid import generate_uid

from medglip.grounding.imaging.read import read_image
from medglip.scripts.app.desk import Desk
from medglip.scripts.app.stacks import frame_of, one_of_each_series

DICOM = Path(__file__).parents[3] / "examples" / "data" / "chest.dcm"


def write(path: Path, frames: int = 1, **elements: object) -> Path:
    header = pydicom.dcmread(DICOM)
    header.decompress() if header.file_meta.TransferSyntaxUID.is_compressed else None
    header.Rows, header.Columns, header.NumberOfFrames = 4, 4, frames
    header.BitsAllocated, header.BitsStored, header.HighBit, header.PixelRepresentation = 8, 8, 7, 0
    header.WindowCenter, header.WindowWidth = 128, 256
    grey = np.repeat(np.arange(frames, dtype=np.uint8) * 40, 16)
    header.PixelData = grey.tobytes()
    for name, value in elements.items():
        setattr(header, name, value)
    path.parent.mkdir(exist_ok=True, parents=True)
    header.save_as(path)
    return path


def test_the_chosen_frame_is_shown_and_in_the_middle_the_file_itself(tmp_path: Path) -> None:
    film = write(tmp_path / "film.dcm", frames=5)
    levels = [int(np.asarray(read_image(frame_of(film, part))).mean()) for part in (0, 0.3, 0.5, 1)]
    assert levels == sorted(levels)
    assert len(set(levels)) == 4
    assert frame_of(film, 0.5) == film
    assert frame_of(write(tmp_path / "one.dcm"), 0) == tmp_path / "one.dcm"


def test_a_folder_gives_one_slice_of_each_series_in_the_order_of_the_series(tmp_path: Path) -> None:
    stack = generate_uid()
    names = {10: "b.dcm", 2: "c.dcm", 1: "a.dcm"}
    slices = [
        write(tmp_path / name, Modality="CT", SeriesInstanceUID=stack, InstanceNumber=number)
        for number, name in names.items()
    ]
    views = [write(tmp_path / f"view{n}.dcm", Modality="CR", SeriesInstanceUID=generate_uid()) for n in (1, 2)]
    index, words = write(tmp_path / "DICOMDIR"), tmp_path / "README.TXT"
    words.write_text("words")
    files = [words, index, *slices, *views]
    assert one_of_each_series(files, 0) == [*views, tmp_path / "a.dcm"]
    assert one_of_each_series(files, 0.5) == [*views, tmp_path / "c.dcm"]
    assert one_of_each_series(files, 1) == [*views, tmp_path / "b.dcm"]


def test_uploads_go_with_their_session_but_for_those_of_another(tmp_path: Path) -> None:
    desk = Desk()
    try:
        own, shared = (desk.folder / "uploads" / name / "x.png" for name in ("own", "shared"))
        for file in (own, shared, tmp_path / "x.png"):
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
        desk.note("one", [str(own), str(shared), str(tmp_path / "x.png")])
        desk.note("two", [str(shared)])
        desk.forget("one")
        assert not own.exists()
        assert shared.exists()
        assert (tmp_path / "x.png").exists()  # never what lies elsewhere
        desk.forget("two")
        assert not shared.exists()
    finally:
        desk.close()
