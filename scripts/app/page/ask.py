"""The tab Ask: one question, answered side by side with different evidence."""

from collections.abc import Iterator
from html import escape
from typing import Any

import gradio as gr

from ....grounding.bad_input import BadInput
from ....grounding.evidence.names import FORMS
from ....grounding.imaging.read import read_image
from ...inference.ask import Asked
from ..desk import Desk, only_forms
from ..switch import SWITCHES, ask_switched, prompt_of
from .case import Case, Given, faults_told, stopping
from .figure import figure


def build_ask(desk: Desk, case: Case, boxes: gr.Textbox) -> None:
    """The tab. `boxes`: the field of the user's own."""
    with gr.Row():
        question = gr.Textbox(label="Question", placeholder="Is there an effusion?", scale=3)
        ask = gr.Button("Ask", variant="primary")
        stop = gr.Button("Stop")
    with gr.Row():
        switches = gr.CheckboxGroup(
            [name for name in SWITCHES if name != "withheld"],
            value=["none", "predicted", "shuffled"],
            label="Evidence",
            info="own: the boxes of the tab Look; shuffled: another image's regions, which are not true here",
        )
        forms = gr.CheckboxGroup(list(FORMS), label="Forms of evidence", info="Nothing chosen: all that it learned")
    shown = gr.HTML(elem_id="mg-answers", label="Answers")

    def answer(
        request: gr.Request, words: str, chosen: list[str], shapes: list[str], drawn: str, *values: Any
    ) -> Iterator[str]:
        given, cards = Given(*values), list[str]()
        with faults_told():
            if not words.strip():
                raise BadInput("there is no question.", fix="write one")
            if not chosen:
                raise BadInput("no evidence is chosen.", fix="choose at least one, such as predicted")
            for name in chosen:
                yield _cards([*cards, _waiting(name)])
                with desk.stoppable(str(request.session_hash)), desk.at_work():
                    system, images = desk.system(given.model), given.images(desk)
                    with only_forms(system, "+".join(shapes)):
                        asked = ask_switched(desk, system, images, words.strip(), name, drawn)
                        cards.append(card(name, asked, prompt_of(system, asked)))
            yield _cards(cards)

    inputs = [question, switches, forms, boxes, *case.fields]
    events = [ask.click, question.submit]
    running = gr.on(events, answer, inputs, shown, api_visibility="private", concurrency_id="models")
    stopping(desk, stop, [running])


def card(name: str, asked: Asked, prompt: str) -> str:
    """One answer: its text, how sure it is, what was looked for and shown, the prompt behind a click."""
    image, regions = asked.images[0], asked.answered.evidence.first.regions if asked.has_evidence else ()
    held = f"<p>Held back: “{escape(asked.said)}”, for {escape(asked.held)}.</p>" if asked.held else ""
    looked = ", ".join(asked.query.first.phrases) if name == "predicted" else ""
    picture = figure(read_image(image.image_path), regions, name=image.image_path.name, notes=asked.notes)
    return (
        f'<section class="mg-card" aria-label="Evidence {name}"><h3>{name}</h3><p>{escape(SWITCHES[name][1])}</p>'  # pyright: ignore[reportArgumentType]
        f'<p class="mg-answer">{escape(asked.text)}</p><p>{_how_sure(asked)}</p>{held}'
        f"{f'<p>Looked for: {escape(looked)}.</p>' if looked else ''}{picture}"
        f"<details><summary>The prompt</summary><pre>{escape(prompt or 'No model was asked.')}</pre></details>"
        f"<p>{escape(asked.notice)}</p></section>"
    )


def _how_sure(asked: Asked) -> str:
    if asked.by_rules:
        return f"By the regions alone: {escape(asked.by_rules)}"
    if asked.answered.probability is None:
        return "No probability: the regions alone answered."
    yes = "" if asked.answered.yes is None else f"; of yes: {asked.answered.yes:.2f}"
    return f"Probability: {asked.answered.probability:.2f}{yes}"


def _waiting(name: str) -> str:
    return f'<section class="mg-card" aria-busy="true"><h3>{name}</h3><p>is being asked …</p></section>'


def _cards(cards: list[str]) -> str:
    return f'<div class="mg-cards" aria-live="polite">{"".join(cards)}</div>'
