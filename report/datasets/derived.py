"""Reports that the regions of a recipe's region sets write themselves; `report.derived` has the rules.

Source: any region set; licence, split and patients are those of its images.
"""

from pydantic import Field

from ...grounding.bad_input import BadInput, Skipped
from ...grounding.settings import Settings
from ..task import Report
from .sets import ReportContext


class DerivedReportSettings(Settings):
    """Of which images reports are derived."""

    splits: tuple[str, ...] = ()
    """Only images of these splits; all when left out."""
    limit: int | None = Field(default=None, gt=0)
    """At most so many images of each set, drawn with the seed; all when left out."""
    seed: int = Field(default=0, ge=0)
    """Seed of that draw."""


def read(settings: DerivedReportSettings, context: ReportContext, skipped: Skipped) -> list[Report]:
    """One report an image that has regions; nothing is skipped.

    Raises `BadInput` outside of a recipe with region sets, and where no image is of the settings' splits.
    """
    from ...grounding.datasets.schema import images
    from ...vqa.derived.derive import chosen_rows
    from ...vqa.derived.settings import DeriveSettings
    from ..derived import to_reports

    if context.region_images is None:
        raise BadInput("no region sets to derive reports from.", fix="name them in `grounding.data` of a recipe")
    data = context.region_images()
    return to_reports(images(data.select(chosen_rows(data, DeriveSettings(**settings.model_dump())))))
