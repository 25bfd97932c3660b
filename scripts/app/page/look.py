"""The tab Look: regions of phrases on the picture, a threshold, boxes of one's own."""

from pathlib import Path
from typing import Any

import gradio as gr

from ....grounding.imaging.read import read_image
from ....grounding.types import MIN_SCORE, Region
from ..desk import Desk
from ..regions import every_phrase, find, notes_of, split_phrases
from .case import Case, Given, stopping, telling
from .figure import SCRIPT, figure

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
        level = gr.Slider(0.2, 3, 1, step=0.05, label="Brightness (level)")
        window = gr.Slider(0.2, 3, 1, step=0.05, label="Contrast (window)")
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
            for image in given.images(desk):
                regions, asked = find(system, image, wanted, LOWEST)
                sure = [one for one in regions if one.score >= MIN_SCORE]
                notes = notes_of(system, image, split_phrases(wanted), sure)
                kept.append((image.image_path, regions, [*notes, f"looked for: {', '.join(asked)}"]))
        seen = (kept, system.finder.is_presence_calibrated)
        return *draw(seen, least), seen

    @telling(desk)
    def draw(seen: Any, least: float) -> tuple[str, str]:
        kept, is_calibrated = seen or ([], None)
        figures = [
            figure(read_image(path), [one for one in regions if one.score >= least], name=path.name, notes=notes)
            for path, regions, notes in kept
        ]
        return "".join(figures), meaning(least, is_calibrated)

    @telling(desk)
    def list_phrases(*values: Any) -> Any:
        given = Given(*values)
        with desk.at_work():
            return gr.Dropdown(choices=every_phrase(desk.system(given.model), given.stated))

    inputs = [phrases, known, threshold, *case.fields]
    running = gr.on(
        [look.click, phrases.submit],
        search,
        inputs,
        [shown, told, found],
        show_progress_on=shown,  # neither progress nor an error lies on the line above it
        api_visibility="private",
        concurrency_id="models",
    )
    stopping(desk, stop, [running])
    threshold.change(
        draw,
        [found, threshold],
        [shown, told],
        api_visibility="private",
        show_progress="hidden",
        trigger_mode="always_last",
    )
    known.focus(list_phrases, case.fields, known, api_visibility="private", show_progress="hidden")
    for slider, name in ((level, "--level"), (window, "--window"), (zoom, "--zoom")):
        script = f"(value) => {{ document.querySelector('#mg-look').style.setProperty('{name}', value); }}"
        slider.change(None, slider, None, js=script, api_visibility="private")
    return boxes
