"""The Med-GLIP core as transformers classes: configuration, towers, fusion, head, masks, losses, processing.

Importing it registers them: after it `AutoModel.from_pretrained(folder)` and `AutoProcessor` know the folder of a core.
"""

from .config import MedGlipConfig
from .medglip import MedGlipModel
from .processing import MedGlipProcessor

__all__ = ["MedGlipConfig", "MedGlipModel", "MedGlipProcessor"]
