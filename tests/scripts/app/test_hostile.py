"""Hostile uploads, names, words and addresses: each gets one short line and a 4xx, and leaves nothing behind."""

import base64
import io
import json
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydicom
import pytest
from app_page import OF_GRADIO

pytest.importorskip("gradio", reason="gradio is not installed: pip install 'medglip[app]'")
pytest.importorskip("mcp", reason="mcp is not installed: pip install 'medglip[app]'")
pytestmark = OF_GRADIO

from starlette.testclient import TestClient  # noqa: E402

from medglip.scripts.app.desk import Desk  # noqa: E402
from medglip.scripts.app.serve import build  # noqa: E402

CHEST = Path(__file__).parents[3] / "examples" / "data" / "images" / "xray-1.png"
DICOM = CHEST.parents[1] / "chest.dcm"
PNG = CHEST.read_bytes()
ADDRESS = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"
SCRIPT = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def client(desk: Desk) -> Iterator[TestClient]:
    with TestClient(build(desk), base_url="http://127.0.0.1:7860") as opened:  # pyright: ignore[reportArgumentType]
        yield opened


def huge_png() -> bytes:
    """A header that promises 60,000 times 60,000 pixels."""
    header = b"IHDR" + struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))


def zipped() -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        archive.writestr("../../evil.png", PNG)
    return held.getvalue()


def file(content: bytes, name: str = "scan.png") -> dict[str, Any]:
    return {"files": {"image": (name, content)}, "data": {"phrase": "heart"}}


def words(**named: Any) -> dict[str, Any]:
    return {"files": {"image": ("scan.png", PNG)}, "data": named}


def body(**named: Any) -> dict[str, Any]:
    return {"json": {"image": ADDRESS, **named}}


def picture(image: Any) -> dict[str, Any]:
    return {"json": {"image": image, "phrase": "heart"}}


HOSTILE: dict[str, tuple[str, dict[str, Any]]] = {
    "a name that climbs": ("ground", file(b"x", "../../../../tmp/evil.png")),
    "a name of Windows that climbs": ("ground", file(b"x", "..\\..\\evil.png")),
    "a name that is a path": ("ground", file(b"x", "/etc/cron.d/evil")),
    "a name with a NUL": ("ground", file(b"x", "a\0b.png")),
    "a name of 5,000 letters": ("ground", file(b"x", "a" * 5000 + ".png")),
    "a name with a script": ("ground", file(b"x", SCRIPT + ".png")),
    "a name with a line": ("ground", file(b"x", "a\nb.png")),
    "a name of dots": ("ground", file(b"x", "..")),
    "an empty file": ("ground", file(b"")),
    "an SVG": ("ground", file(b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>", "x.svg")),
    "HTML": ("ground", file(b"<html><script>alert(1)</script></html>", "x.html")),
    "a ZIP": ("ground", file(zipped())),
    "a pickle": ("ground", file(b"\x80\x04cos\nsystem\n(S'true'\ntR.", "x.pt")),
    "half a PNG": ("ground", file(PNG[: len(PNG) // 2])),
    "a PNG that promises too much": ("ground", file(huge_png())),
    "half a DICOM file": ("ground", file(DICOM.read_bytes()[:400], "x.dcm")),
    "a DICOM file of noise": ("ground", file(b"\0" * 128 + b"DICM" + b"\xff" * 400, "x.dcm")),
    "a NIfTI file of noise": ("ground", file(b"\x1f\x8b" + b"\0" * 99, "x.nii.gz")),
    "a path of the server": ("ground", picture("/etc/passwd")),
    "a true picture of the server": ("ground", picture(str(CHEST))),
    "a relative path": ("ground", picture("../../examples/data/images/xray-1.png")),
    "file://": ("ground", picture("file:///etc/passwd")),
    "http://": ("ground", picture("http://169.254.169.254/latest/meta-data")),
    "https://": ("ground", picture("https://elsewhere.example/x.png")),
    "an address of no base64": ("ground", picture("data:image/png;base64,***")),
    "an address of nothing": ("ground", picture("data:image/png;base64,")),
    "an address of HTML": ("ground", picture("data:text/html;base64,PHNjcmlwdD4=")),
    "an address without its content": ("ground", picture("data:image/png")),
    "a list as picture": ("ground", picture([ADDRESS])),
    "a number as picture": ("ground", picture(7)),
    "gradio's word for a file": ("ground", picture({"path": str(CHEST), "meta": {"_type": "gradio.FileData"}})),
    "no picture": ("ground", {"json": {"phrase": "heart"}}),
    "a path as form": ("ground", {"data": {"image": "/etc/passwd"}}),
    "two pictures of one name": ("ground", {"files": [("image", ("a.png", PNG)), ("image", ("b.png", PNG))]}),
    "a picture where words belong": ("ground", {"files": {"image": ("a.png", PNG), "phrase": ("b.png", PNG)}}),
    "an argument that is not there": ("ground", words(path="/etc/passwd")),
    "an argument with a script as name": ("ground", words(**{SCRIPT: "1"})),
    "10,000 phrases": ("ground", words(phrase=";".join(f"p{number}" for number in range(10_000)))),
    "300 short phrases": ("ground", words(phrase=";".join(f"p{number}" for number in range(300)))),
    "a phrase of a megabyte": ("ground", words(phrase="a" * 2**20)),
    "a list as phrase": ("ground", body(phrase=["heart"])),
    "half a letter": ("ground", {"content": b'{"image": "\\ud800"}', "headers": {"content-type": "application/json"}}),
    "half a letter in a phrase": (
        "ground",
        {
            "content": json.dumps({"image": ADDRESS, "phrase": "\ud800"}).encode(),
            "headers": {"content-type": "application/json"},
        },
    ),
    "a modality with a script": ("ground", words(modality=SCRIPT)),
    "NaN": ("ground", words(min_score="nan")),
    "infinity": ("ground", words(min_score="inf")),
    "a score below 0": ("ground", words(min_score="-1")),
    "a word as score": ("ground", words(min_score="high")),
    "a model that is a path": ("ground", words(model="/etc")),
    "a box outside": ("measure", words(boxes="-50,-50,-10,-10 heart")),
    "a box of NaN": ("measure", words(boxes="nan,nan,nan,nan heart")),
    "a box that is none": ("measure", words(boxes=SCRIPT)),
    "a box without size": ("measure", words(boxes="10,10,10,10")),
    "a box of 1e308, which is none": ("zoom", words(box="1e308,1e308,1e308,1e308")),
    "a corner that is no number": ("zoom", words(box="nan,0,9,9")),
    "an endless margin": ("zoom", words(box="1,1,9,9", margin="inf")),
    "no question": ("ask", words(model="rules")),
    "an empty question": ("ask", words(question="  ", model="rules")),
    "evidence that is none": ("ask", words(question="Why?", evidence="oracle; rm -rf /")),
    "a form of evidence that is none": ("ask", words(question="Why?", forms="../text", model="rules")),
    "a form of files that is none": ("report", words(files="exe", model="rules")),
    "DICOM about a PNG": ("report", words(files="dicom", model="rules")),
    "deep JSON": ("ground", {"content": b"[" * 10**5, "headers": {"content-type": "application/json"}}),
    "JSON that is no UTF-8": ("ground", {"content": b'{"a":"\xff"}', "headers": {"content-type": "application/json"}}),
}


def line_of(answer: Any) -> str:
    return answer.json()["error"]


def check(line: str, desk: Desk) -> None:
    assert 0 < len(line) <= 400
    assert "\n" not in line
    assert "Traceback" not in line
    for place in (str(desk.folder), str(CHEST.parent), str(Path.cwd()), "site-packages"):
        assert place not in line


@pytest.mark.parametrize("what", HOSTILE)
def test_what_is_hostile_gets_one_line_and_leaves_nothing(client: TestClient, desk: Desk, what: str) -> None:
    name, request = HOSTILE[what]
    answer = client.post(f"/api/{name}", **request)
    assert 400 <= answer.status_code < 500, answer.text
    check(line_of(answer), desk)
    assert {entry.name for entry in desk.folder.iterdir()} <= {"samples", "uploads"}


def test_names_and_patient_fields_are_told_to_nobody(client: TestClient) -> None:
    sent = {"image": (f"../{SCRIPT}.dcm", DICOM.read_bytes())}
    told = client.post("/api/ground", files=sent, data={"phrase": SCRIPT}).json()
    assert told["image"] == "_img_src_x_onerror_alert_1_.dcm"
    header = pydicom.dcmread(DICOM)
    assert header.PatientID == "phantom-1"
    assert header.PatientID not in json.dumps(told)


def uploaded(client: TestClient, content: bytes, name: str) -> str:
    return client.post("/gradio_api/upload", files={"files": (name, content)}).json()[0]


def event(client: TestClient, data: list[Any]) -> tuple[int, str]:
    """The status and the last line of a call of gradio's own API."""
    begun = client.post("/gradio_api/call/ground", json={"data": data})
    if begun.status_code != 200:
        return begun.status_code, line_of(begun)
    last = client.get(f"/gradio_api/call/ground/{begun.json()['event_id']}").text.strip().splitlines()
    return 200 if last[-2] == "event: complete" else 0, last[-1].removeprefix("data: ")


def as_file(path: Any) -> dict[str, Any]:
    return {"path": path, "meta": {"_type": "gradio.FileData"}}


REST = ["heart", "xray", 0.25, False, ""]


@pytest.mark.parametrize(
    "image",
    [
        as_file(str(CHEST)),
        as_file("/etc/passwd"),
        as_file("http://127.0.0.1:9/x.png"),
        as_file("a" * 5000),
        as_file("\0"),
        as_file(""),
        as_file(None),
        str(CHEST),
        "file:///etc/passwd",
        "http://127.0.0.1:9/x.png",
        {"path": str(CHEST)},
        7,
        None,
    ],
)
def test_gradios_own_api_reads_no_file_of_the_server(client: TestClient, desk: Desk, image: Any) -> None:
    status, line = event(client, [image, *REST])
    assert status in (0, 422)
    assert status or json.loads(line)["error"]
    check(line, desk)


def test_gradios_own_api_takes_uploads_and_addresses_alike(client: TestClient) -> None:
    path = uploaded(client, PNG, "scan.png")
    by_file, by_address = (event(client, [image, *REST]) for image in (as_file(path), ADDRESS))
    assert by_file[0] == by_address[0] == 200
    assert json.loads(by_file[1])[0]["regions"] == json.loads(by_address[1])[0]["regions"] != []


def test_gradios_own_api_tells_wrong_calls_in_a_line(client: TestClient, desk: Desk) -> None:
    for data in ([], [ADDRESS], [ADDRESS, 5, {}, "x", 3, None]):
        status, line = event(client, data)
        assert status == 0
        check(json.loads(line)["error"], desk)
    assert client.post("/gradio_api/call/nothing", json={"data": []}).status_code == 404


@pytest.mark.parametrize(
    ("name", "content"), [("x.svg", b"<svg onload='alert(1)'/>"), ("x.html", b"<script>1</script>")]
)
def test_an_upload_that_is_opened_runs_nothing(client: TestClient, name: str, content: bytes) -> None:
    shown = client.get(f"/gradio_api/file={uploaded(client, content, name)}")
    assert shown.status_code == 200
    policy = shown.headers["content-security-policy"]
    assert policy.startswith("sandbox;")
    assert "script" not in policy
