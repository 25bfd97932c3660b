"""What a user gives, looked at before anything slow is loaded: images, questions, names, folders."""

import glob
import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from pathlib import Path

from ...grounding.bad_input import BadInput, Skipped, check_name, damaged
from ...grounding.evidence.names import SOURCES, Source, check_usable, parse_forms
from ...grounding.files import read_object
from ...grounding.grounders.hub import hub_folder
from ...grounding.grounders.pretrained import checkpoint_folder, has_no_weights, is_hub_name
from ...grounding.imaging.read import is_dicom
from ...grounding.modalities import parse_modality
from ...grounding.run_folder import RunFolder
from ...vqa.model.shipped import OUR_FILE, shipped_folder

PICTURES = (".png", ".jpg", ".jpeg", ".dcm", ".dicom", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".jp2", ".avif")
"""Names of a folder that are taken for images; a DICOM file may be called anything."""


def images_of(words: Sequence[str | Path], *, is_batch: bool = False, fix: str = "check the path") -> list[Path]:
    """The image files that paths, folders (`scans/`) and patterns (`"scans/*.png"`) stand for, in order.

    `is_batch`: of several, one that is not there is kept, to be skipped later. Raises `BadInput` for a path that is not
    there, with this `fix`, and for a folder or pattern without an image.
    """
    found: list[Path] = []
    for word in words:
        path = Path(word)
        if not str(word).strip():  # as a path the current folder
            raise BadInput("the name of an image is empty.", fix=fix)
        if _is(Path.is_dir, word):
            own = [file for file in sorted(path.iterdir()) if file.is_file() and _is_picture(file)]
        elif is_many(word):
            own = [file for name in _matches(word) if (file := Path(name)).is_file()]
        elif _is(Path.exists, word) or (is_batch and len(words) > 1):
            own = [path]
        else:
            raise BadInput("no such image.", file=path, fix=fix)
        if not own:
            raise BadInput("no image there.", file=path, fix="a folder or pattern of PNG, JPEG or DICOM files")
        found += own
    return found


def first_of_each_name(files: Sequence[Path], skipped: Skipped) -> list[Path]:
    """The files without those that are called as one before them, but for the ending: their pictures would be one.

    These go to `skipped`.
    """
    names: dict[str, Path] = {}
    for file in files:
        first = names.setdefault(file.stem.casefold(), file)  # one file where a disk knows no case
        if first is not file:
            fix = "rename one of them, or look at it in a call with another --out"
            skipped.add(file.name, BadInput(f"its picture would be that of {first.name}.", file=file, fix=fix))
    return list(names.values())


def is_many(word: str | Path) -> bool:
    """Whether a word is a folder or a pattern, whose images are looked at one by one."""
    return _is(Path.is_dir, word) or (not _is(Path.exists, word) and glob.has_magic(str(word)))


def _is(kind: Callable[[Path], bool], word: str | Path) -> bool:
    try:
        return kind(Path(word))
    except (OSError, ValueError):  # too long for a name, as questions are
        return False


def _matches(word: str | Path) -> list[str]:
    return sorted(glob.glob(str(word), recursive=True))  # noqa: PTH207 - Path.glob takes no absolute pattern


def _is_picture(file: Path) -> bool:
    # the parts that a command drew earlier are no input
    is_drawn = file.stem.endswith((".regions", ".evidence"))
    return not is_drawn and not file.name.startswith(".") and (file.suffix.lower() in PICTURES or is_dicom(file))


def is_picture(out: Path) -> bool:
    """Whether an output path names one picture, not a folder: `.png`, `.jpg` or `.jpeg` in any case."""
    return out.suffix.lower() in (".png", ".jpg", ".jpeg")


def question_of(words: Sequence[str]) -> tuple[list[str], str | None]:
    """The images of a call, and its question: the last word, where it is no image; None where there is none.

    Raises `BadInput` for an empty word, which as a path would be the current folder.
    """
    if not all(word.strip() for word in words):
        fix = 'write one, such as "Is there a nodule?", or leave it out: a prompt opens'
        raise BadInput("the question is empty.", fix=fix)
    *images, last = words
    is_pattern = is_many(last) and (_is(Path.is_dir, last) or bool(_matches(last)))  # questions have question marks
    is_image = _is(Path.exists, last) or is_pattern or Path(last).suffix.lower() in PICTURES
    return (list(words), None) if is_image or not images else (images, last)


def groups_of(words: Sequence[str], *, each: bool = False, has_questions: bool = False) -> list[list[Path]]:
    """The images that are asked of together: all of them, or with `each` and of folders and patterns one at a time.

    Raises `BadInput` as `images_of`, and for a question among them; `has_questions`: a file holds the questions.
    """
    if wrong := next(filter(_is_asked, words), None):
        fix = "a question or --questions, not both" if has_questions else "several questions go in --questions FILE"
        raise BadInput(f"{wrong!r} is a question where images are named.", fix=fix)
    images = images_of(words, fix="check the path; a question of several words stands in quotes")
    return [[image] for image in images] if each or any(map(is_many, words)) else [images]


def _is_asked(word: str) -> bool:
    """Whether a word that names nothing on disk reads like a question, not like the pattern `scans/a?`."""
    if _is(Path.exists, word) or Path(word).suffix.lower() in PICTURES or (glob.has_magic(word) and _matches(word)):
        return False
    return word.rstrip().endswith("?") and (" " in word.strip() or "/" not in word)


def read_questions(file: Path) -> list[str]:
    """One question a line; empty lines and lines that begin with # are none. Raises `BadInput` for a file without."""
    try:
        lines = [line.strip() for line in file.read_text(encoding="utf-8-sig").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(
            "the questions cannot be read.", file=file, fix="a UTF-8 text file, a question a line"
        ) from error
    if not (questions := [line for line in lines if line and not line.startswith("#")]):
        raise BadInput("no question in this file.", file=file, fix="one question a line")
    return questions


def typed_questions() -> Iterator[str]:
    """Questions from the keyboard, or piped in, until an empty line or the end. Raises `BadInput` for an empty pipe."""
    if sys.stdin.isatty():
        print("Ask. An empty line ends it.", file=sys.stderr)
        return _lines("? ")
    if (first := next(_lines(), None)) is None:  # told now, before anything is loaded
        fix = "put it last, in quotes, or give --questions FILE"
        raise BadInput("no question: none is given, and none is piped in.", fix=fix)
    return chain([first], _lines())


def _lines(prompt: str = "") -> Iterator[str]:
    while True:
        print(prompt, end="", file=sys.stderr, flush=True)
        if not (line := sys.stdin.readline().strip()):
            return
        yield line


def check_given(
    *,
    modality: str | None = None,
    evidence: str | None = None,
    forms: str | None = None,
    checkpoint: str | None = None,
    run: Path | None = None,
    adapter: Path | None = None,
    download: bool = False,
    pdf: bool = False,
) -> None:
    """Raises `BadInput` for whatever of a call can be seen to be wrong without torch; it takes a moment.

    With `download` the folders that are names of a hub are fetched. `pdf`: a browser must be there to print it.
    """
    parse_modality(modality or "unknown")
    if evidence is not None:
        check_usable(source_named(evidence))
    parse_forms(forms or "")
    if checkpoint and not is_hub_name(checkpoint) and not has_no_weights(checkpoint):
        checkpoint_folder(checkpoint)
    if adapter is not None:
        if download and is_hub_name(str(adapter)):
            hub_folder(str(adapter), allow_download=True)
        folder = shipped_folder("adapter", adapter)
        if (folder / OUR_FILE).is_file():
            with damaged(folder / OUR_FILE):
                learned = read_object(folder / OUR_FILE).get("evidence", {}).get("forms")  # older ones do not say it
            refuse_unlearned(parse_forms(forms or ""), parse_forms(forms or "") if learned is None else learned, folder)
    if pdf:
        from ...report.output.write import find_browser  # not for the sake of a question

        find_browser()
    if run is not None and not RunFolder(run).is_run:
        raise BadInput("no run in this folder.", file=run, fix="`medglip run quickstart` makes runs/quickstart")


def refuse_unlearned(forms: Sequence[str], learned: Sequence[str], folder: Path) -> None:
    """Raises `BadInput` for a form of evidence that what lies in a folder never learned."""
    if never := next((form for form in forms if form not in learned), None):
        fix = f"--forms with a part of {'+'.join(learned)}" if learned else "leave --forms out: it learned none"
        raise BadInput(f"{folder.name!r} never learned the form {never!r}.", fix=fix)


def say_loading(*what: object) -> None:
    """One line on standard error, at once: loading takes seconds, in which nothing else is seen."""
    names = ", ".join(dict.fromkeys(str(one) for one in what if one))
    print(f"loading {names} ...", file=sys.stderr, flush=True)


def source_named(name: str) -> Source:
    """The evidence source of a user's word. Raises `BadInput` with the nearest valid one."""
    return check_name(name, SOURCES, "evidence source")
