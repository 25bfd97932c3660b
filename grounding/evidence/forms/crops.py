"""The best regions cut out, with a margin, as further images."""

from PIL import Image

from ...types import Region
from ..evidence import Evidence, EvidenceSettings
from . import EvidenceForm, Images


class CropsForm(EvidenceForm):
    """At most `max_crops`, of the best regions of all images, in the order of their numbers."""

    def make_images(self, images: Images, evidence: Evidence, settings: EvidenceSettings) -> list[Image.Image]:
        """Each cut out of its own image."""
        pairs = zip(images, evidence.best(settings.max_crops).images, strict=False)
        return [crop(image, region, settings.crop_margin) for image, part in pairs for region in part.regions]


def crop(image: Image.Image, region: Region, margin: float) -> Image.Image:
    """The region's box, wider by this fraction of its size on each side, cut at the image's edge."""
    x0, y0, x1, y1 = (float(value) for value in region.box_xyxy_px)
    dx, dy = margin * (x1 - x0), margin * (y1 - y0)
    left, top = max(0, int(x0 - dx)), max(0, int(y0 - dy))
    return image.crop((left, top, min(image.width, int(x1 + dx) + 1), min(image.height, int(y1 + dy) + 1)))


FORM = CropsForm()
