"""The tab Report: our report view, what to check, and the files to take along."""

from html import escape
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import gradio as gr

from ....grounding.bad_input import BadInput
from ..desk import Desk
from ..written import FORMS, Wanted, write_files
from .case import Case, Given, noting, stopping, telling


def build_report(desk: Desk, case: Case, boxes: gr.Textbox) -> None:
    """The tab. `boxes`: the field of the user's own, of which the last is described."""
    with gr.Row():
        indication = gr.Textbox(label="Indication", placeholder="Cough for a week.", lines=2)
        prior = gr.File(label="Pictures of the earlier study", file_count="multiple", height=140)
        prior_text = gr.Textbox(label="Report of the earlier study", lines=2)
    with gr.Row():
        forms = gr.CheckboxGroup([form for form in FORMS if form != "html"], label="Also as", info="PDF needs Chromium")
        write = gr.Button("Write the report", variant="primary")
        describe = gr.Button("Describe my last box")
        stop = gr.Button("Stop")
    checks = gr.Markdown(label="To check")
    view = gr.HTML(elem_id="mg-report", label="Report")
    files = gr.File(label="Downloads", file_count="multiple", interactive=False, elem_id="mg-downloads")
    noting(desk, prior, files)

    def work(
        box: str, why: str, old: Any, old_text: str, shapes: list[str], *values: Any
    ) -> tuple[str, str, list[str]]:
        given = Given(*values)
        with desk.at_work():
            images = tuple(given.paths(desk))
            out = Path(mkdtemp(dir=images[0].parent))  # what is made of uploads goes with them
            wanted = Wanted(
                images=images,
                modality=given.stated,
                indication=why,
                prior=tuple(Path(file) for file in old or ()),
                prior_report=old_text,
                forms=shapes,
                box=box,
            )
            told, written = write_files(desk.system(given.model, "report"), wanted, out)
        listed = "\n".join(f"- {_plain(check)}" for check in told["to_check"]) or "- nothing was noticed"
        pages = [file.read_text(encoding="utf-8") for file in written if file.suffix == ".html"]
        frames = (
            f'<iframe class="mg-report" title="Report" sandbox="allow-scripts" srcdoc="{escape(page)}"></iframe>'
            for page in pages
        )
        return f"**To check**\n\n{listed}", "".join(frames), [str(file) for file in written]

    @telling(desk)
    def write_it(_: str, *values: Any) -> tuple[str, str, list[str]]:
        return work("", *values)

    @telling(desk)
    def describe_it(drawn: str, *values: Any) -> tuple[str, str, list[str]]:
        last = [part for part in drawn.replace("\n", ";").split(";") if part.strip()][-1:]
        if not last:
            raise BadInput("no box is drawn.", fix="drag one on the picture of the tab Look")
        return work(" ".join(last[0].split()[:1]), *values)

    inputs = [boxes, indication, prior, prior_text, forms, *case.fields]
    shared: dict[str, Any] = {"api_visibility": "private", "concurrency_id": "models"}
    running: list[Any] = [
        button.click(function, inputs, [checks, view, files], **shared)
        for button, function in ((write, write_it), (describe, describe_it))
    ]
    stopping(desk, stop, running)


def _plain(text: str) -> str:
    """Text of a model as Markdown shows it letter by letter."""
    return "".join(f"\\{letter}" if letter in "\\`*_{}[]<>()#+-.!|" else letter for letter in text)
