"""The core: where in the image is what the phrase says. Importing this room costs numpy, PIL and pydantic, no torch."""

from .bad_input import BadInput, Skipped
from .evidence.evidence import Evidence, EvidenceSettings
from .geometry import Letterbox
from .grounder import Grounder
from .types import MODALITIES, AnnotatedImage, Region, parse_modality

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
