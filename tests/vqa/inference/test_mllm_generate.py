"""Generation: batches, beams and kills change nothing in what is written."""

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from medglip.grounding.evidence.evidence import EvidenceSettings
from medglip.grounding.parts.giving_up import GivenUp, may_give_up
from medglip.vqa.inference import predict as predict_file
from medglip.vqa.inference.generate import generate, generate_raw
from medglip.vqa.inference.predict import predict
from medglip.vqa.inference.settings import GenerateSettings
from medglip.vqa.model.grounded_mllm import GroundedMLLM
from medglip.vqa.prompt.prompt import Example
from medglip.vqa.task import Job

NewMllm = Callable[..., GroundedMLLM]
NewExample = Callable[..., Example]
SHOW = EvidenceSettings()


def write(num_beams: int = 1, batch_size: int = 2) -> GenerateSettings:
    return GenerateSettings(max_new_tokens=6, num_beams=num_beams, batch_size=batch_size)


def job(example: Example) -> Job:
    fields = {"dataset": "toy", "split": "test", "task": "vqa", "image_id": "i", "cluster_id": "c"}
    return Job(example=example, fields={**fields, "question": example.instruction, "answer": example.target})


@pytest.fixture
def examples(new_example: NewExample) -> list[Example]:
    return [new_example(n, seed=seed) for seed, n in enumerate([3, None, 1, 0, 2])]


@pytest.mark.parametrize("num_beams", [1, 2])
def test_batched_is_single(new_mllm: NewMllm, examples: list[Example], num_beams: int) -> None:
    mllm = new_mllm(is_random=True)
    alone = generate(mllm, examples, SHOW, write(num_beams, batch_size=1))
    together = generate(mllm, examples, SHOW, write(num_beams, batch_size=3))
    assert [g.text for g in together] == [g.text for g in alone]
    assert [g.prompt_sha256 for g in together] == [mllm.render(e, SHOW).sha256 for e in examples]


def test_several_sequences_of_beams_and_no_placeholder_is_written(new_mllm: NewMllm, examples: list[Example]) -> None:
    mllm = new_mllm(is_random=True)
    prompts = [mllm.render(example, SHOW) for example in examples[:2]]
    ids, _ = generate_raw(mllm, prompts, write(num_beams=3), num_return_sequences=2)
    assert len(ids) == 4
    assert mllm.region_id not in ids


def test_a_kill_in_the_middle_loses_and_doubles_nothing(
    new_mllm: NewMllm, examples: list[Example], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mllm, jobs = new_mllm(is_random=True), [job(example) for example in examples]
    predict(mllm, jobs, SHOW, write(), tmp_path / "straight.jsonl")
    calls: list[int] = []
    real = predict_file.write

    def killed(*args: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*args)

    path = tmp_path / "killed.jsonl"
    monkeypatch.setattr(predict_file, "write", killed)
    with pytest.raises(KeyboardInterrupt):
        predict(mllm, jobs, SHOW, write(), path)
    monkeypatch.setattr(predict_file, "write", real)
    with path.open("a") as file:
        file.write('{"id": "torn')
    predict(mllm, jobs, SHOW, write(), path)
    predict(mllm, jobs, SHOW, write(), path)
    assert texts(path) == texts(tmp_path / "straight.jsonl")
    assert len(path.read_text().splitlines()) == len(jobs)


def texts(path: Path) -> dict[str, str]:
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return {row["id"]: row["prediction"] for row in rows}


def test_an_unreadable_image_is_listed_and_the_others_go_on(
    new_mllm: NewMllm, examples: list[Example], tmp_path: Path
) -> None:
    (broken := tmp_path / "broken.png").write_bytes(b"not a picture")
    bad = Example(**{**vars(examples[0]), "example_id": "bad", "image_path": broken})
    skipped = predict(new_mllm(), [job(bad), *map(job, examples)], SHOW, write(), tmp_path / "out.jsonl")
    assert [entry["item"] for entry in skipped.entries] == ["bad"]
    assert "broken.png" in skipped.entries[0]["why"]
    assert len(texts(tmp_path / "out.jsonl")) == len(examples)
    assert (tmp_path / "out.skipped.jsonl").exists()


def test_records_say_what_the_prompt_rested_on(new_mllm: NewMllm, examples: list[Example], tmp_path: Path) -> None:
    predict(new_mllm(), [job(examples[0])], EvidenceSettings(max_regions=2), write(), tmp_path / "out.jsonl")
    row = json.loads((tmp_path / "out.jsonl").read_text())
    assert (row["evidence"], row["forms"], row["phrases"]) == ("predicted", ["text", "tokens"], ["nodule"])
    assert len(row["regions"]) == 2
    assert row["seconds"] > 0


def test_a_text_that_nobody_waits_for_ends_at_the_next_token(new_mllm: NewMllm, examples: list[Example]) -> None:
    mllm, flag, steps = new_mllm(is_random=True), threading.Event(), list[int]()

    def count(*_: object) -> None:
        steps.append(1)
        if len(steps) == 2:
            flag.set()

    mllm.model.get_base_model().register_forward_pre_hook(count)
    with may_give_up(flag), pytest.raises(GivenUp):
        generate(mllm, examples[:1], SHOW, write())
    assert len(steps) == 2
    assert generate(mllm, examples[:1], SHOW, write())  # without a flag nothing ends it
