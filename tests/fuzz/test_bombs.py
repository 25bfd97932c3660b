"""Small files that unpack to much are read or refused within 2 GB of a process of its own, and soon."""

import multiprocessing
from pathlib import Path

import pytest
from fuzz.bombs import BOMBS, GB, tried_alone
from fuzz.trying import Fault

pytestmark = pytest.mark.thorough
CONTEXT = multiprocessing.get_context("spawn")


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_stays_below_2_gb(name: str, tmp_path: Path) -> None:
    ours, theirs = CONTEXT.Pipe()
    process = CONTEXT.Process(target=tried_alone, args=(name, tmp_path, theirs))
    process.start()
    theirs.close()
    found: tuple[Fault | None, int] = ours.recv() if ours.poll(1800) else (Fault("hang", "no end"), 0)
    process.kill()
    process.join()
    print(f"{name}: {found[1] / GB:.2f} GB")
    assert found[0] is None
    assert found[1] < 2 * GB
