"""Write: study + evidence -> report sentences, each with its regions."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .datasets.load import load_reports
    from .output.grounded import GroundedReport, from_json, to_json
    from .output.html import page
    from .output.write import write, write_dicom, write_pdf
    from .task import Report

__all__ = [
    "GroundedReport",
    "Report",
    "from_json",
    "load_reports",
    "page",
    "to_json",
    "write",
    "write_dicom",
    "write_pdf",
]
_MODULES = {
    "datasets.load": ("load_reports",),
    "output.grounded": ("GroundedReport", "from_json", "to_json"),
    "output.html": ("page",),
    "output.write": ("write", "write_dicom", "write_pdf"),
    "task": ("Report",),
}
"""Loaded when one of their names is asked for."""


def __getattr__(name: str) -> Any:
    for module, names in _MODULES.items():
        if name in names:
            return getattr(import_module(f".{module}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
