"""A served model behind the switch: the records of a local one, every fault counted, nothing asked twice."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from serving import Answer, Served, completion, images_of, serve, words_of
from typer.testing import CliRunner, Result

from medglip.grounding.bad_input import BadInput
from medglip.grounding.datasets.phantoms import dataset as phantoms
from medglip.grounding.datasets.settings import PhantomSettings
from medglip.grounding.files import read_lines
from medglip.grounding.served import client
from medglip.scripts.cli.main import app

KEY = "sk-secret-key"
SAME = ("id", "prompt_sha256", "regions", "phrases", "evidence", "forms", "answer", "question", "image_id")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two test phantoms with their questions and reports."""
    folder = tmp_path_factory.mktemp("served") / "set"
    phantoms.write(folder, PhantomSettings(num_train=1, num_val=0, num_test=2, size_px=96))
    return folder


@pytest.fixture(autouse=True)
def _fast_and_keyed(monkeypatch: pytest.MonkeyPatch) -> None:
    import openai._base_client as base

    monkeypatch.setattr(base, "INITIAL_RETRY_DELAY", 0.01)
    monkeypatch.setattr(base, "MAX_RETRY_DELAY", 0.02)
    monkeypatch.setattr(client, "MAX_RETRIES", 1)
    monkeypatch.setenv("MEDGLIP_API_KEY", KEY)


def call(words: Sequence[str], served: Served | None = None, model: str = "m") -> Result:
    where = ["--endpoint", served.url, "--model", model] if served else []
    return CliRunner().invoke(app, [*words, *where], catch_exceptions=False)


def asking(pictures: Path, out: Path, core: Path, *more: str) -> list[str]:
    usual = ["--dataset", "phantom", "--root", str(pictures), "--out", str(out), "--checkpoint", str(core)]
    return ["vqa", "predict", *usual, *more]


def rows_of(path: Path) -> list[dict[str, Any]]:
    return list(read_lines(path)) if path.is_file() else []


def odd(body: dict[str, Any], number: int) -> Answer:
    """The first is refused, the second empty, the third cut, the fourth reset for ever."""
    told: list[Answer] = [completion(None, refusal="No."), completion(""), completion("the le", "length"), None]
    index = order.setdefault(json.dumps(body["messages"]), len(order))
    return told[index] if index < len(told) else "Yes."


order: dict[str, int] = {}


def test_faults_are_counted_and_only_what_has_no_answer_is_asked_again(
    pictures: Path, tiny_core: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    out = tmp_path / "records.jsonl"
    words = asking(pictures, out, tiny_core, "--evidence", "none", "--limit", "7", "--concurrency", "1")
    order.clear()
    with serve(odd) as served:
        first = call(words, served)
    assert first.exit_code == 1
    assert first.stdout.splitlines()[-1] == "refused 1, empty 1, cut 1"
    rows = rows_of(out)
    assert len(rows) == 6
    assert [row["prediction"] for row in rows[:3]] == [None, "", "the le"]
    assert [row["finish_reason"] for row in rows[:3]] == ["stop", "stop", "length"]
    assert rows[0]["raw"] == "No."
    assert rows[3]["usage"] == {"prompt_tokens": 7, "completion_tokens": 2}
    assert {row["model"] for row in rows} == {"m"}
    with serve(lambda *_: "No.") as again:  # another address
        second = call(words, again)
    assert (second.exit_code, len(again.requests)) == (0, 1)
    assert second.stdout.splitlines()[-1] == "refused 1, empty 1, cut 1"
    assert len(rows_of(out)) == 7
    written = "".join(path.read_text(errors="replace") for path in tmp_path.rglob("*") if path.is_file())
    assert KEY not in written + first.output + second.output + caplog.text
    assert call(["eval", "vqa", str(out), "--set", "eval.resamples=10"]).exit_code == 0


def test_records_of_another_model_are_not_continued(pictures: Path, tiny_core: Path, tmp_path: Path) -> None:
    words = asking(pictures, tmp_path / "r.jsonl", tiny_core, "--evidence", "none", "--limit", "1")
    with serve(lambda *_: "yes") as served:
        assert call(words, served).exit_code == 0
        for other in ([*words, "--boxes", "pixels"], words):
            with pytest.raises(BadInput, match=r"other settings.*(boxes|model)"):
                call(other, served, "m" if other is not words else "another")


@pytest.mark.parametrize("evidence", ["none", "predicted", "oracle", "random", "shuffled"])
def test_every_source_asks_what_the_local_path_asks(
    pictures: Path, tiny_core: Path, tiny_base: Path, tmp_path: Path, evidence: str
) -> None:
    """The model's name is its folder: the prompts are those of `--base`, to the byte; text and crops alone go out."""
    more = ["--evidence", evidence, "--limit", "6", "--forms", "text+crops", "--set", "generate.max_new_tokens=1"]
    local, far = tmp_path / "local.jsonl", tmp_path / "far.jsonl"
    assert call([*asking(pictures, local, tiny_core, *more), "--base", str(tiny_base)]).exit_code == 0
    with serve(lambda *_: "yes") as served:
        assert call(asking(pictures, far, tiny_core, *more), served, str(tiny_base)).exit_code == 0
    ours, theirs = ([{key: row[key] for key in SAME} for row in rows_of(path)] for path in (local, far))
    assert ours == theirs
    assert ours
    has_crops = any(len(images_of(request)) > 1 for request in served.requests)
    assert has_crops == any(row["regions"] for row in ours)
    assert {request["temperature"] for request in served.requests} == {0}


def test_one_question_and_one_report_of_a_users_image(pictures: Path, tiny_core: Path, tmp_path: Path) -> None:
    image = str(next((pictures / "images").glob("*.png")))
    with serve(lambda *_: "There is a nodule.") as served:
        more = ["--modality", "xray", "--checkpoint", str(tiny_core), "--boxes", "qwen3-vl"]
        asked = call(["vqa", "ask", image, "Is there a nodule?", *more], served)
        assert "answer: There is a nodule" in asked.output
        assert "[" in served.texts[0]  # a box in brackets
        made = call(["report", "write", image, *more, "--out", str(tmp_path)], served)
    assert made.exit_code == 0
    (file,) = tmp_path.glob("*.json")
    assert json.loads(file.read_text())["model"] == "m"
    with (
        serve(lambda *_: completion(None, refusal="No.")) as served,
        pytest.raises(BadInput, match="refuses to answer"),
    ):
        call(["vqa", "ask", image, "Is there a nodule?", *more], served)
    with pytest.raises(BadInput, match="--boxes is for a served model"):
        call(["vqa", "ask", image, "?", "--boxes", "percent"])


def test_reports_of_a_set(pictures: Path, tiny_core: Path, tmp_path: Path) -> None:
    out = tmp_path / "reports.jsonl"
    words = ["report", "predict", *asking(pictures, out, tiny_core, "--evidence", "predicted")[2:]]
    with serve(lambda *_: "There is a nodule in the upper left.") as served:
        made = call(words, served)
    assert (made.exit_code, made.stdout.splitlines()[-1]) == (0, "refused 0, empty 0, cut 0")
    rows = rows_of(out)
    assert [row["task"] for row in rows] == ["report"] * 2
    assert all(row["meta"]["sentences"] for row in rows)
    assert all("Write the findings" in text for text in served.texts)


def test_the_models_own_boxes_are_asked_first_and_are_its_evidence(pictures: Path, tmp_path: Path) -> None:
    def answer(body: dict[str, Any], number: int) -> Answer:
        return "nodule [24, 48, 48, 72]" if "Find in the image" in words_of(body) else "Yes."

    out = tmp_path / "own.jsonl"
    usual = ["vqa", "predict", "--dataset", "phantom", "--root", str(pictures), "--out", str(out), "--limit", "8"]
    with serve(answer) as served:
        made = call([*usual, "--evidence", "self", "--boxes", "Qwen2.5-VL"], served)
    assert made.exit_code == 0, made.output
    asked = [index for index, words in enumerate(served.texts) if "Find in the image" in words]
    assert asked == list(range(len(asked)))
    assert asked
    rows = rows_of(out)
    assert {(row["evidence"], row["grounder"]) for row in rows} == {("predicted", "self")}
    shown = [region for row in rows for region in row["regions"]]
    assert {(region["phrase"], *region["box_xyxy_px"]) for region in shown} == {("nodule", 24, 48, 48, 72)}


def test_a_local_base_is_asked_for_its_own_boxes(pictures: Path, tiny_base: Path, tmp_path: Path) -> None:
    out = tmp_path / "own.jsonl"
    usual = ["vqa", "predict", "--dataset", "phantom", "--root", str(pictures), "--out", str(out), "--limit", "2"]
    assert call([*usual, "--evidence", "self", "--base", str(tiny_base)]).exit_code == 0
    assert {(row["evidence"], row["grounder"], row["forms"][0]) for row in rows_of(out)} == {
        ("predicted", "self", "text")
    }


def test_a_server_that_does_not_give_boxes_gets_no_records(pictures: Path, tmp_path: Path) -> None:
    def answer(body: dict[str, Any], number: int) -> Answer:
        return None if "Find in the image" in words_of(body) else "Yes."

    out = tmp_path / "own.jsonl"
    usual = ["vqa", "predict", "--dataset", "phantom", "--root", str(pictures), "--out", str(out), "--limit", "2"]
    with serve(answer) as served, pytest.raises(BadInput, match="self has no regions"):
        call([*usual, "--evidence", "self"], served)
    assert rows_of(out) == []
