"""The tab Compare: a run's records to browse, or two side by side; right, wrong and changed; arrow keys turn pages."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from ....grounding.bad_input import BadInput
from ..desk import Desk
from .case import noting, telling
from .records import KINDS, Answers, case_html, cases_of, files_of, read_answers

ALONE = "nothing"
KEYS = """
const turn = (event) => {
  if (!element.isConnected) return removeEventListener("keydown", turn);
  const step = { ArrowLeft: "#mg-previous", ArrowRight: "#mg-next" }[event.key];
  if (!step || event.target.closest("input, textarea, select, [role=tab], .mg-frame") || !element.offsetParent) return;
  document.querySelector(step).click();
};
addEventListener("keydown", turn);
"""


def build_compare(desk: Desk) -> None:
    """The tab."""
    with gr.Row():
        places = gr.Textbox(
            label="Run folders or files of records",
            info="On the machine that serves this page; several with ; between",
            scale=2,
        )
        sent = gr.File(label="Or files of records", file_count="multiple", height=100)
        opened = gr.Button("Open")
    with gr.Row():
        first = gr.Dropdown([], label="Records")
        second = gr.Dropdown([ALONE], value=ALONE, label="Beside")
        kind = gr.Radio(KINDS, value="all", label="Cases", info="Right and wrong: by the first")
    with gr.Row():
        back = gr.Button("Previous", elem_id="mg-previous")
        forth = gr.Button("Next", elem_id="mg-next")
    shown = gr.HTML(elem_id="mg-compare", js_on_load=KEYS, label="Case")
    noting(desk, sent)
    known, both, at = gr.State(dict[str, tuple[Path, Path]]()), gr.State(list[Answers]()), gr.State(0)

    @telling(desk)
    def open_them(words: str, files: Sequence[str] | None) -> tuple[Any, ...]:
        named = [Path(part.strip()).expanduser() for part in words.replace("\n", ";").split(";") if part.strip()]
        found = files_of([*named, *map(Path, files or ())])
        if not found:
            raise BadInput("nothing to open.", fix="name a run's folder, or choose a file of records")
        names = list(found)
        return found, gr.Dropdown(names, value=names[0]), gr.Dropdown([ALONE, *names], value=ALONE)

    @telling(desk)
    def choose(found: dict[str, tuple[Path, Path]], one: str, other: str, which: str) -> tuple[Any, ...]:
        if one not in found:
            return [], 0, ""
        chosen = [one] if other in (ALONE, one) else [one, other]
        read = [read_answers(name, *found[name]) for name in chosen if name in found]
        return read, 0, show(read, which, 0)

    @telling(desk)
    def begin(read: list[Answers], which: str) -> tuple[int, str]:
        return 0, show(read, which, 0)

    def turn(by: int) -> Callable[..., Any]:
        return telling(desk)(lambda read, which, place: (place + by, show(read, which, place + by)))

    quiet: dict[str, Any] = {"api_visibility": "private"}
    opening = gr.on(
        [opened.click, places.submit, sent.upload], open_them, [places, sent], [known, first, second], **quiet
    )
    opening.then(choose, [known, first, second, kind], [both, at, shown], **quiet)
    gr.on([first.input, second.input], choose, [known, first, second, kind], [both, at, shown], **quiet)
    kind.change(begin, [both, kind], [at, shown], **quiet)
    for button, by in ((back, -1), (forth, 1)):
        button.click(turn(by), [both, kind, at], [at, shown], **quiet)


def show(both: list[Answers], kind: str, place: int) -> str:
    """The case at a place of those of a kind; behind the last one stands the first."""
    if not both:
        return ""
    ids = cases_of(both[0], both[1] if len(both) == 2 else None, kind)
    if not ids:
        return f"<p>No case is {kind}.</p>"
    index = place % len(ids)
    return case_html(both, ids[index], f"{index + 1} of {len(ids)} ({kind})")
