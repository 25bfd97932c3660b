"""The core: where in the image is what the phrase says. A name costs what it needs (numpy, PIL, pydantic), no torch."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .bad_input import BadInput, Skipped
    from .evidence.evidence import Evidence, EvidenceSettings
    from .geometry import Letterbox
    from .grounder import Grounder
    from .modalities import MODALITIES, parse_modality
    from .types import AnnotatedImage, Region

__all__ = [
    "MODALITIES",
    "AnnotatedImage",
    "BadInput",
    "Evidence",
    "EvidenceSettings",
    "Grounder",
    "Letterbox",
    "Region",
    "Skipped",
    "parse_modality",
]
_MODULES = {
    "bad_input": ("BadInput", "Skipped"),
    "evidence.evidence": ("Evidence", "EvidenceSettings"),
    "geometry": ("Letterbox",),
    "grounder": ("Grounder",),
    "modalities": ("MODALITIES", "parse_modality"),
    "types": ("AnnotatedImage", "Region"),
}
"""Loaded when one of their names is asked for: `medglip --help` needs none of them."""


def __getattr__(name: str) -> Any:
    for module, names in _MODULES.items():
        if name in names:
            return getattr(import_module(f".{module}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
