"""The core: where in the image is what the phrase says. A name costs what it needs; the room itself loads no torch.

```python
from medglip.grounding import load_grounder, open_image

image = open_image("chest.png", modality="xray")
for region in load_grounder("small").ground([image], [["left lung", "heart"]])[0]:
    print(region.phrase, region.score, region.box_xyxy_px)
```
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .bad_input import BadInput, Skipped
    from .evidence.evidence import Evidence, EvidenceSettings
    from .geometry import Letterbox
    from .grounder import Grounder
    from .grounders.medglip import MedGlipGrounder
    from .grounders.pretrained import load_grounder
    from .imaging.open import open_image
    from .imaging.read import read_image
    from .modalities import MODALITIES, parse_modality
    from .model import MedGlipConfig, MedGlipModel, MedGlipProcessor
    from .types import AnnotatedImage, Region
    from .vocabulary.labels import load_labels

__all__ = [
    "MODALITIES",
    "AnnotatedImage",
    "BadInput",
    "Evidence",
    "EvidenceSettings",
    "Grounder",
    "Letterbox",
    "MedGlipConfig",
    "MedGlipGrounder",
    "MedGlipModel",
    "MedGlipProcessor",
    "Region",
    "Skipped",
    "load_grounder",
    "load_labels",
    "open_image",
    "parse_modality",
    "read_image",
]
_MODULES = {
    "bad_input": ("BadInput", "Skipped"),
    "evidence.evidence": ("Evidence", "EvidenceSettings"),
    "geometry": ("Letterbox",),
    "grounder": ("Grounder",),
    "grounders.medglip": ("MedGlipGrounder",),
    "grounders.pretrained": ("load_grounder",),
    "imaging.open": ("open_image",),
    "imaging.read": ("read_image",),
    "modalities": ("MODALITIES", "parse_modality"),
    "model": ("MedGlipConfig", "MedGlipModel", "MedGlipProcessor"),
    "types": ("AnnotatedImage", "Region"),
    "vocabulary.labels": ("load_labels",),
}
"""Loaded when one of their names is asked for: `medglip --help` needs none of them."""


def __getattr__(name: str) -> Any:
    for module, names in _MODULES.items():
        if name in names:
            return getattr(import_module(f".{module}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
