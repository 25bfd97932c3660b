import json
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from medglip.scripts.cli.main import app
from medglip.vqa.datasets.rows import QuestionRow
from medglip.vqa.datasets.splits import arrange


def row(number: int, split: str, *images: str, root: Path = Path("nowhere"), **changes: str) -> QuestionRow:
    values = {"question": f"question {number}?", "answer": f"answer {number}"} | changes
    return QuestionRow(
        question_id=str(number),
        dataset="set",
        split=split,
        images={name: root / name for name in images},
        answer_type="open",
        file=Path("rows.json"),
        row=number,
        **values,  # type: ignore[arg-type]
    )


def noise(file: Path, seed: int, scale: float = 1.0) -> None:
    grey = Image.fromarray(np.random.default_rng(seed).integers(0, 255, (12, 12), np.uint8)).resize((96, 96))
    grey.resize((int(96 * scale), int(96 * scale))).save(file)


def splits_of(rows: list[QuestionRow]) -> dict[str, set[str]]:
    found = defaultdict(set)
    for row in rows:
        for name in row.images:
            found[name].add(row.split)
    return found


def test_official_is_as_published_and_frames_go_by_name() -> None:
    rows = [row(1, "train", "a"), row(2, "train", "a", phrase_type="frame"), row(3, "test", "a")]
    assert arrange(rows, "official") == rows
    assert arrange(rows, "official_no_frame") == [rows[0], rows[2]]


@pytest.mark.parametrize("seed", range(5))
def test_grouped_by_image_no_image_is_in_two_parts_and_no_test_row_is_trained_on(seed: int) -> None:
    rows = [row(n, ("train", "test")[n % 5 == 0], f"image{n % 24}") for n in range(240)]
    rows += [row(240 + n, "train", f"only{n}", phrase_type="frame" if n % 2 else "") for n in range(20)]
    found = arrange(rows, "image_grouped", seed=seed)
    assert all(len(splits) == 1 for splits in splits_of(found).values())
    assert {row.split for row in found} == {"train", "val", "test"}
    official = {row.question_id: row.split for row in rows}
    assert not any(official[row.question_id] == "test" and row.split != "test" for row in found)
    assert not any(row.phrase_type == "frame" for row in found)
    assert not any(row.split == "test" for row in found if row.group.startswith("only"))
    again = arrange(rows[::-1], "image_grouped", seed=seed)
    assert splits_of(again) == splits_of(found)


def test_folds_score_every_image_once_and_never_train_on_it() -> None:
    rows = [row(n, ("train", "test")[n % 7 == 0], f"image{n % 24}") for n in range(240)]
    rows.append(row(240, "train", "image0", phrase_type="frame"))
    folds = [arrange(rows, "official", fold=f"{k}/5", seed=3) for k in range(1, 6)]
    assert all({len(splits) for splits in splits_of(fold).values()} == {1} for fold in folds)
    scored = [r.question_id for fold in folds for r in fold if r.split == "test"]
    assert sorted(scored, key=int) == [str(n) for n in range(240)]
    sizes = [len({r.group for r in fold if r.split == "test"}) for fold in folds]
    assert max(sizes) - min(sizes) <= 1
    assert folds[0] != arrange(rows, "official", fold="1/5", seed=4)


def test_a_set_that_is_split_by_image_keeps_its_parts() -> None:
    rows = [row(n, ("train", "val", "test")[n % 3], f"image{n % 9}") for n in range(60)]
    assert [r.split for r in arrange(rows, "image_grouped", seed=1)] == [r.split for r in rows]


def test_look_alikes_patients_captions_and_images_of_one_question_stay_together(tmp_path: Path) -> None:
    for n in range(40):
        noise(tmp_path / f"{n}.png", n)
    noise(tmp_path / "alike.png", 3, scale=1.5)
    (tmp_path / "equal.png").write_bytes((tmp_path / "4.png").read_bytes())
    rows = [row(n, "train", f"{n}.png", root=tmp_path) for n in range(40)]
    rows += [row(50, "train", "alike.png", root=tmp_path), row(51, "train", "equal.png", root=tmp_path)]
    rows += [row(52, "train", "5.png", "6.png", root=tmp_path)]
    rows += [row(60 + n, "train", f"{7 + n}.png", root=tmp_path, group="patient") for n in range(2)]
    twins = [("what?", "nodule"), ("where?", "left")]
    rows += [row(70 + n, "train", f"twin{n % 2}", question=twins[n // 2][0], answer=twins[n // 2][1]) for n in range(4)]
    groups = {name: r.group for r in arrange(rows, "image_grouped") for name in r.images}
    together = [("3.png", "alike.png"), ("4.png", "equal.png"), ("5.png", "6.png"), ("7.png", "8.png")]
    assert all(groups[one] == groups[other] for one, other in [*together, ("twin0", "twin1")])
    assert len(set(groups.values())) == len(groups) - 5


def test_the_command_counts_pictures_questions_and_twins(tmp_path: Path) -> None:
    noise(tmp_path / "a.png", 0)
    noise(tmp_path / "b.png", 1)
    noise(tmp_path / "b2.png", 1, scale=1.5)
    noise(tmp_path / "c.png", 2)
    rows = [
        {"image": "a.png", "question": "Is the heart large?", "answer": "Yes", "split": "train"},
        {"image": "b.png", "question": "Where is the nodule?", "answer": "left", "split": "train"},
        {"image": "a.png", "question": "is the heart large", "answer": "yes.", "split": "test"},
        {"image": "b2.png", "question": "Where is a nodule?", "answer": "left", "split": "test"},
        {"image": "c.png", "question": "What is it?", "answer": "CT", "split": "test"},
    ]
    (tmp_path / "questions.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    out = tmp_path / "leaks.json"
    names = ["jsonl:official:train", "jsonl:official:test"]
    result = CliRunner().invoke(
        app, ["data", "leaks", *names, "--root", f"jsonl={tmp_path}", "--json", str(out)], catch_exceptions=False
    )
    assert result.exit_code == 0, result.output
    facts = json.loads(out.read_text())
    counts = {
        side: {kind: (leak["count"], leak["n"]) for kind, leak in facts[side].items()} for side in ("equal", "alike")
    }
    assert counts["equal"]["image_overlap"] == (1, 3)
    assert counts["alike"]["image_overlap"] == (2, 3)
    assert counts["equal"]["exact_repeat"] == (1, 3)
    assert counts["equal"]["near_duplicate"] == (1, 3)
    assert counts["alike"]["near_duplicate"] == (2, 3)
    assert (facts["num_read"], facts["num_images"]) == (4, 4)
    assert "near_duplicate" in result.output
