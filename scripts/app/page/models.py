"""The tab Models: who answers, what it learned; further ones by the folder of a run or an adapter, or by an address."""

from pathlib import Path
from typing import Any

import gradio as gr

from ....grounding.served.client import Endpoint
from ..desk import Desk
from .case import Case, telling


def build_models(desk: Desk, case: Case) -> None:
    """The tab."""
    headers = ["Model", "Loaded", "Base", "Core", "Forms of evidence"]
    table = gr.Dataframe(lambda: rows(desk), headers=headers, interactive=False, wrap=True, label="Models")
    with gr.Row():
        place = gr.Textbox(
            label="Folder of a run or an adapter, or an endpoint",
            info="On the machine that serves this page; or the address of a served model, http://localhost:8000/v1",
            scale=2,
        )
        called = gr.Textbox(label="Name of the served model", info="As its server calls it; a folder needs none")
        add = gr.Button("Add")
        refresh = gr.Button("Load and show the chosen model")

    @telling(desk)
    def add_it(words: str, model: str) -> tuple[Any, list[list[str]]]:
        with desk.at_work():
            if "://" in words:
                name = desk.add_endpoint(Endpoint(url=words.strip(), model=model.strip()))
            else:
                name = desk.add_checked(Path(words.strip()).expanduser())
        return gr.Dropdown(choices=desk.names, value=name), rows(desk)

    @telling(desk)
    def load_it(name: str) -> list[list[str]]:
        with desk.at_work():
            desk.system(name)
        return rows(desk)

    add.click(add_it, [place, called], [case.model, table], api_visibility="private", concurrency_id="models")
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
