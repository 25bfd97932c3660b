"""The reports of the shared phantoms."""

from pathlib import Path

import pytest

from medglip.grounding.datasets.phantoms import dataset as phantom
from medglip.report.datasets.phantom import read_reports
from medglip.report.task import Report


@pytest.fixture(scope="session")
def reports(phantoms: Path) -> list[Report]:
    """What is written about them, each sentence with its true regions; not to be changed."""
    return read_reports(phantoms, phantom.read(phantoms))
