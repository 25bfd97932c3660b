"""What is kept of a core's image tower beside its weights, in `features.safetensors`: scales of its maps, and what its
training images were like. Cores of before have no such file.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from .backbones import STRIDES
from .familiarity import Familiarity, describe, fit_familiarity
from .image_tower import MedGlipVisionModel
from .pooling import MapScales, fit_scales

FILE = "features.safetensors"


@dataclass(frozen=True)
class TowerFeatures:
    """`scales` standardise what regions pool; `familiarity` is None for a core of too few images.

    `modalities`: of each of the N training images of `familiarity`; () for cores of before. They change no region.
    """

    scales: MapScales
    familiarity: Familiarity | None
    modalities: tuple[str, ...] = ()

    def tensors(self) -> dict[str, Tensor]:
        """float32, by the names of the file: `mean.4`, `std.4` ... and `familiarity.` with each of its fields."""
        parts = {"mean": self.scales.means, "std": self.scales.stds}
        named = {f"{part}.{s}": x for part, row in parts.items() for s, x in zip(STRIDES, row, strict=True)}
        own = vars(self.familiarity) if self.familiarity else {}
        return named | {f"familiarity.{name}": tensor for name, tensor in own.items()}

    def save(self, folder: Path) -> None:
        """Write the file into a core's folder."""
        tensors = {name: tensor.contiguous() for name, tensor in self.tensors().items()}
        save_file(tensors, folder / FILE, metadata={"modalities": " ".join(self.modalities)})


def load_features(folder: Path) -> TowerFeatures | None:
    """What `TowerFeatures.save` wrote; None where there is no file."""
    if not (folder / FILE).is_file():
        return None
    tensors = load_file(folder / FILE)
    with safe_open(folder / FILE, "pt") as file:
        modalities = tuple((file.metadata() or {}).get("modalities", "").split())
    means, stds = (tuple(tensors.pop(f"{part}.{stride}") for stride in STRIDES) for part in ("mean", "std"))
    fields = {name.removeprefix("familiarity."): tensor for name, tensor in tensors.items()}
    return TowerFeatures(MapScales(means, stds), Familiarity(**fields) if fields else None, modalities)


@torch.no_grad()
def fit_features(tower: MedGlipVisionModel, train: Iterable[Tensor], validation: Iterable[Tensor]) -> TowerFeatures:
    """The features of a trained tower by batches of pixels float[B, 3, S, S], as `MedGlipProcessor` gives them.

    Needs one training image at least.
    """

    def read(batches: Iterable[Tensor], described: list[Tensor]) -> Iterator[tuple[Tensor, ...]]:
        for pixels in batches:
            maps = tower(pixels.to(tower.device)).feature_maps or ()
            described.append(describe(maps).cpu())
            yield maps

    trained, validated = list[Tensor](), list[Tensor]()
    scales = fit_scales(read(train, trained))
    for _ in read(validation, validated):
        pass
    return TowerFeatures(scales, fit_familiarity(torch.cat(trained), torch.cat([trained[0][:0], *validated])))
