"""A real server: `transformers serve` with a model of ours gives the records that the local path gives."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from medglip.grounding.datasets.phantoms import dataset as phantoms
from medglip.grounding.datasets.settings import PhantomSettings
from medglip.grounding.evidence.names import SOURCES
from medglip.grounding.files import read_lines
from medglip.scripts.cli.main import app
from medglip.scripts.inference.systems import AdapterSystem

# the class of our image tower is registered where this module is imported
SERVE = (
    "import sys, medglip.vqa.model.grounded_mllm; from transformers.cli.transformers import main; "
    "sys.argv = ['transformers', 'serve', *sys.argv[1:], '--device', 'cpu', '--dtype', 'float32']; main()"
)
SAME = ("id", "prediction", "parsed", "prompt_sha256", "regions", "phrases", "evidence", "forms", "answer", "meta")


@pytest.fixture(scope="module")
def server(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server of the tiny default."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = tmp_path_factory.mktemp("serve")
    command = [sys.executable, "-c", SERVE, str(tiny_base), "--host", "127.0.0.1", "--port", str(port)]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, cwd=folder, env={**os.environ, "HF_HOME": str(folder)}
        )
    try:
        for _ in range(600):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5)
                break
            except OSError:
                assert process.poll() is None, (folder / "log").read_text()
                time.sleep(0.5)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        process.wait(30)


@pytest.mark.thorough
def test_every_source_gives_the_records_of_the_local_path(
    server: str, tiny_base: Path, tiny_core: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In fp32 on both sides: what a random model prefers hangs on the last bits of bf16."""
    read = AdapterSystem._read

    def read_fp32(self: AdapterSystem, own: dict[str, Any], base: str | None) -> None:
        read(self, own, base)
        self.mllm = self.mllm.model_copy(update={"dtype": "fp32"})

    monkeypatch.setattr(AdapterSystem, "_read", read_fp32)
    pictures = tmp_path / "set"
    phantoms.write(pictures, PhantomSettings(num_train=1, num_val=0, num_test=2, size_px=96))
    words = ["vqa", "predict", "--dataset", "phantom", "--root", str(pictures), "--checkpoint", str(tiny_core)]
    words += ["--forms", "text+crops", "--set", "generate.max_new_tokens=6"]
    for source in SOURCES:
        rows = []
        local, far = ["--base", str(tiny_base)], ["--endpoint", server, "--model", str(tiny_base)]
        for name, where in (("local", local), ("far", far)):
            out = tmp_path / f"{name}-{source}.jsonl"
            made = CliRunner().invoke(app, [*words, "--evidence", source, "--out", str(out), *where])
            assert made.exit_code == 0, made.output
            rows.append([{key: row[key] for key in SAME} for row in read_lines(out)])
        differing = [(ours, theirs) for ours, theirs in zip(*rows, strict=True) if ours != theirs]
        assert not differing, source
        assert len(rows[0]) > 4
        assert len({row["prediction"] for row in rows[0]}) > 1
        assert all(
            row["usage"]["completion_tokens"] == 6 for row in read_lines(out) if row["finish_reason"] == "length"
        )
