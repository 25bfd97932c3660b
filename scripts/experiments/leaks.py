"""`medglip data leaks`: what a split of a question set shares with another, by image and by text."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

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
        """A row a kind: leak, by equal pictures, by equal or alike ones, the first ids."""

        def share(leak: Leak) -> str:
            return f"{leak.count} of {leak.n} ({leak.count / max(leak.n, 1):.1%})"

        return [
            {"leak": kind, "equal pictures": share(self.equal[kind]), "equal or alike": share(leak)}
            | {"first": ", ".join(leak.ids[:3])}
            for kind, leak in self.alike.items()
        ]


def read_split(name: str, roots: Sequence[str], seed: int) -> tuple[list[QuestionRow], Skipped]:
    """The rows of `DATASET:SCHEME:SPLIT` or `DATASET:SCHEME:SPLIT:LANGUAGE`, such as `vqa_rad:official:train`.

    `roots`: `DATASET=DIR`; a set that has none lies in the folder of its name below MEDGLIP_DATA. Raises `BadInput` for
    another form of either, and as `load_rows` does.
    """
    folders: dict[str, Path] = {}
    for root in roots:
        dataset, _, folder = root.partition("=")
        if not (dataset and folder):
            raise BadInput(f"root {root!r} is not DATASET=DIR.", fix="such as --root slake=Slake1.0")
        folders[dataset] = Path(folder).absolute()
    words = name.split(":")  # the fourth, a language, is SLAKE's alone
    if len(words) not in (3, 4):
        raise BadInput(f"{name!r} names no split.", fix="DATASET:SCHEME:SPLIT, such as vqa_rad:official:train")
    dataset, split_scheme, split = words[:3]
    return load_rows(dataset, folders.get(dataset), split_scheme, split=split, language=(*words, "en")[3], seed=seed)


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


def _questions(rows: Sequence[QuestionRow], hashes: Mapping[str, str]) -> list[SplitQuestion]:
    return [
        SplitQuestion(id=r.question_id, image_id=n, question=r.question, answer=r.answer, image_hash=hashes[n])
        for r in rows
        for n in image_names(r)
    ]
