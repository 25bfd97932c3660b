"""What a test split shares with train: images, questions, answers. Counts with ids, from question files or records."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np

from ..grounding.bad_input import BadInput
from ..grounding.files import file_sha256, numbered_lines
from ..grounding.foreign import read_json
from ..grounding.imaging.hashes import NEAR_BITS, difference_hash
from ..grounding.imaging.read import read_image
from .protocols.exact_match import normalize
from .records import first_few

LIKE = 0.6
"""Token Jaccard of two questions from which they are near duplicates."""


FORMS: dict[str, tuple[str, str, str, str]] = {
    "medglip records": ("id", "image_id", "question", "answer"),
    "VQA-RAD, MEVF form": ("qid", "image_name", "question", "answer"),
    "SLAKE": ("qid", "img_name", "question", "answer"),
    "plain rows": ("id", "image", "question", "answer"),
}
"""Where each kind of file keeps a question's id, image, text and answer."""


@dataclass(frozen=True, kw_only=True)
class SplitQuestion:
    """One question of a split. `image_hash`: of the image's bytes, "" where it is not at hand."""

    id: str
    image_id: str
    question: str
    answer: str
    image_hash: str = ""


@dataclass(frozen=True)
class Leak:
    """`count` of `n` are shared; the first 20 ids of them."""

    count: int
    n: int
    ids: tuple[str, ...]


def leaks(train: Sequence[SplitQuestion], test: Sequence[SplitQuestion]) -> dict[str, Leak]:
    """What test shares with train, each with count, n and the first ids.

    `image_overlap`: test images; `question_overlap`: questions on them; `exact_repeat`: image and question;
    `same_answer`: image and answer; `same_open_answer`: of these, answers other than yes and no; `near_duplicate`:
    image and answer, and questions of token Jaccard 0.6 or more; `answer_prior`: question and answer, whatever the
    image; `train_duplicate`: rows of train whose image and question came before. Texts are compared after the
    normalisation of `exact_match`; images by hash where both have one.
    """
    known, rows = _keys(train), _keys(test)  # (image, question, answer) of each row
    words_of: defaultdict[tuple[str, str], list[frozenset[str]]] = defaultdict(list)
    for image, question, answer in known:
        words_of[image, answer].append(frozenset(question.split()))
    images, pairs = {row[0] for row in known}, {row[:2] for row in known}
    priors = {row[1:] for row in known}
    ids = [row.id for row in test]
    is_open = [answer not in ("yes", "no") for _, _, answer in rows]
    same = [(image, answer) in words_of for image, _, answer in rows]
    names = {image: row.image_id for (image, _, _), row in zip(rows, test, strict=True)}  # each image once
    likes = []
    for image, question, answer in rows:
        words = frozenset(question.split())
        others = words_of.get((image, answer), ())
        likes.append(any(words == other or len(words & other) >= LIKE * len(words | other) for other in others))
    seen: set[tuple[str, str]] = set()
    repeated = [row[:2] in seen or bool(seen.add(row[:2])) for row in known]  # the first one is none
    return {
        "image_overlap": _leak([image in images for image in names], list(names.values())),
        "question_overlap": _leak([image in images for image, _, _ in rows], ids),
        "exact_repeat": _leak([row[:2] in pairs for row in rows], ids),
        "same_answer": _leak(same, ids),
        "same_open_answer": _leak(list(compress(same, is_open)), list(compress(ids, is_open))),
        "near_duplicate": _leak(likes, ids),
        "answer_prior": _leak([row[1:] in priors for row in rows], ids),
        "train_duplicate": _leak(repeated, [row.id for row in train]),
    }


def leaks_between(train: Path, test: Path, images: Path | None = None, language: str | None = None) -> dict[str, Leak]:
    """`leaks` of two files; with a folder of images also `near_images`. Errors as `read_questions` has them."""
    known, asked = (read_questions(path, images, language) for path in (train, test))
    names = [{row.image_id for row in side} for side in (known, asked)]
    near = {"near_image": near_images(names[0], names[1], images)} if images else {}
    return leaks(known, asked) | near


def text(kinds: Mapping[str, Leak]) -> str:
    """A line a kind of leak: `near_duplicate  104 of 451 (23.1%) id, id, ...`."""
    shares = {name: f"{leak.count} of {leak.n} ({leak.count / max(leak.n, 1):.1%})" for name, leak in kinds.items()}
    return "\n".join(f"{name:18}{shares[name]} {first_few(leak.ids)}".rstrip() for name, leak in kinds.items())


def read_questions(path: Path, images: Path | None = None, language: str | None = None) -> list[SplitQuestion]:
    """The questions of a JSONL record file, or of a JSON list as VQA-RAD (MEVF form) and SLAKE have it.

    `images`: a folder that holds the images under the names that the file gives; their bytes are hashed. `language`:
    of SLAKE's `q_lang`, all by default. Raises `BadInput` naming file and row for what is neither.
    """
    if not path.is_file():
        raise BadInput("no such file.", file=path, fix="give a file of questions")
    if path.suffix == ".json":
        listed = read_json(path, "give a JSON list, or JSONL named .jsonl")
        if not isinstance(listed, list) or not all(isinstance(row, dict) for row in listed):
            raise BadInput("not a list of objects.", file=path, fix="give a JSON list of questions")
        rows: list[tuple[int, Mapping[str, Any]]] = list(enumerate(listed, 1))
    else:
        rows = list(numbered_lines(path))
    if not rows:
        raise BadInput("no questions.", file=path, fix="give a file of questions")
    form = next((keys for keys in FORMS.values() if all(key in rows[0][1] for key in keys)), None)
    if form is None:
        problem, fix = f"unknown keys {sorted(rows[0][1])}.", f"known are {list(FORMS.values())}"
        raise BadInput(problem, file=path, row=rows[0][0], fix=fix)
    rows = [(number, row) for number, row in rows if language is None or row.get("q_lang", language) == language]
    names = {str(row.get(form[1])) for _, row in rows} if images else ()
    hashes = {name: file_sha256(_image_file(name, images)) for name in names if images}
    questions = []
    for number, row in rows:
        texts: dict[str, str] = {}
        for key in form:
            match row.get(key):
                case str() | int() | float() as value:
                    texts[key] = str(value)
                case list() as values if all(isinstance(value, str) for value in values):
                    texts[key] = ", ".join(values)  # several acceptable answers
        if missing := [key for key in form if key not in texts]:
            fix = "every question has its texts; remove the row, or complete it"
            raise BadInput(f"missing, or no text: {', '.join(missing)}.", file=path, row=number, fix=fix)
        fields = dict(zip(("id", "image_id", "question", "answer"), texts.values(), strict=True))
        questions.append(SplitQuestion(**fields, image_hash=hashes.get(fields["image_id"], "")))
    return questions


def near_images(train: Iterable[str], test: Iterable[str], folder: Path) -> Leak:
    """Test images that look like a train image of another name: difference hashes that differ in 2 bits at most.

    The hash is of 8 x 8 brightness steps (`difference_hash`); flat images such as black ones look alike too.
    """

    def hash_image(name: str) -> np.uint64:
        return difference_hash(read_image(folder / name))

    known, names = sorted(set(train)), sorted(set(test))
    hashes_T = np.array([hash_image(name) for name in known], np.uint64)
    is_near_NT = [np.bitwise_count(hashes_T ^ hash_image(name)) <= NEAR_BITS for name in names]
    is_other_NT = [[other != name for other in known] for name in names]
    is_hit_NT = np.logical_and(is_near_NT, is_other_NT).reshape(len(names), len(known))
    return _leak([bool(row.any()) for row in is_hit_NT], names)


def _keys(rows: Sequence[SplitQuestion]) -> list[tuple[str, str, str]]:
    """Image, question and answer of each row, ready to be compared."""
    clean = {text: normalize(text) for text in {text for row in rows for text in (row.question, row.answer)}}
    return [(row.image_hash or row.image_id, clean[row.question], clean[row.answer]) for row in rows]


def _leak(is_shared: Sequence[bool], ids: Sequence[str]) -> Leak:
    hits = [*compress(ids, is_shared)]
    return Leak(len(hits), len(is_shared), tuple(hits[:20]))


def _image_file(name: str, folder: Path) -> Path:
    path = folder / name
    if not path.is_file():
        raise BadInput("no such image.", file=path, fix="give the folder that the image names start from")
    return path
