"""A hub of models: names are folders of the local cache, and folders of ours are pushed, here to a stub of a server."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from medglip.grounding.bad_input import BadInput
from medglip.grounding.datasets.corpus import data_folder
from medglip.grounding.grounders.hub import check_push, hub_folder, push_folder
from medglip.grounding.grounders.pretrained import checkpoint_folder, vocabulary_of
from medglip.vqa.model.shipped import shipped_folder


class Stub(BaseHTTPRequestHandler):
    """As much of a hub as an upload of small files asks for; `seen`: paths and bodies of what was posted."""

    seen: list[tuple[str, bytes]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        self.seen.append((self.path, body))
        here = f"http://{self.headers['host']}/somebody/core"
        answer: dict[str, Any] = {"url": here, "name": "somebody/core"}
        if "preupload" in self.path:
            files = json.loads(body)["files"]
            answer = {"files": [{"path": f["path"], "uploadMode": "regular", "shouldIgnore": False} for f in files]}
        elif "commit" in self.path:
            answer = {"commitUrl": f"{here}/commit/{'1' * 40}", "commitOid": "1" * 40, "success": True}
        self._send(answer)

    def do_GET(self) -> None:
        self._send({"id": "somebody/core", "sha": "0" * 40, "siblings": [], "private": True})

    def _send(self, answer: dict[str, Any]) -> None:
        content = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing is printed."""


@pytest.fixture
def posted(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, bytes]]]:
    """What the stub was sent; HF_ENDPOINT names it."""
    seen: list[tuple[str, bytes]] = []
    server = HTTPServer(("127.0.0.1", 0), type("Own", (Stub,), {"seen": seen}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("HF_TOKEN", "hf_stub")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    yield seen
    server.shutdown()
    server.server_close()


def test_a_folder_is_pushed_without_locks_and_checkpoints(tmp_path: Path, posted: list[tuple[str, bytes]]) -> None:
    for name in ("config.json", "vocabulary.json", ".lock", "latest/optimizer.bin"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("{}")
    assert push_folder(tmp_path, "somebody/core").startswith("http")
    create, *_, (path, body) = posted
    assert create[0].endswith("/repos/create")
    assert b"private" in create[1]
    assert "/models/somebody/core/commit/" in path
    lines = [json.loads(line) for line in body.splitlines()]
    assert sorted(line["value"]["path"] for line in lines if line["key"] == "file") == [
        "config.json",
        "vocabulary.json",
    ]


def test_a_hub_that_cannot_be_reached_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(BadInput, match="could not be pushed"):
        push_folder(tmp_path, "somebody/core")
    for name in ("core", "a/b/c", ""):
        with pytest.raises(BadInput, match="--push owner/name"):
            check_push(name)
    check_push(None)


def test_a_name_of_the_hub_is_a_folder_where_one_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_core: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInput, match="--download fetches it"):
        hub_folder("somebody/core")
    with pytest.raises(BadInput, match="--download fetches it"):
        shipped_folder("adapter", "somebody/adapter")
    # as the client caches it: models--owner--name/{refs/main, snapshots/REVISION/...}
    cached, revision = tmp_path / "hub" / "models--somebody--core", "0" * 40
    (cached / "refs").mkdir(parents=True)
    (cached / "refs" / "main").write_text(revision)
    (cached / "snapshots").mkdir()
    (cached / "snapshots" / revision).symlink_to(tiny_core)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    assert checkpoint_folder("somebody/core").samefile(tiny_core)
    assert shipped_folder("adapter", "somebody/core").samefile(tiny_core)
    assert vocabulary_of("somebody/core")["xray"] == ["left lung", "nodule"]
    (tmp_path / "hub" / "datasets--somebody--set").symlink_to(cached)
    assert data_folder(Path("somebody/set")).samefile(tiny_core)
    with pytest.raises(BadInput, match="no such folder"):
        data_folder(Path("somebody/other"))
