"""Two runs' records side by side: which cases are right, wrong and changed; what records say is only text."""

import json
from pathlib import Path

import pytest

from medglip.grounding.bad_input import BadInput
from medglip.scripts.app.page.records import Answers, case_html, cases_of, files_of, read_answers


def write_records(folder: Path, name: str, said: dict[str, str]) -> Path:
    rows = [
        {
            "id": key, "dataset": "d", "split": "test", "task": "vqa", "image_id": key, "cluster_id": key,
            "question": f"<b>{key}</b>?", "answer": "yes", "prediction": words, "answer_type": "closed",
        }
        for key, words in said.items()
    ]  # fmt: skip
    file = folder / "records" / f"{name}.jsonl"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


@pytest.fixture
def both(tmp_path: Path) -> list[Answers]:
    write_records(tmp_path / "run", "vqa-none", {"a": "yes", "b": "no", "c": "yes"})
    write_records(tmp_path / "run", "vqa-predicted", {"a": "yes", "b": "yes", "c": "<script>no</script>"})
    return [read_answers(name, *place) for name, place in files_of([tmp_path / "run"]).items()]


def test_cases_are_right_wrong_and_changed_by_the_first_of_two_files_of_one_run(both: list[Answers]) -> None:
    first, second = both
    assert [answers.name for answers in both] == ["run/vqa-none", "run/vqa-predicted"]
    kinds = {kind: cases_of(first, second, kind) for kind in ("all", "right", "wrong", "changed")}
    assert kinds == {"all": ["a", "b", "c"], "right": ["a", "c"], "wrong": ["b"], "changed": ["b", "c"]}
    assert cases_of(first, None, "changed") == []


def test_what_records_say_is_shown_as_text(both: list[Answers]) -> None:
    shown = case_html(both, "c", "1 of 1")
    assert "<script" not in shown
    assert "&lt;script&gt;" in shown
    assert "&lt;b&gt;c&lt;/b&gt;" in shown


def test_files_without_records_and_of_other_questions_are_refused(tmp_path: Path, both: list[Answers]) -> None:
    with pytest.raises(BadInput, match="no records"):
        files_of([tmp_path])
    other = write_records(tmp_path / "other", "vqa-none", {"z": "yes"})
    with pytest.raises(BadInput, match="share no id"):
        cases_of(both[0], read_answers("z", other, other), "all")
