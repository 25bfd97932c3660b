"""Many questions about many images: words of a call, tables, pages, a prompt; wrong input is told before loading."""

import csv
import io
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from making import write_image
from typer.testing import CliRunner

from medglip.grounding.bad_input import BadInput
from medglip.scripts.cli.main import app
from medglip.scripts.inference.given import groups_of, images_of, question_of, read_questions


def call(*words: object, code: int = 0, stdin: str | None = None) -> str:
    result = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False, input=stdin)
    assert result.exit_code == code, result.output
    return result.output


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    folder = tmp_path / "scans"
    for k, name in enumerate(("a.png", "b.png")):
        write_image(folder / name, (60, 48), colour=9 * k)
    (folder / "notes.txt").write_text("no image")
    return folder


def test_folders_and_patterns_stand_for_their_images(scans: Path) -> None:
    both = [scans / "a.png", scans / "b.png"]
    assert images_of([scans]) == images_of([f"{scans}/*.png"]) == images_of(both) == both
    assert groups_of([str(both[0]), str(both[1])]) == [both]  # one question on both
    assert groups_of([str(scans)]) == groups_of([str(both[0]), str(both[1])], each=True) == [[one] for one in both]
    for missing in (scans / "c.png", scans / "*.jpg"):
        with pytest.raises(BadInput, match=r"no such image\. Fix: check the path$|no image there"):
            images_of([missing])


def test_the_last_word_is_the_question_unless_it_is_an_image(scans: Path) -> None:
    image = str(scans / "a.png")
    assert question_of([image, "Where is it?"]) == ([image], "Where is it?")
    assert question_of([image, "x" * 400]) == ([image], "x" * 400)
    for words in ([image], [image, str(scans)], [image, "missing.png"]):
        assert question_of(words) == (words, None)


def test_questions_are_lines_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "questions.txt"
    file.write_text("\ufeffIs there a nodule?\n\n# a comment\nWhere is it?\n", encoding="utf-8")
    assert read_questions(file) == ["Is there a nodule?", "Where is it?"]
    file.write_text("# nothing\n")
    with pytest.raises(BadInput, match="no question"):
        read_questions(file)


def test_a_table_and_a_page_of_every_image_and_question(scans: Path, tiny_core: Path, tmp_path: Path) -> None:
    questions, table, page = tmp_path / "q.txt", tmp_path / "out" / "a.csv", tmp_path / "out" / "a.html"
    questions.write_text("Is there a nodule?\nHow many nodules are there?\n")
    (scans / "c.png").write_bytes(b"no image")
    words = ["--model", "rules", "--checkpoint", tiny_core, "--modality", "xray", "--csv", table, "--html", page]
    said = call("vqa", "ask", scans, "--questions", questions, *words, "--show", tmp_path / "show", code=1)
    rows = list(csv.DictReader(io.StringIO(table.read_text())))
    assert list(rows[0]) == ["image", "question", "answer", "probability"]
    asked = ("Is there a nodule?", "How many nodules are there?")
    assert [(row["image"], row["question"]) for row in rows] == [(f"{n}.png", q) for q in asked for n in "ab"]
    assert all(row["answer"] in said for row in rows)
    lines = [json.loads(line) for line in table.with_suffix(".jsonl").read_text().splitlines()]
    assert [line["answer"] for line in lines] == [row["answer"] for row in rows]
    assert page.read_text().count("<main>") == 4
    assert "not for diagnosis" in page.read_text()
    assert f"skipped 1: {scans / 'c.png'}: " in said
    assert len(list((tmp_path / "show").iterdir())) == 4  # no picture took the place of another


def test_a_prompt_opens_where_no_question_is_given(scans: Path, tiny_core: Path) -> None:
    words = ["--model", "rules", "--checkpoint", tiny_core, "--modality", "xray"]
    said = call("vqa", "ask", scans / "a.png", *words, stdin="Is there a nodule?\nWhere is the nodule?\n\nIs it odd?\n")
    assert said.count("answer: ") == 2


def test_predict_writes_a_table_and_keeps_what_it_found_before(scans: Path, tiny_core: Path, tmp_path: Path) -> None:
    out, table = tmp_path / "out", tmp_path / "regions.csv"
    words = ["--checkpoint", tiny_core, "--phrase", "nodule", "--min-score", "0", "--out", out]
    call("grounding", "predict", scans / "a.png", *words)
    call("grounding", "predict", f"{scans}/b*", *words, "--csv", table)
    assert [json.loads(line)["image"] for line in (out / "regions.jsonl").read_text().splitlines()] == [
        "a.png",
        "b.png",
    ]
    rows = list(csv.DictReader(io.StringIO(table.read_text())))
    assert list(rows[0]) == ["image", "phrase", "score", "x0", "y0", "x1", "y1"]
    assert {row["image"] for row in rows} == {"b.png"}
    assert all(0 <= float(row["x0"]) < float(row["x1"]) <= 60 for row in rows)


WRONG = {
    "vqa ask nothing.png Where?": "nothing.png: no such image",
    "vqa ask nothing Where is the nodule?": "a question of several words stands in quotes",
    'vqa ask a.png "" --model rules': "the question is empty",
    'vqa ask a.png " "': "the question is empty",
    'vqa ask a.png b.png "Is there a nodule?" "Where is it?"': "several questions go in --questions FILE",
    "vqa ask a.png Why? Where?": "several questions go in --questions FILE",
    'vqa ask a.png "Where is it?" --questions notes.txt': "a question or --questions, not both",
    "vqa ask none/*.png Where?": "a folder or pattern of PNG",
    "vqa ask a.png Where? --modality xrai": "xrai",
    "vqa ask a.png Where? --evidence predict": "did you mean 'predicted'",
    "vqa ask a.png Where? --evidence oracle": "needs a data set. Fix: use none or withheld or predicted",
    "vqa ask a.png Where? --run no/such/run": "no run in this folder",
    "grounding predict a.png --checkpoint smal": "did you mean 'small'",
    "report describe a.png --box 1,2,3": "is not four numbers",
    'report write ""': "the name of an image is empty",
    "report write a.png --forms txt": "did you mean 'text'",
    "vqa ask a.png": "none is given, and none is piped in",
    "report write a.png --pdf": "no browser here can print a PDF",
    "report describe a.png --box 1,2,30,40 --pdf": "no browser here can print a PDF",
    "run quikstart": "did you mean 'quickstart'",
    "grounding train quikstart": "did you mean 'quickstart'",
}


def test_wrong_input_is_told_before_anything_is_loaded(scans: Path) -> None:
    code = "\n".join(
        [
            "import json, sys; from medglip.scripts.cli.main import app",
            "from medglip.grounding.bad_input import BadInput",
            "for words in json.loads(sys.argv[1]):",
            "    try: app(words)",
            "    except BadInput as error: print(error)",
            "print({'torch', 'transformers', 'datasets', 'scipy'} & set(sys.modules))",
        ]
    )
    calls = json.dumps([shlex.split(words) for words in WRONG])
    options = {"stdin": subprocess.DEVNULL, "capture_output": True, "text": True, "cwd": scans, "check": True}
    ended = subprocess.run([sys.executable, "-c", code, calls], env=os.environ | {"PATH": ""}, **options)
    *said, loaded = ended.stdout.splitlines()
    assert loaded == "set()"
    for message, line in zip(WRONG.values(), said, strict=True):
        assert message in line


@pytest.mark.slow
def test_a_set_that_was_not_there_refuses_no_corrected_call(tiny_core: Path, phantoms: Path, tmp_path: Path) -> None:
    out, table = tmp_path / "out" / "records.jsonl", tmp_path / "answers.csv"
    words = [
        "vqa",
        "predict",
        "--dataset",
        "phantom",
        "--model",
        "rules",
        "--checkpoint",
        tiny_core,
        "--split",
        "train",
    ]
    words += ["--limit", 3, "--out", out, "--csv", table]
    with pytest.raises(BadInput):
        call(*words, "--root", tmp_path / "typo")
    call(*words, "--root", phantoms)
    rows = list(csv.DictReader(io.StringIO(table.read_text())))
    assert list(rows[0]) == ["image", "question", "answer", "probability"]
    assert [row["question"] for row in rows] == [json.loads(line)["question"] for line in out.read_text().splitlines()]
    assert all(row["image"].endswith(".png") for row in rows)
