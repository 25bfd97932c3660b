"""Go on from a trained core: its weights, sizes and words, for new data. What it forgets is measured.

Rehearsal (Robins 1995): sets of the old training are drawn along with the new ones.
"""

import torch

from ..bad_input import BadInput
from ..grounders.medglip import MedGlipGrounder
from ..grounders.pretrained import checkpoint_folder
from ..model.config import MedGlipConfig
from ..model.image_starts import freeze
from ..model.medglip import MedGlipModel
from ..model.processing import MedGlipProcessor


def continued(
    name: str, image_size: int | None, frozen_rows: int, fine_masks: bool = False
) -> tuple[MedGlipModel, MedGlipProcessor]:
    """The core of `small`, `small-research` or a folder, uncalibrated, at another input size if one is given.

    `fine_masks` adds the path of that name to a core without; it changes nothing before it is trained. New words fall
    into the tokenizer's parts and characters. Raises `BadInput` where there is no core.
    """
    core = MedGlipGrounder.from_pretrained(checkpoint_folder(name), "cpu")
    model, processor = core.model, core.processor
    size = image_size or processor.image_size
    if size % 32:
        raise BadInput(f"image_size {size} is no multiple of 32.", fix="give 256, 320, ...")
    model.config.vision_config.image_size = size  # pyright: ignore[reportOptionalMemberAccess, reportAttributeAccessIssue]
    model.config.calibration = None
    if fine_masks and not model.config.fine_masks:
        model = _with_fine_masks(model)
    processor.image_size = size
    freeze(model.image_tower, frozen_rows)
    return model.to(memory_format=torch.channels_last), processor  # pyright: ignore[reportCallIssue]


def _with_fine_masks(model: MedGlipModel) -> MedGlipModel:
    config = model.config
    assert isinstance(config, MedGlipConfig)
    config.fine_masks = True
    finer = MedGlipModel(config)
    finer.load_state_dict({**finer.state_dict(), **model.state_dict()})
    return finer
