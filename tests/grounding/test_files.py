"""Files and folders: a full disk is told as one, a folder has one writer, what is damaged is told in one line."""

import errno
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import pytest

from medglip.grounding import files
from medglip.grounding.bad_input import BadInput, damaged
from medglip.grounding.files import claim_folder, locked, read_object, write_folder, write_together

Usage = namedtuple("Usage", "total used free")
WRITER = """
import sys
from pathlib import Path
from medglip.grounding.bad_input import BadInput
from medglip.grounding.files import locked
try:
    with locked(Path(sys.argv[1]), "a run"):
        print("written")
except BadInput as error:
    print(error)
"""


HOLDER = """
import sys, time
from filelock import FileLock
with FileLock(sys.argv[1]):
    print("held", flush=True)
    time.sleep(1)
"""


def second_writer(file: Path) -> str:
    done = subprocess.run([sys.executable, "-c", WRITER, str(file)], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.mark.parametrize("words", ["basic_ios::clear: iostream error", "I/O error: No space left on device"])
def test_what_torch_raises_on_a_full_disk_is_an_error_of_the_disk_and_the_old_folder_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "weights").write_text("old")
    monkeypatch.setattr(files.shutil, "disk_usage", lambda _: Usage(100, 100, 0))
    with pytest.raises(OSError, match="No space left") as caught, write_folder(tmp_path / "kept"):
        raise RuntimeError(words)
    assert caught.value.errno == errno.ENOSPC
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    assert (tmp_path / "kept" / "weights").read_text() == "old"


def test_another_error_on_a_disk_with_room_stays_what_it_is(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="shapes differ"), write_folder(tmp_path / "new"):
        raise RuntimeError("shapes differ")
    assert not list(tmp_path.iterdir())


def test_a_second_process_is_told_and_a_third_may_write_when_the_first_has_ended(tmp_path: Path) -> None:
    with locked(tmp_path / ".lock", "a run"), locked(tmp_path / ".lock", "a run"):  # the same process may ask twice
        told = second_writer(tmp_path / ".lock")
    assert told.startswith(f"{tmp_path}: another process is writing a run here.")
    assert "\n" not in told
    assert second_writer(tmp_path / ".lock") == "written"


def test_who_may_wait_writes_when_the_other_has_ended(tmp_path: Path) -> None:
    file = tmp_path / ".lock"
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(file)], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(BadInput, match="another process is writing reports here"), locked(file, "reports"):
            pass
        with locked(file, "reports", wait_s=60):
            assert other.wait() == 0


@pytest.mark.parametrize("content", [b"\xff", b"{", b"[1]", b"[" * 100_000, None])
def test_a_damaged_object_is_told_in_one_line_with_its_file(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "settings.json"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(BadInput, match=r"settings\.json: .*Fix: copy it again") as caught:
        read_object(file)
    assert "\n" not in str(caught.value)
    if content is not None:
        with pytest.raises(BadInput, match=r"settings\.json: .*Fix: give another folder"):
            claim_folder(file, {"a": 1}, "other settings")


def test_a_full_disk_while_reading_is_not_called_damage(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No space left"), damaged(tmp_path):
        raise OSError(errno.ENOSPC, "No space left on device")


def test_files_that_belong_together_are_all_written_or_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = tmp_path / "a.json", tmp_path / "a.html"
    first.write_text("before")

    def full(path: Path, data: bytes) -> int:
        if "a.html" in path.name:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        return whole(path, data)

    whole = Path.write_bytes
    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space"):
        write_together({first: "after", second: "after"})
    assert first.read_text() == "before"
    assert [file.name for file in tmp_path.iterdir()] == ["a.json"]
