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
from typing import TYPE_CHECKING

from ...grounding.bad_input import Skipped
from ...grounding.datasets.task_sets import SetContext, TaskSet, read_items
from ...grounding.settings import Settings

if TYPE_CHECKING:
    from datasets import Dataset

    from ..task import Report


@dataclass(frozen=True, kw_only=True)
class ReportContext(SetContext):
    """As `SetContext`. `region_images`: reads the images of the recipe's region sets, with all their regions."""

    region_images: "Callable[[], Dataset] | None" = None


@dataclass(frozen=True, kw_only=True)
class ReportSet(TaskSet):
    """As `TaskSet`. `regions_key`: where not every image has regions, the settings key that gives some or leaves
    out the others.

    `has_rows`: the file has `read_rows`.
    """

    regions_key: str = ""
    has_rows: bool = False


REPORT_SETS: dict[str, ReportSet] = {
    "phantom": ReportSet(
        module="phantom",
        settings_class="PhantomReportSettings",
        title="Phantoms",
        licence="none needed: drawn from a seed",
        has_regions=True,
        needs="phantoms",
    ),
    "derived": ReportSet(
        module="derived",
        settings_class="DerivedReportSettings",
        title="Reports derived from regions",
        licence="that of each region set",
        has_regions=True,
        needs="region_sets",
    ),
    "covid_notes": ReportSet(
        module="covid_notes",
        settings_class="CovidNotesSettings",
        title="COVID-19 notes",
        licence="per image: CC BY, CC BY-SA, CC BY-NC-SA",
        has_regions=True,
        regions_key="boxes_only",
    ),
    "mimic_cxr": ReportSet(
        module="mimic_cxr",
        settings_class="MimicCxrSettings",
        title="MIMIC-CXR",
        licence="PhysioNet Credentialed Health Data License 1.5.0",
        has_regions=True,
        regions_key="ms_cxr",
        has_rows=True,
    ),
    "iu_xray": ReportSet(
        module="iu_xray", settings_class="IuXraySettings", title="IU X-ray", licence="CC BY-NC-ND 4.0", has_rows=True
    ),
    "generic": ReportSet(
        module="generic",
        settings_class="GenericSettings",
        title="Reports of your own",
        licence="yours to state",
        has_rows=True,
    ),
}
"""The sets by name, in the order in which pages and help show them."""


def read_set(name: str, settings: Settings, context: ReportContext, skipped: Skipped) -> "list[Report]":
    """The reports of a set; arguments and errors as `task_sets.read_items`."""
    return read_items(REPORT_SETS, "report", name, settings, context, skipped)
