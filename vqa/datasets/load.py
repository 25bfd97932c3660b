"""A question set by name, outside of a recipe: `load_questions("vqa_rad", root, "official", split="test")`."""

from pathlib import Path
from typing import Any, get_args

from ...grounding.bad_input import BadInput, Skipped, nearest
from ...grounding.settings import Settings
from ..task import Question
from .public import PublicSettings, arrange_rows
from .rows import QuestionRow
from .sets import QUESTION_SETS, ReadContext, SplitScheme, question_set, read_set


def load_rows(
    name: str,
    root: Path | None = None,
    split_scheme: str = "official",
    *,
    split: str | None = None,
    language: str = "en",
    seed: int = 0,
) -> tuple[list[QuestionRow], Skipped]:
    """The rows of a set, no image needed; rows without a usable text are listed.

    `root`: its folder, else that of its name below MEDGLIP_DATA. `split_scheme`: see `splits`; `split`: train, val or
    test, all when left out. `language`: of SLAKE alone. `seed`: of `image_grouped` alone.
    Raises `BadInput` for an unknown name, scheme or split, a folder without the set, and a split without rows.
    """
    settings, skipped = _settings(name, root, split_scheme, language), Skipped()
    if not isinstance(settings, PublicSettings):
        names = [name for name, entry in QUESTION_SETS.items() if issubclass(entry.settings(), PublicSettings)]
        raise BadInput(f"{name} is no set of plain rows.", fix=nearest(name, names))
    rows = question_set(name).load().read_rows(settings, skipped)
    return arrange_rows(settings, rows, ReadContext(seed=seed, draws_val=False, only_split=split), skipped), skipped


def load_questions(
    name: str,
    root: Path | None = None,
    split_scheme: str = "official",
    *,
    split: str | None = None,
    language: str = "en",
    seed: int = 0,
    allow_outside: bool = False,
) -> tuple[list[Question], Skipped]:
    """The questions of a set, ready to be asked; arguments and errors as `load_rows`, for every set of the table.

    `allow_outside`: names of images may leave the set's folder. Rows without a usable image are in the list of what was
    left out, with file and row; `BadInput` where all are.
    """
    settings, skipped = _settings(name, root, split_scheme, language, allow_outside), Skipped()
    return read_set(name, settings, ReadContext(seed=seed, draws_val=False, only_split=split), skipped), skipped


def _settings(name: str, root: Path | None, split_scheme: str, language: str, allow_outside: bool = False) -> Settings:
    kind = question_set(name).settings()
    if split_scheme not in get_args(SplitScheme):
        raise BadInput(f"unknown split {split_scheme!r}.", fix=nearest(split_scheme, get_args(SplitScheme)))
    # as it is seen from here, else from MEDGLIP_DATA
    path = root.resolve() if root and root.exists() else root or Path(name)
    values: dict[str, Any] = {"path": path, "split_scheme": split_scheme, "language": language}
    values["allow_outside"] = allow_outside
    # a set takes the keys that it knows: not every one has a language, or splits of its own
    return kind(**{key: value for key, value in values.items() if key in kind.model_fields})
