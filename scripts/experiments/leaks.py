"""`medglip data leaks`: what a split of a question set shares with another, by image and by text."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ...eval.leaks import Leak, SplitQuestion, leaks
from ...grounding.bad_input import BadInput, Skipped
from ...vqa.datasets.load import load_rows
from ...vqa.datasets.rows import QuestionRow
from ...vqa.datasets.splits import captions, image_files, image_names, same_pictures


@dataclass(frozen=True, kw_only=True)
class LeakReport:
    """`equal`: leaks by equal pictures (by name where there is no file); `alike`: by pictures that look alike, too.

    To the kinds of `eval.leaks.leaks` comes `equal_caption`: test images with all questions and answers of a train
    image. A question on several images counts once for each. `num_read` of `num_images` pictures could be compared.
    """

    equal: dict[str, Leak]
    alike: dict[str, Leak]
    num_images: int
    num_read: int

    def table(self) -> list[dict[str, str]]:
        """A row a kind: leak, by equal pictures, alike ones too, the first ids."""
        return [
            {
                "leak": kind,
                "equal pictures": _share(self.equal[kind]),
                "alike too": _share(leak),
                "first": ", ".join(leak.ids[:3]),
            }
            for kind, leak in self.alike.items()
        ]

    def as_json(self) -> dict[str, Any]:
        """All of it as plain values."""
        return asdict(self)


def read_split(name: str, roots: Mapping[str, Path], seed: int) -> tuple[list[QuestionRow], Skipped]:
    """The rows of `DATASET:SCHEME:SPLIT` or `DATASET:SCHEME:SPLIT:LANGUAGE`, such as `vqa_rad:official:train`.

    `roots`: folder by data set; else that of its name below MEDGLIP_DATA. Raises `BadInput` for another form, and as
    `load_rows` does.
    """
    words = name.split(":")  # the fourth, a language, is SLAKE's alone
    if len(words) not in (3, 4):
        raise BadInput(f"{name!r} names no split.", fix="DATASET:SCHEME:SPLIT, such as vqa_rad:official:train")
    dataset, split_scheme, split = words[:3]
    return load_rows(dataset, roots.get(dataset), split_scheme, split=split, language=(*words, "en")[3], seed=seed)


def parse_roots(values: Sequence[str]) -> dict[str, Path]:
    """Folder by data set, of `DATASET=DIR`. Raises `BadInput` for another form."""
    pairs = [value.partition("=") for value in values]
    if wrong := [value for value, (name, _, folder) in zip(values, pairs, strict=True) if not (name and folder)]:
        raise BadInput(f"root {wrong[0]!r} is not DATASET=DIR.", fix="such as --root slake=Slake1.0")
    return {name: Path(folder).absolute() for name, _, folder in pairs}


def find_leaks(train: Sequence[QuestionRow], test: Sequence[QuestionRow]) -> LeakReport:
    """What `test` shares with `train`; every image that is there is opened once."""
    files = image_files([*train, *test])
    equal, alike, num_read = same_pictures(files)
    # an image is known again by the whole of its questions and answers, too
    known, asked = set(captions(train).values()), captions(test)
    hits = [name for name, pairs in asked.items() if pairs in known]
    caption = Leak(len(hits), len({image_names(row)[0] for row in test}), tuple(hits[:20]))
    by_equal, by_looks = (
        leaks(_questions(train, names), _questions(test, names)) | {"equal_caption": caption}
        for names in (equal, alike)
    )
    return LeakReport(equal=by_equal, alike=by_looks, num_images=len(files), num_read=num_read)


def _questions(rows: Sequence[QuestionRow], pictures: Mapping[str, str]) -> list[SplitQuestion]:
    return [
        SplitQuestion(
            id=row.question_id, image_id=name, question=row.question, answer=row.answer, image_hash=pictures[name]
        )
        for row in rows
        for name in image_names(row)
    ]


def _share(leak: Leak) -> str:
    return f"{leak.count} of {leak.n} ({leak.count / max(leak.n, 1):.1%})"
