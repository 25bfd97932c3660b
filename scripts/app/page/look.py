"""The tab Look: regions of phrases on the picture, a threshold, boxes of one's own."""

from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from PIL import Image

from ....grounding.imaging.read import read_image
from ....grounding.imaging.window import GreyValues
from ....grounding.types import MIN_SCORE, Region
from ..desk import Desk
from ..regions import every_phrase, find, notes_of, split_phrases
from .case import Case, Given, stopping, telling
from .figure import SCRIPT, figure

OVER = "Of a grey first picture, over the values of its file: Hounsfield units of a CT"
LOWEST = 0.05
"""Score from which on regions are kept, so that the slider needs no new search."""
_COUNTS = ("none", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
Kept = list[tuple[Path, list[Region], list[str]]]
"""Of each picture of the case its file, what was found, and what is to be said."""


def meaning(score: float, is_calibrated: bool | None) -> str:
    """A threshold in words: the score of a calibrated core is the part of such regions that is right. None: it is not
    known yet which core finds them.
    """
    if is_calibrated is False:
        return f"{score:.2f}: what scores mean of this grounder nobody has measured (it is not calibrated)."
    where = "" if is_calibrated else ", where the core is calibrated"
    return f"{score:.2f}: of regions with this score about {_COUNTS[round(score * 10)]} of ten are right{where}."


def build_look(desk: Desk, case: Case) -> gr.Textbox:
    """The tab; returns the field of the user's boxes."""
    with gr.Row():
        phrases = gr.Textbox(label="Phrases", placeholder="left lung; effusion", info="Empty: what is usual", scale=2)
        known = gr.Dropdown([], label="Phrases that the core knows", multiselect=True, scale=2)
        look = gr.Button("Look", variant="primary")
        stop = gr.Button("Stop")
    with gr.Row():
        threshold = gr.Slider(0, 1, MIN_SCORE, step=0.01, label="Threshold", info="Regions below it are hidden")
        centre = gr.Slider(0, 255, 127.5, label="Window centre (level)", info=OVER, interactive=False)
        width = gr.Slider(0, 255, 255, label="Window width", info=OVER, interactive=False)
        zoom = gr.Slider(1, 6, 1, step=0.25, label="Zoom")
    told = gr.Markdown(meaning(MIN_SCORE, None), elem_id="mg-meaning")
    shown = gr.HTML(elem_id="mg-look", js_on_load=SCRIPT, label="Picture")
    boxes = gr.Textbox(
        label="My boxes",
        info="Drag on the picture, or write x0,y0,x1,y1 and a phrase; several with ; between",
        elem_id="mg-boxes",
    )
    found = gr.State(None)

    @telling(desk)
    def search(words: str, chosen: list[str] | None, least: float, *values: Any) -> tuple[Any, ...]:
        given, kept = Given(*values), Kept()
        wanted = "; ".join([words, *(chosen or ())])
        with desk.at_work():
            system = desk.system(given.model)
            grey = given.grey(desk)
            for image in given.images(desk):
                regions, asked = find(system, image, wanted, LOWEST)
                sure = [one for one in regions if one.score >= MIN_SCORE]
                notes = notes_of(system, image, split_phrases(wanted), sure)
                kept.append((image.image_path, regions, [*notes, f"looked for: {', '.join(asked)}"]))
        seen = (kept, system.finder.is_presence_calibrated, grey)
        window = (grey.centre, grey.width) if grey else (0, 0)
        return *_drawn(seen, least, *window), seen, *window_sliders(grey)

    @telling(desk)
    def draw(*values: Any) -> tuple[str, str]:
        return _drawn(*values)

    @telling(desk)
    def list_phrases(*values: Any) -> Any:
        given = Given(*values)
        with desk.at_work():
            return gr.Dropdown(choices=every_phrase(desk.system(given.model), given.stated))

    inputs = [phrases, known, threshold, *case.fields]
    drawing = [found, threshold, centre, width]
    running = gr.on(
        [look.click, phrases.submit],
        search,
        inputs,
        [shown, told, found, centre, width],
        show_progress_on=shown,  # neither progress nor an error lies on the line above it
        api_visibility="private",
        concurrency_id="models",
    )
    stopping(desk, stop, [running])
    gr.on(
        [threshold.change, centre.input, width.input],
        draw,
        drawing,
        [shown, told],
        api_visibility="private",
        show_progress="hidden",
        trigger_mode="always_last",
    )
    known.focus(list_phrases, case.fields, known, api_visibility="private", show_progress="hidden")
    script = "(value) => { document.querySelector('#mg-look').style.setProperty('--zoom', value); }"
    zoom.change(None, zoom, None, js=script, api_visibility="private")
    return boxes


def window_sliders(grey: GreyValues | None) -> tuple[gr.Slider, gr.Slider]:
    """Centre and width over all values of a picture, at the window of its file; fixed for one in colour."""
    if grey is None:
        return gr.Slider(interactive=False), gr.Slider(interactive=False)
    low, high = float(grey.values_HW.min()), float(grey.values_HW.max())
    low, high = min(low, grey.centre - grey.width / 2), max(high, grey.centre + grey.width / 2)
    step = 1 if high - low > 50 else (high - low) / 200 or 1
    centre = gr.Slider(low, high, grey.centre, step=step, interactive=True)
    return centre, gr.Slider(step, max(high - low, step), grey.width, step=step, interactive=True)


def _drawn(seen: Any, least: float, centre: float, width: float) -> tuple[str, str]:
    """The pictures with their regions of this score at least, the first in this window, and what the score means."""
    kept, is_calibrated, grey = seen or ([], None, None)
    figures: list[str] = []
    for path, regions, notes in kept:
        shown = read_image(path)
        size_px = shown.size
        if grey and not figures and not np.allclose([centre, width], [grey.centre, grey.width]):
            shown = Image.fromarray(grey.show(centre, width))
        sure = [one for one in regions if one.score >= least]
        figures.append(figure(shown, sure, name=path.name, notes=notes, size_px=size_px))
    return "".join(figures), meaning(least, is_calibrated)
