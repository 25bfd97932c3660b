"""Work is cut in one way and done by anybody: results in order, each part once, one that kills its process again."""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from medglip.grounding.bad_input import BadInput
from medglip.grounding.parts.ray_cluster import RayCluster
from medglip.grounding.parts.work import Workers, cut, finish, open_workers

# `eval` is a function that every process knows: this part kills its process where the file is not there yet
KILLS = "__import__('pathlib').Path({!r}).exists() or (open({!r}, 'w').close(), __import__('os').kill({}, 9))"


def killing(file: Path, pid: str = "__import__('os').getpid()") -> str:
    return KILLS.format(str(file), str(file), pid)


def test_parts_hold_every_item_once_in_order_and_tear_no_group() -> None:
    assert list(cut(range(7), 3)) == [[0, 1, 2], [3, 4, 5], [6]]
    assert list(cut([], 3)) == []
    assert ["".join(part) for part in cut("aabbbbcd", 3, group=str)] == ["aa", "bbbb", "cd"]


def test_a_part_is_read_before_the_next_item_is() -> None:
    items = iter(range(9))
    assert next(cut(items, 2)) == [0, 1]
    assert next(items) == 2


@pytest.mark.parametrize("first", [0, 1])
def test_shards_take_every_part_once_whether_counted_from_0_or_1(first: int) -> None:
    shards = [Workers.of(shard=f"{k}/3") for k in range(first, first + 3)]
    assert [sum(shard.takes(part) for shard in shards) for part in range(10)] == [1] * 10
    assert all(Workers().takes(part) for part in range(3))
    ranks = [shard.among(rank, 2) for shard in shards for rank in range(2)]
    assert [sum(rank.takes(part) for rank in ranks) for part in range(13)] == [1] * 13


@pytest.mark.parametrize("shard", ["3/2", "1", "a/b", "1/0", "0/0", "-1/2", "/"])
def test_what_is_no_share_is_refused(shard: str) -> None:
    with pytest.raises(BadInput, match="--shard"):
        Workers.of(shard=shard)


def test_an_unknown_engine_is_refused() -> None:
    with pytest.raises(BadInput, match="unknown engine 'rya'"):
        Workers.of(engine="rya")


@pytest.mark.slow
def test_a_part_whose_process_is_killed_is_done_again_and_the_others_are_not(tmp_path: Path) -> None:
    jobs: list[tuple[Any, ...]] = [(f"{k}",) for k in range(9)]
    jobs[4] = (killing(tmp_path / "killed"),)
    with open_workers(Workers(number=2)) as run:
        results = list(run(eval, jobs, "parts"))
        assert results[:4] + results[5:] == [0, 1, 2, 3, 5, 6, 7, 8]
        with pytest.raises(BadInput, match="killed 3 times"):
            finish(run(eval, [("__import__('os').kill(__import__('os').getpid(), 9)",)], "parts"))
        with pytest.raises(ZeroDivisionError):
            finish(run(eval, [("1 / 0",)], "parts"))


@pytest.mark.slow
def test_processes_end_with_a_caller_that_is_killed() -> None:
    code = "from medglip.grounding.parts.work import *\nif __name__ == '__main__':\n"
    code += "  with open_workers(Workers(number=2)) as run:\n"
    code += "    jobs = [(\"print(__import__('os').getpid(), flush=True) or __import__('time').sleep(120)\",)]\n"
    code += "    finish(run(eval, jobs, ''))"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as caller:
        assert caller.stdout
        assert caller.stdout.readline().strip().isdigit()
        caller.kill()
        start = time.monotonic()
        caller.stdout.read()  # ends with the last process that could write there
    assert time.monotonic() - start < 60


@pytest.mark.thorough
def test_ray_does_what_the_pool_does(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'medglip[ray]'")
    jobs: list[tuple[Any, ...]] = [("__import__('os').getpid()",), (killing(tmp_path / "killed"),), ("7",)]
    with open_workers(Workers(engine="ray", number=2)) as run:
        pid, _, seven = list(run(eval, jobs, "parts"))
        assert (seven, pid != os.getpid(), (tmp_path / "killed").exists()) == (7, True, True)
        with pytest.raises(ZeroDivisionError):
            finish(run(eval, [("1 / 0",)], "parts"))


@pytest.mark.thorough
def test_a_cluster_that_another_command_started_for_itself_is_not_joined() -> None:
    ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'medglip[ray]'")
    code = "from medglip.grounding.parts.ray_cluster import RayCluster\nimport ray\n"
    code += "with RayCluster(1):\n  print(ray.get_runtime_context().gcs_address, flush=True); input()"
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", code], stdin=pipe, stdout=pipe, text=True) as one:
        assert one.stdout
        theirs = one.stdout.readline().strip()
        with RayCluster(1):
            ours = ray.get_runtime_context().gcs_address
        one.communicate("\n")
    assert theirs
    assert ours != theirs
