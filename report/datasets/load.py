"""A report set by name, outside of a recipe: `load_reports("mimic_cxr", root, split="test")`; `load_texts` for text."""

from pathlib import Path

from ...grounding.bad_input import BadInput, Skipped, nearest
from ...grounding.datasets.task_sets import find_set
from ...grounding.settings import Settings
from ..task import Report
from .reading import ReportText, to_split_texts
from .rows import ReportSettings
from .sets import REPORT_SETS, ReportContext, read_set


def load_reports(
    name: str,
    root: Path | None = None,
    *,
    settings: Settings | None = None,
    split: str | None = None,
    seed: int = 0,
    allow_outside: bool = False,
) -> tuple[list[Report], Skipped]:
    """The reports of a set with their images, and what was left out, with file and row.

    `root`: its folder (`generic`: its table), over that of the settings; else that of the set's name below
    MEDGLIP_DATA. `settings`: of the set's own class, its defaults when left out. `split`: train, val or test, all when
    left out. `seed`: of splits that are drawn. `allow_outside`: names of images may leave the set's folder.
    Raises `BadInput` for an unknown name, settings of another set, a set that is not there or has nothing usable.
    """
    skipped = Skipped()
    chosen = _with_root(name, settings, root)
    if allow_outside and "allow_outside" in type(chosen).model_fields:
        chosen = chosen.model_copy(update={"allow_outside": True})
    return read_set(name, chosen, ReportContext(seed=seed, only_split=split), skipped), skipped


def load_texts(
    name: str, root: Path | None = None, *, settings: Settings | None = None, split: str | None = None, seed: int = 0
) -> tuple[list[ReportText], Skipped]:
    """The words of a set's reports, no image needed: for statistics, and `text_example` to warm up on text alone.

    Arguments and errors as `load_reports`, for the sets that have rows.
    """
    skipped = Skipped()
    chosen = _with_root(name, settings, root)
    if not isinstance(chosen, ReportSettings):
        names = [name for name, entry in REPORT_SETS.items() if entry.has_rows]
        raise BadInput(f"{name} has no texts without images.", fix=nearest(name, names))
    rows = REPORT_SETS[name].load().read_rows(chosen, seed, skipped)
    return to_split_texts(rows, chosen, split, name, skipped), skipped


def _with_root(name: str, settings: Settings | None, root: Path | None) -> Settings:
    """The settings, those of the set's own class when left out; their path is the root, where it is given."""
    kind = find_set(REPORT_SETS, "report", name).settings()
    chosen = kind() if settings is None else settings
    if not isinstance(chosen, kind):
        raise BadInput(f"{type(chosen).__name__} are no settings of {name}.", fix=f"give {kind.__name__}")
    # as it is seen from here, else from MEDGLIP_DATA
    return chosen if root is None else chosen.model_copy(update={"path": root.resolve() if root.exists() else root})
