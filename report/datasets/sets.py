"""Every report set in one table: a new one is a file of this folder and a row of `REPORT_SETS`.

The file of a set has two names. The settings class is a section `report.NAME` of a recipe; importing the file loads
neither torch nor `datasets`. `read` turns the settings into reports:

    class MySettings(Settings): ...
    def read(settings: MySettings, context: ReportContext, skipped: Skipped) -> list[Report]: ...

A set of plain rows has a third, for what needs its text alone (the warm-up of a language model); see `rows.py`:

    def read_rows(settings: MySettings, seed: int, skipped: Skipped) -> list[ReportRow]: ...
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal

from ...grounding.bad_input import BadInput, Skipped, nearest
from ...grounding.datasets.corpus import of_split
from ...grounding.settings import Settings

if TYPE_CHECKING:
    from datasets import Dataset

    from ..task import Report


@dataclass(frozen=True, kw_only=True)
class ReportContext:
    """What the reader of a set gets from its caller, beside the settings.

    `seed`: of splits that are drawn. `only_split`: train, val or test alone; None: all three. `phantom_dir`: the
    recipe's own phantoms. `region_images`: reads the images of the recipe's region sets, with all their regions.
    The last two are None outside of a recipe.
    """

    seed: int = 0
    only_split: str | None = None
    phantom_dir: Path | None = None
    region_images: "Callable[[], Dataset] | None" = None


@dataclass(frozen=True)
class ReportSet:
    """One report set. `module`: its file in this folder; `settings_class`: the name of its settings class there.

    `title`, `licence`: as pages show them. `has_regions`: true regions come with its images, so that the source
    `oracle` can use them; `regions_key`: where not every image has them, the settings key that leaves out the others.
    `needs`: what a recipe must have for it: the section `phantoms`, or region sets in `grounding.data`.
    `has_rows`: the file has `read_rows`.
    """

    module: str
    settings_class: str
    title: str
    licence: str
    has_regions: bool = False
    regions_key: str = ""
    needs: Literal["", "phantoms", "region_sets"] = ""
    has_rows: bool = False

    def load(self) -> ModuleType:
        """The module, imported now."""
        return import_module(f".{self.module}", __package__)

    def settings(self) -> type[Settings]:
        """The settings class."""
        return getattr(self.load(), self.settings_class)


REPORT_SETS: dict[str, ReportSet] = {
    "phantom": ReportSet(
        *("phantom", "PhantomReportSettings", "Phantoms", "none needed: drawn from a seed"),
        has_regions=True,
        needs="phantoms",
    ),
    "derived": ReportSet(
        *("derived", "DerivedReportSettings", "Reports derived from regions", "that of each region set"),
        has_regions=True,
        needs="region_sets",
    ),
    "covid_notes": ReportSet(
        *("covid_notes", "CovidNotesSettings", "COVID-19 notes", "per image: CC BY, CC BY-SA, CC BY-NC-SA"),
        has_regions=True,
        regions_key="boxes_only",
    ),
    "mimic_cxr": ReportSet(
        *("mimic_cxr", "MimicCxrSettings", "MIMIC-CXR", "PhysioNet Credentialed Health Data License 1.5.0"),
        has_rows=True,
    ),
    "iu_xray": ReportSet("iu_xray", "IuXraySettings", "IU X-ray", "CC BY-NC-ND 4.0", has_rows=True),
    "generic": ReportSet("generic", "GenericSettings", "Reports of your own", "yours to state", has_rows=True),
}
"""The sets by name, in the order in which pages and help show them."""


def report_set(name: str) -> ReportSet:
    """The set of this name. Raises `BadInput` with the nearest valid one."""
    if name not in REPORT_SETS:
        raise BadInput(f"unknown report set {name!r}.", fix=nearest(name, REPORT_SETS))
    return REPORT_SETS[name]


def read_set(name: str, settings: Settings, context: ReportContext, skipped: Skipped) -> "list[Report]":
    """The reports of a set; what cannot be used goes to `skipped`, with file and row.

    `settings`: of the set's own class. Raises `BadInput` for an unknown name, settings of another set, a set that is
    not there, and one without a usable report of `context.only_split`.
    """
    chosen = report_set(name)
    if not isinstance(settings, chosen.settings()):
        raise BadInput(f"{type(settings).__name__} are no settings of {name}.", fix=f"give {chosen.settings_class}")
    read: Callable[[Any, ReportContext, Skipped], list[Report]] = chosen.load().read
    reports = read(settings, context, skipped)
    return of_split(reports, [report.image.split for report in reports], context.only_split, "report", name, skipped)
