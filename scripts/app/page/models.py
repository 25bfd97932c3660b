"""The tab Models: who answers, what it learned, and a further run or adapter by its folder."""

from pathlib import Path
from typing import Any

import gradio as gr

from ..desk import Desk
from .case import Case, telling


def build_models(desk: Desk, case: Case) -> None:
    """The tab."""
    table = gr.Dataframe(headers=["Model", "Loaded", "Base", "Core", "Forms of evidence"], interactive=False, wrap=True)
    with gr.Row():
        folder = gr.Textbox(label="Folder of a run or an adapter", info="On the machine that serves this page")
        add = gr.Button("Add")
        refresh = gr.Button("Load and show the chosen model")

    @telling(desk)
    def add_it(words: str) -> tuple[Any, list[list[str]]]:
        place = Path(words.strip())
        with desk.at_work():
            name = desk.add_checked(place)
        return gr.Dropdown(choices=desk.names, value=name), rows(desk)

    @telling(desk)
    def load_it(name: str) -> list[list[str]]:
        with desk.at_work():
            desk.system(name)
        return rows(desk)

    add.click(add_it, folder, [case.model, table], api_visibility="private", concurrency_id="models")
    refresh.click(load_it, case.model, table, api_visibility="private", concurrency_id="models")


def rows(desk: Desk) -> list[list[str]]:
    """A row for each model; of one that was not loaded its name alone."""
    listed: list[list[str]] = []
    for name in desk.names:
        if name not in desk.loaded:
            listed.append([name, "no", "", "", ""])
            continue
        system = desk.system(name)
        listed.append([name, "yes", system.model_name, system.core_name, "+".join(system.learned_forms)])
    return listed
