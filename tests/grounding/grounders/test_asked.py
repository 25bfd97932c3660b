"""A function and a server as grounders: they are asked for what was asked, and odd answers are told."""

from pathlib import Path

import pytest
from PIL import Image
from serving import serve

from medglip.grounding.bad_input import BadInput
from medglip.grounding.grounders.pretrained import load_grounder
from medglip.grounding.types import AnnotatedImage

ROWS = [
    {"phrase": "liver", "box_xyxy_px": [1, 2, 3, 4], "score": 0.6},
    {"phrase": "liver", "box_xyxy_px": [5, 6, 9, 9], "score": 0.9},
    {"phrase": "spleen", "box_xyxy_px": [1, 2, 3, 4], "score": 1.0},
]
BOXES = [("liver", [5, 6, 9, 9]), ("liver", [1, 2, 3, 4])]


@pytest.fixture
def image(tmp_path: Path) -> AnnotatedImage:
    Image.new("L", (20, 10)).save(tmp_path / "a.png")
    facts = {"modality": "ct", "group": "a", "dataset": "d", "split": "test", "size_px": (20, 10)}
    return AnnotatedImage(image_id="a", image_path=tmp_path / "a.png", **facts)  # pyright: ignore[reportArgumentType]


def test_a_function_finds(image: AnnotatedImage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    text = f"def find(path, phrases):\n    assert path.name == 'a.png' and phrases == ['liver']\n    return {ROWS}\n"
    (tmp_path / "their_finder.py").write_text(text + "def odd(path, phrases):\n    return [{'phrase': 'liver'}]\n")
    found = load_grounder("their_finder:find").ground([image], [["liver"]])[0]
    assert [(region.phrase, region.box_xyxy_px.tolist()) for region in found] == BOXES
    with pytest.raises(BadInput, match="their_finder:odd gives no regions"):
        load_grounder("their_finder:odd").ground([image], [["liver"]])
    with pytest.raises(BadInput, match="no function 'their_finder:nothing'"):
        load_grounder("their_finder:nothing")


def test_a_server_finds(image: AnnotatedImage) -> None:
    with serve(lambda *_: {"regions": ROWS}) as served:
        found = load_grounder(served.url).ground([image], [["liver"]])[0]
    assert [(region.phrase, region.box_xyxy_px.tolist()) for region in found] == BOXES
    assert [request["phrases"] for request in served.requests] == [["liver"]]
    with pytest.raises(BadInput, match="gives no regions"):
        load_grounder(served.url).ground([image], [["liver"]])
