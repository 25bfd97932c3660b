"""DICOM files of pydicom's own collection, from the command line to regions and pictures: modality, place, privacy."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread
from pydicom.data import get_testdata_file
from typer.testing import CliRunner

from medglip.grounding.files import read_lines
from medglip.grounding.grounders.medglip import MedGlipGrounder
from medglip.grounding.imaging.read import read_image
from medglip.grounding.model.processing import MedGlipProcessor, train_tokenizer
from medglip.grounding.training.core import build
from medglip.grounding.training.settings import GroundingSettings, ModelSettings
from medglip.grounding.types import region_from_json
from medglip.scripts.cli.main import app
from medglip.scripts.inference.finder import MIN_SIDE_PX, Finder

FILES = {"CT_small.dcm": "ct", "MR_small.dcm": "mr"}


@pytest.fixture(scope="module")
def core(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("core")
    sizes = ModelSettings(image_size=64, width=16, stage_widths=(8, 8, 8, 8), hidden_size=8, depths=(1, 1, 1, 2))
    processor = MedGlipProcessor(train_tokenizer(["liver", "spleen"]), 64)
    grounder = MedGlipGrounder(build(GroundingSettings(model=sizes), len(processor.tokenizer)), processor)
    for part in (grounder.model, grounder.processor):
        part.save_pretrained(folder)
    (folder / "vocabulary.json").write_text(json.dumps({"ct": ["liver", "spleen"], "mr": ["liver"]}))
    return folder


def predict(core: Path, files: list[Path], out: Path, *words: str) -> str:
    asked = ["grounding", "predict", *files, "--checkpoint", core, "--out", out, "--min-score", "0", *words]
    result = CliRunner().invoke(app, [str(word) for word in asked], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def sample(name: str) -> Path:
    found = get_testdata_file(name)
    assert isinstance(found, str)
    return Path(found)


def test_the_header_says_the_modality_unless_the_user_does(core: Path, tmp_path: Path) -> None:
    predict(core, [sample(name) for name in FILES], tmp_path / "a")
    rows = list(read_lines(tmp_path / "a" / "regions.jsonl"))
    assert {row["image"]: row["modality"] for row in rows} == FILES
    assert [row["phrases"] for row in rows] == [["liver", "spleen"], ["liver"]]  # usual in this modality
    predict(core, [sample("CT_small.dcm")], tmp_path / "b", "--modality", "mr")
    assert next(read_lines(tmp_path / "b" / "regions.jsonl"))["phrases"] == ["liver"]


def test_pictures_and_regions_are_of_the_original_pixels_and_upright(core: Path, tmp_path: Path) -> None:
    predict(core, [sample(name) for name in FILES], tmp_path, "--phrases", "liver")
    for row in read_lines(tmp_path / "regions.jsonl"):
        data = dcmread(sample(row["image"]))
        size = (int(data.Columns), int(data.Rows))
        assert tuple(row["size_px"]) == size
        assert row["regions"]
        for region in map(region_from_json, row["regions"]):
            assert region.box_xyxy_px[2] <= size[0]
            assert region.box_xyxy_px[3] <= size[1]
            assert region.mask is None or region.mask.shape == size[::-1]
        values = data.pixel_array.astype(np.float64)
        with Image.open(tmp_path / row["picture"]) as drawn:
            scale = -(-MIN_SIDE_PX // max(size))  # small pictures are enlarged, regions stay as they are
            assert drawn.size == (scale * size[0], scale * size[1])
        shown = np.asarray(read_image(sample(row["image"])).convert("L"), np.float64)
        likeness = [
            np.corrcoef(shown.ravel(), turned.ravel())[0, 1] for turned in (values, values[::-1], values[:, ::-1])
        ]
        assert likeness[0] > max(0.7, *likeness[1:])


def test_an_overlay_differs_from_its_picture_where_regions_are_alone(core: Path, tmp_path: Path) -> None:
    file, out = sample("MR_small.dcm"), tmp_path / "overlay.png"
    predict(core, [file], out, "--phrase", "liver", "--min-score", "1")  # nothing is drawn
    with Image.open(out) as drawn:
        assert np.array_equal(np.asarray(drawn), np.asarray(read_image(file)))


def test_what_ends_a_batch_costs_no_earlier_image(core: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find, images = Finder.find, [sample("CT_small.dcm"), sample("MR_small.dcm")]

    def fail_at_the_second(self: Finder, image: Path, *rest: Any) -> Any:
        if image == images[1]:
            raise MemoryError
        return find(self, image, *rest)

    monkeypatch.setattr(Finder, "find", fail_at_the_second)
    with pytest.raises(MemoryError):
        predict(core, images, tmp_path, "--phrase", "liver")
    assert [row["image"] for row in read_lines(tmp_path / "regions.jsonl")] == ["CT_small.dcm"]


@pytest.mark.parametrize("name", FILES)
def test_no_patient_field_is_written_or_said(core: Path, tmp_path: Path, name: str) -> None:
    data = dcmread(sample(name))
    secrets = {
        str(element.value) for element in data if element.keyword.startswith(("Patient", "Study", "Institution"))
    }
    secrets |= {str(data.get(word)) for word in ("AccessionNumber", "SOPInstanceUID", "StationName", "SeriesDate")}
    secrets = {secret for secret in secrets if len(secret) > 3 and secret != "None"}
    assert any("CompressedSamples" in secret for secret in secrets)
    said = predict(core, [sample(name)], tmp_path / "many", "--phrase", "liver")
    said += predict(core, [sample(name)], tmp_path / "one.jpg", "--phrase", "liver")
    written = [path for path in tmp_path.rglob("*") if path.is_file() and path.name != ".lock"]
    assert len(written) == 3
    for path in written:
        if path.suffix != ".jsonl":
            with Image.open(path) as picture:
                assert not picture.getexif()
                assert set(picture.info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density", "dpi"}
    everything = said.encode() + b"".join(path.read_bytes() for path in written)
    assert not [secret for secret in secrets if secret.encode() in everything]
