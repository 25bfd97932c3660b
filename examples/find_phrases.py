"""Find phrases in an image, in Python: boxes, masks and scores, and a picture of them."""

from pathlib import Path

from medglip.grounding import load_grounder, open_image, read_image
from medglip.grounding.imaging.drawing import draw_regions, tell_apart

IMAGE = "examples/data/images/xray-1.png"
OUT = Path("runs/examples/find_phrases.png")

grounder = load_grounder("small")  # the core that comes along; or the folder of one that you trained
image = open_image(IMAGE, modality="xray")
phrases = ["left lung", "right lung", "heart", "nodule", "opacity"]
found = [region for region in grounder.ground([image], [phrases])[0] if region.score >= grounder.threshold]
for region in found:
    x0, y0, x1, y1 = (round(float(value)) for value in region.box_xyxy_px)  # pixels of the image, half open
    pixels = "no mask" if region.mask is None else f"{region.mask.sum()} pixels"
    print(f"{region.phrase}: score {region.score:.2f}, box {x0} {y0} {x1} {y1}, {pixels}")

colours, names = tell_apart(found)
labels = [f"{name} {region.score:.2f}" for name, region in zip(names, found, strict=True)]
picture = draw_regions(read_image(Path(IMAGE)), found, colours, labels, min_side=640)
OUT.parent.mkdir(parents=True, exist_ok=True)
picture.save(OUT)
print(f"Research use, not for diagnosis.\npicture: {OUT}")
