"""Damaged input is read, or refused in one line: every reader, inputs drawn from a seed.

`make fuzz N=2000 SEED=1` tries more of them, `make fuzz READER="set coco" SEED=1 CASE=17` one again.
"""

import os
from pathlib import Path

import pytest
from fuzz import models, pictures, records, region_sets, task_sets
from fuzz.trying import Reader, attempt_with, damage, shrink

READERS: dict[str, Reader] = {
    **pictures.READERS,
    **region_sets.READERS,
    **task_sets.READERS,
    **records.READERS,
    **models.READERS,
}
NUMBER, SEED, CASE = (os.environ.get(f"FUZZ_{name}", "") for name in ("N", "SEED", "CASE"))
SMALLEST = Path("build/fuzz").resolve()
MAX_FAULTS = 10  # of a reader, each of another kind


@pytest.fixture(autouse=True)
def _own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDGLIP_DATA", str(tmp_path))
    monkeypatch.setenv("MEDGLIP_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize("name", READERS)
def test_damaged_input_is_held(name: str, tmp_path: Path) -> None:
    reader, folder, seed = READERS[name], tmp_path / "input", int(SEED or 0)
    folder.mkdir()
    reader.make(folder)
    files = reader.files(folder)
    assert files
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        reader.read()  # what is whole is read
    cases = [int(CASE)] if CASE else range(max(3, round(reader.weight * int(NUMBER or 12))))
    faults: dict[str, str] = {}
    for case in cases:
        file, data = damage(files, name, seed, case)
        fault = attempt_with(reader, folder, file, data)
        if fault and fault.kind not in faults and len(faults) < MAX_FAULTS:
            smallest = SMALLEST / name.replace(" ", "-") / f"{case}-{file.name}"
            smallest.parent.mkdir(parents=True, exist_ok=True)
            smallest.write_bytes(shrink(reader, folder, file, data, fault.kind))
            again = f'make fuzz READER="{name}" SEED={seed} CASE={case}'
            where = f"{file.relative_to(folder)} as {smallest} ({smallest.stat().st_size} bytes)"
            faults[fault.kind] = f"{fault.kind}: {fault.words}\n  {where}\n  {again}"
    if faults:
        pytest.fail("\n".join(["", *faults.values()]), pytrace=False)
