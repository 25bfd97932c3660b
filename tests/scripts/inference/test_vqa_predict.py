"""A question set is answered whole: by one process or two, at once or after a kill, the records are the same."""

import json
import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as parquet
import pytest
from PIL import Image
from typer.testing import CliRunner

from medglip.grounding.bad_input import BadInput
from medglip.grounding.files import read_lines
from medglip.grounding.parts.work import Workers
from medglip.grounding.training.provenance import write_learned
from medglip.scripts.cli.main import app
from medglip.scripts.inference.predict_set import PredictRequest, mark_learned, predict_dataset
from medglip.vqa.datasets.load import load_questions
from medglip.vqa.inference.predict import Shards
from medglip.vqa.inference.settings import GenerateSettings

SAME = ("id", "prediction", "parsed", "prompt_sha256", "regions", "phrases", "evidence", "answer", "image_id", "meta")


@pytest.fixture(scope="module")
def rad(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """VQA-RAD as MEVF lays it out: 4 images, 3 questions each."""
    folder = tmp_path_factory.mktemp("rad")
    (folder / "images").mkdir()
    rows = []
    for k in range(12):
        name = f"synpic{k // 3}.jpg"
        pixels = np.random.default_rng(k // 3).integers(0, 256, (60, 70, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "images" / name)
        question, answer, kind = [
            ("Is there a nodule in the left lung?", "yes", "CLOSED"),
            ("Where is the mass?", "left lung", "OPEN"),
            ("What is this?", "chest", "OPEN"),
        ][k % 3]
        row = {"qid": str(k), "image_name": name, "image_organ": "CHEST", "answer": answer, "answer_type": kind}
        more = {"question": question, "question_type": "PRES", "phrase_type": "freeform", "evaluation": "evaluated"}
        rows.append(row | more)
    for name in ("trainset.json", "testset.json"):
        (folder / name).write_text(json.dumps(rows))
    return folder


def rows(path: Path) -> list[dict[str, object]]:
    return [{key: row[key] for key in SAME} for row in read_lines(path)]


def images_found(records: Path) -> int:
    """How often an image was grounded for these records."""
    return sum(parquet.read_metadata(file).num_rows for file in (records.parent / "regions").rglob("*.parquet"))


def asking(rad: Path, out: Path, base: Path, **more: object) -> PredictRequest:
    wanted = GenerateSettings(max_new_tokens=2, batch_size=2)
    return PredictRequest(
        **{"dataset": "vqa_rad", "root": rad, "out": out, "base": str(base), "generate": wanted, **more}
    )


def test_questions_on_pictures_that_taught_the_adapter_are_marked(rad: Path, tmp_path: Path) -> None:
    asked, _ = load_questions("vqa_rad", rad, "official")
    assert mark_learned(asked, None) == mark_learned(asked, tmp_path) == list(asked)  # nobody says
    write_learned(tmp_path, [rad / "images" / "synpic1.jpg"])
    kinds = {q.image.image_path.name: q.meta["picture"] for q in mark_learned(asked, tmp_path)}
    assert kinds == {f"synpic{k}.jpg": "learned" if k == 1 else "new" for k in range(4)}


def test_ranks_have_whole_images_and_merge_in_the_order_of_the_set(tmp_path: Path) -> None:
    images = ["a", "a", "b", "c", "b", "a"]
    shards = [Shards(out=tmp_path / "r.jsonl", rank=rank, num_ranks=2) for rank in (0, 1)]
    owned = [shard.mine(images) for shard in shards]
    assert [sum(flags) for flags in zip(*owned, strict=True)] == [1] * 6
    assert [image for image, own in zip(images, owned[1], strict=True) if own] == ["b", "b"]
    shards[0].folder.mkdir()
    shards[0].path.write_text('{"id": "3"}\n{"id": "1"}\n')
    shards[1].path.write_text('{"id": "2"}\n{"id": "4')  # killed within a line
    assert shards[1].done() == {"1", "2", "3"}
    assert not shards[0].merge(["1", "2", "3", "4"])
    (shards[1].folder / "1-of-2.skipped.jsonl").write_text('{"item": "4", "why": "torn image"}\n')
    assert shards[0].merge(["1", "2", "3", "4"])
    assert [row["id"] for row in read_lines(tmp_path / "r.jsonl")] == ["1", "2", "3"]


def test_a_limit_is_a_prefix_and_going_on_changes_nothing(rad: Path, tiny_base: Path, tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole" / "r.jsonl", tmp_path / "parts" / "r.jsonl"
    assert predict_dataset(asking(rad, whole, tiny_base))
    assert len(rows(whole)) == 12
    assert {row["evidence"] for row in rows(whole)} == {"predicted"}
    assert predict_dataset(asking(rad, parts, tiny_base, limit=5))
    assert rows(parts) == rows(whole)[:5]
    shards = parts.with_name("r.ranks") / "part-00000.jsonl"
    shards.write_bytes(shards.read_bytes()[:-40])  # a kill in the middle of a line
    assert predict_dataset(asking(rad, parts, tiny_base))
    assert rows(parts) == rows(whole)
    assert images_found(parts) == 4  # two, then the two others: none twice
    files = {file.name for file in parts.parent.iterdir()}
    assert files - {".r.jsonl.lock"} == {"r.jsonl", "r.ranks", "r.asked.json", "regions"}
    with pytest.raises(BadInput, match=r"made with other settings \(differs in source\)"):
        predict_dataset(asking(rad, parts, tiny_base, source="none"))


def measured(path: Path) -> list[dict[str, object]]:
    """All of the records but how long they took."""
    return [{**row, "seconds": 0} for row in read_lines(path)]


def test_shards_make_the_records_of_one_call_and_the_last_one_joins_them(
    rad: Path, tiny_base: Path, tmp_path: Path
) -> None:
    one, two = tmp_path / "one" / "r.jsonl", tmp_path / "two" / "r.jsonl"
    asked = {"source": "shuffled", "part_items": 3}  # which needs the regions of all images
    assert predict_dataset(asking(rad, one, tiny_base, **asked))
    assert len(list(one.with_name("r.ranks").glob("*.jsonl"))) == 4  # an image in each
    shards = [asking(rad, two, tiny_base, **asked, workers=Workers(shard=(k, 2))) for k in (1, 0)]
    assert [predict_dataset(shard) for shard in shards] == [False, True]
    assert measured(two) == measured(one)
    assert images_found(two) == 4


def test_a_killed_part_goes_on_within_a_batch_and_every_figure_is_the_same(
    rad: Path, tiny_base: Path, tmp_path: Path
) -> None:
    one, two = tmp_path / "one" / "r.jsonl", tmp_path / "two" / "r.jsonl"
    asked = {"generate": GenerateSettings(max_new_tokens=2, batch_size=4), "part_items": 6, "source": "none"}
    for out in (one, two):
        assert predict_dataset(asking(rad, out, tiny_base, **asked))
    first, second = sorted(two.with_name("r.ranks").glob("*.jsonl"))
    first.write_bytes(b"".join(first.read_bytes().splitlines(keepends=True)[:3]) + b'{"id": "torn')
    kept = second.read_bytes()
    two.unlink()
    assert predict_dataset(asking(rad, two, tiny_base, **asked))
    assert measured(two) == measured(one)
    assert second.read_bytes() == kept


@pytest.mark.thorough
@pytest.mark.parametrize("engine", ["pool", "ray"])
def test_two_workers_make_the_records_of_one(rad: Path, tiny_base: Path, tmp_path: Path, engine: str) -> None:
    if engine == "ray":
        pytest.importorskip("ray", reason="Ray is not installed: pip install 'medglip[ray]'")
    one, two = tmp_path / "one" / "r.jsonl", tmp_path / "two" / "r.jsonl"
    workers = Workers(engine=engine, number=2)
    assert predict_dataset(asking(rad, one, tiny_base, part_items=3, source="random"))
    assert predict_dataset(asking(rad, two, tiny_base, part_items=3, source="random", workers=workers))
    assert measured(two) == measured(one)
    assert images_found(two) == 4


@pytest.mark.thorough
def test_two_processes_make_the_records_of_one_and_a_kill_loses_nothing(
    rad: Path, tiny_base: Path, tmp_path: Path
) -> None:
    one, two = tmp_path / "one" / "r.jsonl", tmp_path / "two" / "r.jsonl"
    asked = {"source": "shuffled", "part_items": 3}
    assert predict_dataset(asking(rad, one, tiny_base, **asked))
    script, request = tmp_path / "ask.py", tmp_path / "request.pickle"
    request.write_bytes(pickle.dumps(asking(rad, two, tiny_base, **asked)))
    lines = ["import pickle", "from pathlib import Path"]
    lines += ["from medglip.scripts.inference.predict_set import predict_dataset"]
    script.write_text("\n".join([*lines, f"predict_dataset(pickle.loads(Path({str(request)!r}).read_bytes()))"]))
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", str(script)]
    env = os.environ | {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    first = subprocess.Popen(launch, env=env)
    end = time.monotonic() + 240
    while time.monotonic() < end and first.poll() is None and not list(two.with_name("r.ranks").glob("*.jsonl")):
        time.sleep(0.02)
    ranks = Path(f"/proc/{first.pid}/task/{first.pid}/children").read_text().split()
    os.kill(int(ranks[-1]), signal.SIGKILL)
    assert first.wait() != 0
    subprocess.run(launch, env=env, check=True, timeout=240)
    assert measured(two) == measured(one)
    assert sum(len(rows(file)) for file in two.with_name("r.ranks").glob("*.jsonl")) == 12
    assert images_found(two) == 4


@pytest.mark.parametrize(
    ("words", "scheme", "split"),
    [
        ([], "official", "test"),
        (["--split", "val"], "official", "val"),
        (["--part", "val"], "official", "val"),
        (["--split-scheme", "image_grouped", "--split", "train"], "image_grouped", "train"),
        # as the two were called before
        (["--split", "image_grouped"], "image_grouped", "test"),
        (["--split", "image_grouped", "--part", "val"], "image_grouped", "val"),
    ],
)
def test_a_split_is_train_val_or_test_and_its_older_name_still_works(
    words: list[str], scheme: str, split: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests: list[PredictRequest] = []
    monkeypatch.setattr("medglip.scripts.inference.predict_set.predict_dataset", lambda r: bool(requests.append(r)))
    call = ["vqa", "predict", "--dataset", "vqa_rad", "--out", "r.jsonl", *words]
    assert CliRunner().invoke(app, call, catch_exceptions=False).exit_code == 0
    assert [(request.split_scheme, request.split) for request in requests] == [(scheme, split)]


def test_what_was_asked_is_written_under_the_keys_of_older_files(rad: Path, tiny_base: Path, tmp_path: Path) -> None:
    out = tmp_path / "r.jsonl"
    predict_dataset(asking(rad, out, tiny_base, source="none", split_scheme="official", split="train", limit=1))
    asked = json.loads(out.with_suffix(".asked.json").read_text())
    assert (asked["split"], asked["part"], "split_scheme" in asked) == ("official", "train", False)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "neither a recipe nor --dataset"),
        (["quickstart", "--dataset", "vqa_rad"], "a recipe and --dataset are given"),
        (["--dataset", "vqa_rad"], "no file for the records"),
        (["--dataset", "vqa_rda", "--out", "r.jsonl"], "vqa_rad"),
        (["--dataset", "vqa_rad", "--out", "r.jsonl", "--evidence", "true"], "unknown evidence source"),
        (["--dataset", "vqa_rad", "--out", "r.jsonl", "--adapter", "nowhere"], "no such adapter"),
    ],
)
def test_what_contradicts_itself_is_refused(
    words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["vqa", "predict", *words])
    assert isinstance(result.exception, BadInput)
    assert said in str(result.exception)
