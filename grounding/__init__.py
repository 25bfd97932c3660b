"""The core: where in the image is what the phrase says. Importing this room costs numpy, PIL and pydantic, no torch."""

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
