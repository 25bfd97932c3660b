"""What a model is held against that sees no image: answers made of the training questions' texts alone.

Every floor is a row of `FLOORS`; its answers are records like any other and are scored by the same protocol.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np

from ..grounding.bad_input import BadInput, explain
from ..grounding.files import numbered_lines
from .protocols.exact_match import normalize
from .records import REQUIRED, Record, meta_of
from .tasks.vqa import references_of

_ENOUGH = 1000
"""Answers that are learned at most, the most frequent ones: each costs a classifier."""
_AT_ONCE = 256
_OF_A_MODEL = ("raw", "citations", "other_regions", "picture", "probe")
"""Entries of `meta` that speak of who answered, not of the question."""


@dataclass(frozen=True)
class AskedQuestion:
    """What a floor sees of a question. `question_type`, `answer_type`: "" where not known."""

    question: str
    answer: str
    image_id: str = ""
    question_type: str = ""
    answer_type: str = ""


Questions = Sequence[AskedQuestion]
Floor = Callable[[Questions, Questions], list[str]]
"""Training questions, questions to be answered -> an answer each."""


def most_frequent(train: Questions, asked: Questions) -> list[str]:
    """The most frequent training answer to questions of that type, else of that answer type, else to all.

    Of answers that are as frequent as each other the first one in the training file.
    """
    answers: defaultdict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for row in train:
        for key in _kinds(row):
            answers[key][row.answer] += 1
    keys = [next(key for key in _kinds(row) if key in answers) for row in asked]
    best = {key: counts.most_common(1)[0][0] for key, counts in answers.items()}
    return [best[key] for key in keys]


def _kinds(row: AskedQuestion) -> list[tuple[str, str]]:
    """What a question is of, the narrowest first."""
    kinds = [("question_type", row.question_type), ("answer_type", row.answer_type)]
    return [*((axis, name) for axis, name in kinds if name), ("", "")]


def bag_of_words(train: Questions, asked: Questions) -> list[str]:
    """A linear support vector machine over counts of the question's words, an answer a class."""
    return _classify(train, asked, lambda row: normalize(row.question))


def bag_of_words_and_image(train: Questions, asked: Questions) -> list[str]:
    """The same with the image's name as one more word: what the images that are in both parts give away."""
    return _classify(train, asked, lambda row: f"{normalize(row.question)} image={row.image_id}")


def _classify(train: Questions, asked: Questions, text_of: Callable[[AskedQuestion], str]) -> list[str]:
    # here: whoever scores records needs neither, and the first import takes a second
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.svm import LinearSVC

    classes = [name for name, _ in Counter(row.answer for row in train).most_common(_ENOUGH)]
    if len(classes) == 1:
        return classes * len(asked)
    known = [row for row in train if row.answer in set(classes)]
    counter = CountVectorizer(token_pattern=r"\S+")
    counts_ND = counter.fit_transform([text_of(row) for row in known])
    classifier = LinearSVC(random_state=0).fit(counts_ND, [row.answer for row in known])
    return list(map(str, classifier.predict(counter.transform([text_of(row) for row in asked]))))


def nearest_question(train: Questions, asked: Questions) -> list[str]:
    """The most frequent answer to the training question that shares most words with it.

    By the Jaccard index of the sets of words; of questions as near as each other the first one in the training file.
    """
    from sklearn.feature_extraction.text import CountVectorizer

    answers: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for row in train:
        answers[_words(row.question)][row.answer] += 1
    texts = [*dict.fromkeys(_words(row.question) for row in asked)]
    counter = CountVectorizer(token_pattern=r"\S+", binary=True).fit([*answers, *texts, "a"])  # at least one word
    known_KD, asked_ND = (counter.transform(some) for some in (list(answers), texts))
    sizes_K, sizes_N = (np.asarray(counts.sum(1)).ravel() for counts in (known_KD, asked_ND))
    best = [counts.most_common(1)[0][0] for counts in answers.values()]
    nearest: dict[str, str] = {}
    for start in range(0, len(texts), _AT_ONCE):
        shared_BK = (asked_ND[start : start + _AT_ONCE] @ known_KD.T).toarray()
        either_BK = sizes_N[start : start + _AT_ONCE, None] + sizes_K - shared_BK
        indices_B = (shared_BK / np.maximum(either_BK, 1)).argmax(1)  # the first of equals
        nearest |= zip(texts[start : start + _AT_ONCE], (best[k] for k in indices_B), strict=True)
    return [nearest[_words(row.question)] for row in asked]


def _words(question: str) -> str:
    """Its words after the VQA normalisation, each once, in the order of the alphabet."""
    return " ".join(sorted(set(normalize(question).split())))


FLOORS: dict[str, Floor] = {
    "most_frequent": most_frequent,
    "bag_of_words": bag_of_words,
    "nearest_question": nearest_question,
    "bag_of_words_and_image": bag_of_words_and_image,
}
"""The floors by name; the last one only where a part shares images with training."""


def floor_records(records: Sequence[Record], train: Questions) -> dict[str, list[Record]]:
    """Of each floor the records with its answers in the place of the model's: `model` is its name, `evidence` none.

    Raises `BadInput` where there is nothing to learn from.
    """
    if not train:
        raise BadInput("no training questions.", fix="floors learn from questions with answers")
    spelling = {normalize(row.answer): row.answer for row in reversed(train)}  # the first way in which each is written
    known = [replace(row, answer=normalize(row.answer)) for row in train]
    asked = [_question(record, "") for record in records]
    shares_images = not {row.image_id for row in known}.isdisjoint(row.image_id for row in asked)
    floors = {name: floor for name, floor in FLOORS.items() if shares_images or floor is not bag_of_words_and_image}
    return {
        name: [
            _answered(record, spelling[answer], name)
            for record, answer in zip(records, floor(known, asked), strict=True)
        ]
        for name, floor in floors.items()
    }


def _answered(record: Record, answer: str, name: str) -> Record:
    """The question of a record answered by a floor; nothing of the model that the record is of stays in it."""
    row = {key: record[key] for key in (*REQUIRED, "cluster_id", "answer_type") if record.get(key) is not None}
    meta = {key: value for key, value in meta_of(record).items() if key not in _OF_A_MODEL}
    return cast(Record, {**row, "prediction": answer, "evidence": "none", "model": name, "meta": meta})


def read_train(paths: Sequence[Path]) -> list[AskedQuestion]:
    """The training questions of JSONL files: records, or rows of `question` and `answer`; predictions are not needed.

    `image_id`, `answer_type` and `meta.question_type` are read where they are. Rows without an answer are left out.
    Raises `BadInput` naming file and row for what is no such row, and where no row has an answer.
    """
    rows: list[AskedQuestion] = []
    for path in paths:
        fix = "give records of training questions (JSONL)"
        if not path.exists():
            raise BadInput("no such file.", file=path, fix=fix)
        with explain("cannot be read", OSError, file=path, fix=fix):
            numbered = list(numbered_lines(path))
        for number, row in numbered:
            if not isinstance(row.get("question"), str) or row.get("answer") is None:
                raise BadInput("no question, or no answer.", file=path, row=number, fix="give both in each row")
            rows += [_question(row, answer) for answer in _texts(row["answer"])[:1]]
    if not rows:
        names = ", ".join(map(str, paths))
        raise BadInput("no training question with an answer.", file=names, fix="`answer` holds the reference")
    return rows


def _texts(answer: Any) -> tuple[str, ...]:
    """Acceptable answers as texts; numbers count as such."""
    return references_of([str(part) for part in (answer if isinstance(answer, list) else [answer])])


def _question(row: Any, answer: str) -> AskedQuestion:
    meta = meta_of(row)
    return AskedQuestion(
        question=row["question"],
        answer=answer,
        image_id=str(row.get("image_id") or ""),
        question_type=str(meta.get("question_type") or row.get("question_type") or "").strip(),
        answer_type=str(row.get("answer_type") or "").strip().lower(),
    )
