"""Report sets by name: `load_reports("mimic_cxr", root, part="test")`, the same for each; `load_texts` for text."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from ...grounding.bad_input import BadInput, Skipped, nearest
from ...grounding.datasets.corpus import data_folder
from ...grounding.settings import Settings
from ..task import Report
from . import covid_cxr, generic, iu_xray, mimic_cxr
from .covid_cxr import CovidNotesSettings
from .images import to_reports
from .rows import ReportRow, ReportSettings
from .texts import ReportText, to_texts

Item = TypeVar("Item", Report, ReportText)

READERS: dict[str, tuple[type[ReportSettings], Callable[[Any, int, Skipped], list[ReportRow]]]] = {
    "mimic_cxr": (mimic_cxr.MimicCxrSettings, mimic_cxr.read_rows),
    "iu_xray": (iu_xray.IuXraySettings, iu_xray.read_rows),
    "generic": (generic.GenericSettings, generic.read_rows),
}
"""Settings and reader of rows, by name; what each set is stands in its module's docstring."""

NAMES = ("phantom", "covid_notes", *READERS)
"""Every set that `load_reports` knows."""


def load_reports(
    name: str, root: Path | None = None, *, settings: Settings | None = None, part: str | None = None, seed: int = 0
) -> tuple[list[Report], Skipped]:
    """The reports of a set with their images, and what was left out, with file and row.

    `root`: its folder (`generic`: its table), over that of the settings; else that of the set's name below
    MEDGLIP_DATA. `settings`: of the set's own class, its defaults when left out; phantoms have none. `part`: train,
    val or test, all when left out. `seed`: of splits that are drawn.
    Raises `BadInput` for an unknown name, settings of another set, a set that is not there or has nothing usable.
    """
    if name == "phantom":
        return _part(_phantom(root or Path(name)), part, Skipped(), name), Skipped()
    if name == "covid_notes":
        chosen = _settings(name, CovidNotesSettings, settings, root)
        reports, skipped = covid_cxr.read(chosen, seed)
        return _part(reports, part, skipped, name), skipped
    kind, _ = _reader(name)
    chosen = _settings(name, kind, settings, root)
    texts, skipped = load_texts(name, settings=chosen, part=part, seed=seed)
    return _part(to_reports(texts, chosen, skipped), part, skipped, name), skipped


def load_texts(
    name: str, root: Path | None = None, *, settings: Settings | None = None, part: str | None = None, seed: int = 0
) -> tuple[list[ReportText], Skipped]:
    """The words of a set's reports, no image needed: for statistics, and `text_example` to warm up on text alone.

    Arguments and errors as `load_reports`, for the sets of `READERS`.
    """
    kind, read_rows = _reader(name)
    chosen, skipped = _settings(name, kind, settings, root), Skipped()
    rows = read_rows(chosen, seed, skipped)
    if wanted := [row for row in rows if part in (None, row.part)]:
        return _part(to_texts(wanted, chosen, skipped), part, skipped, name), skipped
    raise _nothing(name, part, (row.part for row in rows), skipped)


def _reader(name: str) -> tuple[type[ReportSettings], Callable[[Any, int, Skipped], list[ReportRow]]]:
    if name not in READERS:
        raise BadInput(f"unknown report set {name!r}.", fix=nearest(name, NAMES))
    return READERS[name]


Chosen = TypeVar("Chosen", bound=Settings)


def _settings(name: str, kind: type[Chosen], settings: Settings | None, root: Path | None) -> Chosen:
    """The settings, those of the set's own class when left out; their path is the root, where it is given."""
    chosen = kind() if settings is None else settings
    if not isinstance(chosen, kind):
        raise BadInput(f"{type(chosen).__name__} are no settings of {name}.", fix=f"give {kind.__name__}")
    return chosen if root is None else chosen.model_copy(update={"path": root})


def _phantom(root: Path) -> list[Report]:
    from ...grounding.datasets.phantoms import dataset as images
    from .phantom import read_reports

    folder = data_folder(root)
    return read_reports(folder, images.read(folder))


def _part(items: Sequence[Item], part: str | None, skipped: Skipped, name: str) -> list[Item]:
    parts = [item.image.split if isinstance(item, Report) else item.row.part for item in items]
    found = [item for item, its in zip(items, parts, strict=True) if part in (None, its)]
    if not found:
        raise _nothing(name, part, parts, skipped)
    return found


def _nothing(name: str, part: str | None, parts: Iterable[str], skipped: Skipped) -> BadInput:
    problem = f"no usable report of {part or 'any part'} in {name}; {skipped.summary()}."
    return BadInput(problem, fix=f"parts with reports: {', '.join(sorted(set(parts))) or 'none'}")
