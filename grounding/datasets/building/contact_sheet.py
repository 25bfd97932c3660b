"""The contact sheet of a dataset: one HTML file, light and dark, with a few images a set, their boxes and phrases."""

from collections import Counter
from html import escape

import numpy as np
from datasets import Dataset

from ...bad_input import BadInput
from ...imaging.drawing import colours_of, data_uri, fit_size, svg_box
from ...imaging.read import read_image
from ...types import NOTICE, AnnotatedImage
from ..schema import row_to_image

_SIDE_PX = 320
_MAX_BOXES = 60
_STYLE = """
:root { color-scheme: light dark; --ink: #1b2733; --soft: #5b6b7a; --paper: #fbfcfd; --card: #ffffff; --line: #d5dde4 }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e4ebf1; --soft: #9db0c0; --paper: #12171d; --card: #1a222b; --line: #33414e } }
body { margin: 2rem auto; max-width: 76rem; padding: 0 1rem; font: 15px/1.45 system-ui, sans-serif;
  color: var(--ink); background: var(--paper) }
h1 { font-size: 1.4rem } h2 { font-size: 1.05rem; margin: 2rem 0 .6rem } p, small { color: var(--soft) }
.row { display: grid; grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr)); gap: 1rem }
figure { margin: 0; padding: .6rem; background: var(--card); border: 1px solid var(--line); border-radius: 6px }
.picture { position: relative; display: flex; justify-content: center; background: #000; border-radius: 3px }
.picture div { position: relative; display: inline-block } img { display: block; max-width: 100%; height: auto }
svg { position: absolute; inset: 0; width: 100%; height: 100% }
rect { fill: none; stroke-width: 2; vector-effect: non-scaling-stroke }
figcaption { margin-top: .5rem; overflow-wrap: anywhere } i { display: inline-block; width: .75em; height: .75em;
  border-radius: 2px; margin-right: .35em } span { margin-right: .9em; white-space: nowrap }
"""


def contact_sheet(data: Dataset, samples: int, seed: int) -> str:
    """The page: of each set so many rows drawn with the seed, in order. One that cannot be read is named instead."""
    names = np.array(data["dataset"][:])
    sections: list[str] = []
    for name in dict.fromkeys(names.tolist()):
        rows = np.flatnonzero(names == name)
        chosen = np.sort(np.random.default_rng(seed).choice(rows, min(samples, len(rows)), replace=False))
        figures = "".join(_figure(row_to_image(data[int(k)])) for k in chosen)
        heading = f"<h2>{escape(name)} <small>{len(chosen)} of {len(rows)}</small></h2>"
        sections.append(f'{heading}<div class="row">{figures}</div>')
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>Contact sheet</title><style>{_STYLE}</style><body><h1>Contact sheet</h1>"
        f"<p>{len(names)} images. {NOTICE}</p>{''.join(sections)}</body></html>\n"
    )


def _figure(image: AnnotatedImage) -> str:
    counts = Counter(region.phrase for region in image.regions)
    phrases = dict.fromkeys([*counts, *image.phrases])
    colours = colours_of(phrases)
    try:
        # the thumbnail as JPEG in the page, under boxes in pixels of the original; of a crowd the first boxes
        pixels = read_image(image.image_path)
        (small_width, small_height), (width, height) = fit_size(pixels.size, _SIDE_PX), image.size_px
        boxes = [svg_box(region, f' stroke="{colours[region.phrase]}"') for region in image.regions[:_MAX_BOXES]]
        thumbnail = (
            f'<div class="picture"><div><img alt="" width="{small_width}" height="{small_height}" '
            f'src="{data_uri(pixels, _SIDE_PX)}">'
            f'<svg viewBox="0 0 {width} {height}" preserveAspectRatio="none">{"".join(boxes)}</svg></div></div>'
        )
    except BadInput as error:
        thumbnail = f"<p>{escape(error.problem)}</p>"
    legend = "".join(
        f'<span><i style="background:{colours[phrase]}"></i>{escape(phrase)} '
        f"{f'× {counts[phrase]}' if counts[phrase] else '(absent)'}</span> "
        for phrase in phrases
    )
    caption = escape(f"{image.image_id} · {image.modality} · {image.split}")
    return f"<figure>{thumbnail}<figcaption>{legend}<br><small>{caption}</small></figcaption></figure>"
