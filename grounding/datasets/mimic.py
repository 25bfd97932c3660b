"""What sets over MIMIC-CXR share: splits and sizes from the csv files of MIMIC-CXR-JPG, and where an image lies.

The folder of such a set holds its own files and, as links, MIMIC-CXR-JPG's `files` and its `-split` and `-metadata`
csv.gz (physionet.org/content/mimic-cxr-jpg, 2.0.0 and 2.1.0; PhysioNet Credentialed Health Data License 1.5.0).
"""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ..bad_input import BadInput, explain
from ..foreign import read_csv
from .corpus import stay_inside

logger = logging.getLogger("medglip")

SPLITS = {"train": "train", "val": "val", "valid": "val", "validate": "val", "validation": "val", "test": "test"}
"""Our names of the splits by those of MIMIC-CXR and of the sets over it."""
_COLUMNS = {
    "split": ("dicom_id", "study_id", "subject_id", "split"),
    "metadata": ("dicom_id", "ViewPosition", "Rows", "Columns"),
}
_SUFFIXES = (".jpg", ".png", ".dcm")
_SHAPE_TOLERANCE = 0.01


@dataclass(frozen=True, kw_only=True)
class Film:
    """One image as MIMIC's csv files have it. `split`: train, val or test; `size_px`: (width, height) as recorded."""

    subject: str
    study: str
    split: str
    size_px: tuple[int, int] | None
    is_frontal: bool

    @property
    def folder(self) -> str:
        """Where its study lies: `files/p10/p10000032/s50414267`."""
        return f"files/p{self.subject[:2]}/p{self.subject}/s{self.study}"


def is_frontal(row: Mapping[str, str]) -> bool | None:
    """Whether a row of the metadata is of a frontal film: by its ViewPosition, else its view code; None: not told."""
    if view := (row.get("ViewPosition") or "").strip():
        return view.split()[0].upper() in ("PA", "AP")
    code = (row.get("ViewCodeSequence_CodeMeaning") or "").strip().lower()
    return code.startswith(("postero-anterior", "antero-posterior")) if code else None


def have_same_shape(size_px: tuple[int, int], recorded_px: tuple[float, float]) -> bool:
    """Whether an image can be the recorded one resized: sides in one proportion, but for 1 % or rounding to pixels."""
    (width, height), (wide, high) = size_px, recorded_px
    return abs(width * high - height * wide) <= max(_SHAPE_TOLERANCE * height * wide, wide, high)


def read_films(folder: Path) -> dict[str, Film]:
    """Every image of MIMIC-CXR by DICOM id, in the order of the split file.

    Raises `BadInput` for a missing csv file or column, and for a split of another name.
    """
    known = {row["dicom_id"]: row for _, row in _read_table(folder, "metadata")}
    films: dict[str, Film] = {}
    for number, row in _read_table(folder, "split"):
        split = _split_of(row["split"], folder, number)
        facts = known.get(row["dicom_id"], {})
        sides = [facts.get(name) or "" for name in ("Columns", "Rows")]
        fix = "take the file as published"
        with explain("no size of an image", ValueError, OverflowError, file=_table(folder, "metadata"), fix=fix):
            size_px = (int(float(sides[0])), int(float(sides[1]))) if all(sides) else None
        films[row["dicom_id"]] = Film(
            subject=row["subject_id"],
            study=row["study_id"],
            split=split,
            size_px=size_px,
            is_frontal=is_frontal(facts) or False,
        )
    return films


def read_splits(folder: Path) -> dict[str, str]:
    """Our split of each patient by the name of the folder, `p10000032`; without a -split csv none, and a notice.

    Raises `BadInput` for a missing column and a split of another name.
    """
    if not _tables(folder, "split"):
        note = "note: %s: no mimic-cxr-2.0.0-split.csv.gz is linked there, so its test patients may be learned"
        logger.warning(note, folder)
        return {}
    return {f"p{row['subject_id']}": _split_of(row["split"], folder, n) for n, row in _read_table(folder, "split")}


def splits_by_subject(films: Mapping[str, Film]) -> dict[str, str]:
    """The split of each patient: MIMIC-CXR keeps a patient's images together."""
    return {film.subject: film.split for film in films.values()}


def strictest(*splits: str) -> str:
    """Of what several files say of one patient: test before val before train; "" where none says anything."""
    return next((split for split in ("test", "val", "train") if split in splits), "")


def film_file(folder: Path, stated: str, dicom_id: str, allow_outside: bool = False) -> Path:
    """The image of a path as published (`files/p10/...`), or of a DICOM id alone.

    It lies below the folder or its `images/`, with or without `files/`; as .jpg, .png or .dcm. Raises `BadInput`.
    """
    stated = stated.replace("\\", "/").lstrip("/")
    short = stated.removeprefix("files/")
    stems = [Path(name).with_suffix("") for name in (f"files/{short}", short, dicom_id)]
    roots = (folder, folder / "images")
    names = (f"{root / stem}{suffix}" for root in roots for stem in stems for suffix in _SUFFIXES)
    candidates = (stay_inside(folder, name, allow_outside) for name in names)
    if (path := next((path for path in candidates if path.is_file()), None)) is None:
        raise BadInput(f"no image {stated}.", file=folder, fix="link the MIMIC-CXR-JPG folder `files` into this one")
    return path


def _split_of(word: str, folder: Path, row: int) -> str:
    if (split := SPLITS.get(word.strip())) is None:
        fix = "train, validate or test, as published"
        raise BadInput(f"split is {word!r}.", file=_table(folder, "split"), row=row, fix=fix)
    return split


def _tables(folder: Path, kind: str) -> list[Path]:
    # the folder itself; else that which its link `files` leads to
    for place in (folder, (folder / "files").resolve().parent):
        if files := [*place.glob(f"mimic-cxr-*-{kind}.csv.gz"), *place.glob(f"mimic-cxr-*-{kind}.csv")]:
            return files
    return []


def _table(folder: Path, kind: str) -> Path:
    if not (files := _tables(folder, kind)):
        fix = "link it from MIMIC-CXR-JPG into this folder"
        raise BadInput("no such file.", file=folder / f"mimic-cxr-2.0.0-{kind}.csv.gz", fix=fix)
    return max(files)


def _read_table(folder: Path, kind: str) -> Iterator[tuple[int, dict[str, str]]]:
    return read_csv(_table(folder, kind), _COLUMNS[kind])
