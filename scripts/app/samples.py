"""The samples of the page, which are those of `examples/`: phantoms, so that no patient is shown."""

from collections.abc import Iterable
from pathlib import Path

from ...grounding.datasets.phantoms import dataset as phantom
from ...grounding.datasets.schema import images
from ...grounding.datasets.settings import PhantomSettings
from ...grounding.imaging.open import open_image
from ...grounding.imaging.read import read_image
from ...grounding.types import AnnotatedImage

LICENCE = "Drawn by medglip, no patient: CC0 1.0, public domain."
NAMES = tuple(
    f"{modality}-{number}.png"
    for number in (1, 2)
    for modality in ("xray", "ct", "mr", "ultrasound", "endoscopy", "dermoscopy", "fundus")
)
SETTINGS = PhantomSettings(num_train=14, num_val=0, num_test=0, size_px=192, seed=22)


def named(drawn: Iterable[AnnotatedImage]) -> dict[str, AnnotatedImage]:
    """Name -> image, in the order in which they are drawn: `xray-1.png`."""
    samples: dict[str, AnnotatedImage] = {}
    for image in drawn:
        number = 1 + sum(name.startswith(f"{image.modality}-") for name in samples)
        samples[f"{image.modality}-{number}.png"] = image
    return samples


def draw_samples(folder: Path) -> dict[str, AnnotatedImage]:
    """Name -> image without its true regions, two of each modality; the files lie in the folder."""
    phantom.write(folder / "drawn", SETTINGS)
    samples = named(images(phantom.read(folder / "drawn")))
    for name, image in samples.items():
        read_image(image.image_path).save(folder / name)  # without the truth that phantoms carry
    return {name: open_image(folder / name, image.modality) for name, image in samples.items()}
