"""A decoder that never ends costs its file: told in one line, wherever it is caught on the way."""

import signal
import threading
from pathlib import Path

import pytest
from making import write_image
from PIL import PngImagePlugin

from medglip.grounding.bad_input import BadInput
from medglip.grounding.imaging import deadline as module
from medglip.grounding.imaging.deadline import deadline
from medglip.grounding.imaging.read import read_image


def spin(*_: object) -> None:
    while True:
        try:
            sum(range(1000))
        except ValueError:
            raise
        except Exception:  # as decoders do
            continue


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SECONDS", 0.05)


def test_an_image_whose_decoder_spins_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write_image(tmp_path / "a.png")
    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load", spin)
    with pytest.raises(BadInput, match=r"a\.png: no end after 0.05 seconds of decoding. Fix: it is damaged"):
        read_image(file)
    assert signal.getitimer(signal.ITIMER_VIRTUAL) == (0.0, 0.0)


def test_an_inner_deadline_leaves_the_outer_one(tmp_path: Path) -> None:
    def read() -> None:
        with deadline(tmp_path / "outer"):
            with deadline(tmp_path / "inner"):
                pass
            spin()

    with pytest.raises(BadInput, match="outer"):
        read()


def test_outside_the_main_thread_there_is_none(tmp_path: Path) -> None:
    file, found = write_image(tmp_path / "a.png"), []
    thread = threading.Thread(target=lambda: found.append(read_image(file).size))
    thread.start()
    thread.join()
    assert found == [(8, 6)]
