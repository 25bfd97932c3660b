"""The best regions cut out, with a margin, as further images."""

from PIL import Image

from ...geometry import where
from ...types import Region
from ...vocabulary.box_notation import BoxText
from ..evidence import Evidence, EvidenceSettings
from ..names import FORMS
from . import EvidenceForm, Images


class CropsForm(EvidenceForm):
    """At most `max_crops`, of the best regions of all images, in the order of their numbers."""

    shows_regions_alone = True

    def make_images(self, images: Images, evidence: Evidence, settings: EvidenceSettings) -> list[Image.Image]:
        """Each cut out of its own image, in the pixels of its file."""
        return [crop(images[of - 1], region, settings.crop_margin)[1] for _, of, region in chosen(evidence, settings)]

    def caption_images(self, evidence: Evidence, settings: EvidenceSettings, box_text: BoxText) -> list[str]:
        """`a crop of region 1`, or, where regions have no numbers, `a crop of image 1, upper left, 12 20 31 44`."""
        has_numbers = any(FORMS[form].has_numbers for form in settings.forms)
        captions = []
        for number, of, region in chosen(evidence, settings):
            box, size_px = region.box_xyxy_px, evidence.images[of - 1].size_px
            place = ", ".join(filter(None, [f"image {of}", where(box, size_px), box_text(box, size_px)]))
            captions.append(f"a crop of {f'region {number}' if has_numbers else place}")
        return captions


def chosen(evidence: Evidence, settings: EvidenceSettings) -> list[tuple[int, int, Region]]:
    """(number of the region, number of its image, region) of each crop."""
    best = {id(region) for region in evidence.best(settings.max_crops).regions}
    rows = enumerate(evidence.numbered, 1)
    return [(number, of, region) for number, (of, region) in rows if id(region) in best]


def crop(image: Image.Image, region: Region, margin: float) -> tuple[tuple[int, int], Image.Image]:
    """The region's box, wider by this fraction of its size on each side, cut at the image's edge; first where its upper
    left corner lies.
    """
    x0, y0, x1, y1 = (float(value) for value in region.box_xyxy_px)
    dx, dy = margin * (x1 - x0), margin * (y1 - y0)
    left, top = max(0, int(x0 - dx)), max(0, int(y0 - dy))
    return (left, top), image.crop((left, top, min(image.width, int(x1 + dx) + 1), min(image.height, int(y1 + dy) + 1)))


FORM = CropsForm()
