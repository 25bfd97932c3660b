"""One picture out of many: frames, series and what else a folder of a disc holds."""

from pathlib import Path

import numpy as np
import pydicom
from PIL import Image
from pydicom.uid import generate_uid

from medglip.grounding.imaging.read import read_image
from medglip.scripts.app.desk import Desk
from medglip.scripts.app.stacks import frame_of, one_of_each_series, slice_of, values_of

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


def test_a_window_acts_over_the_values_of_the_file_and_begins_at_the_headers(tmp_path: Path) -> None:
    hounsfield = np.tile(np.arange(-1000, 1000, 500, dtype=np.int16), (4, 1))  # -1000 -500 0 500
    file = write(
        tmp_path / "ct.dcm", BitsAllocated=16, BitsStored=16, HighBit=15, RescaleIntercept=-1024, RescaleSlope=1,
        WindowCenter=[40, -600], WindowWidth=[400, 1500], PixelData=(hounsfield + 1024).tobytes(), Modality="CT",
    )  # fmt: skip
    grey = values_of(file)
    assert grey is not None
    assert (grey.values_HW == hounsfield).all()
    assert (grey.centre, grey.width) == (40, 400)
    assert grey.show(-600, 1500)[0].tolist() == [60, 144, 230, 255]  # in the header's window two are black
    assert abs(grey.show(grey.centre, grey.width).astype(int) - np.asarray(read_image(file))[..., 0]).max() <= 1
    inverted = values_of(write(tmp_path / "x.dcm", frames=3, PhotometricInterpretation="MONOCHROME1"), part=1)
    assert inverted is not None
    assert inverted.show(40, 80)[0, 0] == 0  # 80 in the last frame, the end of the window


def test_values_are_those_of_sixteen_bits_and_of_a_slice_and_colours_have_none(tmp_path: Path) -> None:
    import nibabel

    deep = np.linspace(0, 60_000, 64, dtype=np.uint16).reshape(8, 8)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    Image.fromarray(np.repeat(np.arange(64, dtype=np.uint8).reshape(8, 8, 1), 3, 2)).save(tmp_path / "grey.png")
    Image.fromarray(np.arange(192, dtype=np.uint8).reshape(8, 8, 3)).save(tmp_path / "colour.png")
    volume = np.random.default_rng(0).normal(0, 300, (6, 5, 4)).astype(np.float32)
    nibabel.Nifti1Image(volume, np.diag([1, 1, 1, 1])).to_filename(tmp_path / "ct.nii.gz")  # pyright: ignore[reportPrivateImportUsage]
    wide, grey = values_of(tmp_path / "deep.png"), values_of(tmp_path / "grey.png")
    cut = values_of(tmp_path / "ct.nii.gz", "ct", "coronal", 1)
    assert wide
    assert grey
    assert cut
    assert (wide.values_HW == deep).all()
    assert (grey.centre, grey.width, grey.values_HW.max()) == (127.5, 255, 63)
    assert cut.values_HW.shape == (4, 6)
    assert np.isclose(cut.values_HW.max(), volume[:, -1].max())
    shown = np.asarray(Image.open(slice_of(tmp_path / "ct.nii.gz", "ct", "coronal", 1)).convert("L"))
    assert (cut.show(cut.centre, cut.width) == shown).all()
    assert values_of(tmp_path / "colour.png") is None
