"""The tab Look: regions of phrases on the picture, a threshold, boxes of one's own."""

from typing import Any

import gradio as gr

from ....grounding.imaging.read import read_image
from ....grounding.types import MIN_SCORE
from ..desk import Desk
from ..regions import every_phrase, find, notes_of, split_phrases
from .case import Case, Given, telling
from .figure import SCRIPT, figure

LOWEST = 0.05
"""Score from which on regions are kept, so that the slider needs no new search."""
MEANING = "Of regions with 0.70 about seven of ten are right, where the core is calibrated."


def build_look(desk: Desk, case: Case) -> gr.Textbox:
    """The tab; returns the field of the user's boxes."""
    with gr.Row():
        phrases = gr.Textbox(label="Phrases", placeholder="left lung; effusion", info="Empty: what is usual", scale=2)
        known = gr.Dropdown([], label="Phrases that the core knows", multiselect=True, scale=2)
        look = gr.Button("Look", variant="primary")
    with gr.Row():
        threshold = gr.Slider(0, 1, MIN_SCORE, step=0.01, label="Threshold", info=MEANING)
        level = gr.Slider(0.2, 3, 1, step=0.05, label="Brightness (level)")
        window = gr.Slider(0.2, 3, 1, step=0.05, label="Contrast (window)")
        zoom = gr.Slider(1, 6, 1, step=0.25, label="Zoom")
    shown = gr.HTML(elem_id="mg-look", js_on_load=SCRIPT, label="Picture")
    boxes = gr.Textbox(
        label="My boxes",
        info="Drag on the picture, or write x0,y0,x1,y1 and a phrase; several with ; between",
        elem_id="mg-boxes",
    )
    found = gr.State(None)

    @telling
    def search(words: str, chosen: list[str] | None, least: float, *values: Any) -> tuple[str, Any]:
        given = Given(*values)
        with desk.at_work():
            image, system = given.images(desk)[0], desk.system(given.model)
            regions, asked = find(system, image, "; ".join([words, *(chosen or ())]), LOWEST)
            wanted = split_phrases("; ".join([words, *(chosen or ())]))
            notes = notes_of(system, image, wanted, [one for one in regions if one.score >= MIN_SCORE])
        kept = (image.image_path, regions, [*notes, f"looked for: {', '.join(asked)}"])
        return draw(kept, least), kept

    @telling
    def draw(kept: Any, least: float) -> str:
        if kept is None:
            return ""
        path, regions, notes = kept
        return figure(read_image(path), [one for one in regions if one.score >= least], name=path.name, notes=notes)

    @telling
    def list_phrases(*values: Any) -> Any:
        given = Given(*values)
        with desk.at_work():
            return gr.Dropdown(choices=every_phrase(desk.system(given.model), given.stated))

    inputs = [phrases, known, threshold, *case.fields]
    gr.on(
        [look.click, phrases.submit], search, inputs, [shown, found], api_visibility="private", concurrency_id="models"
    )
    threshold.release(draw, [found, threshold], shown, api_visibility="private", show_progress="hidden")
    known.focus(list_phrases, case.fields, known, api_visibility="private", show_progress="hidden")
    for slider, name in ((level, "--level"), (window, "--window"), (zoom, "--zoom")):
        script = f"(value) => {{ document.querySelector('#mg-look').style.setProperty('{name}', value); }}"
        slider.change(None, slider, None, js=script, api_visibility="private")
    return boxes
