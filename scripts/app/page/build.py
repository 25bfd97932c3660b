"""The page as a whole: the case at the top, its tabs below; nothing of it is loaded from outside."""

from typing import Any

import gradio as gr

from ....grounding.types import NOTICE
from ..bring import MAX_BYTES
from ..desk import Desk
from .ask import build_ask
from .case import build_case
from .compare import build_compare
from .endpoints import build_endpoints
from .figure import STYLE
from .incoming import Incoming, Page
from .look import build_look
from .models import build_models
from .report import build_report

FONTS = ["system-ui", "sans-serif"]
HOUR_S = 3600
CONTRAST: dict[str, Any] = {
    "body_text_color_subdued": "*neutral_600",
    "body_text_color_subdued_dark": "*neutral_300",
    "block_label_text_color": "*neutral_700",
    "block_title_text_color": "*neutral_700",
    "input_placeholder_color": "*neutral_600",
    "input_placeholder_color_dark": "*neutral_300",
    "color_accent": "*primary_600",
    "button_primary_background_fill": "*primary_600",
    "button_primary_background_fill_hover": "*primary_700",
    "link_text_color_visited": "*secondary_700",
}
"""Colours of gradio's theme that fall short of 4.5 : 1 (WCAG 2 AA), darker or, in the dark, lighter."""


def build_page(desk: Desk) -> gr.Blocks:
    """The page over a desk."""
    with Page(title="medglip", analytics_enabled=False, delete_cache=(HOUR_S, HOUR_S), fill_width=True) as page:
        gr.Markdown(f"# medglip\n\n{NOTICE}")
        case = build_case(desk)
        with gr.Tab("Look"):
            boxes = build_look(desk, case)
        with gr.Tab("Ask"):
            build_ask(desk, case, boxes)
        with gr.Tab("Report"):
            build_report(desk, case, boxes)
        with gr.Tab("Compare"):
            build_compare(desk)
        with gr.Tab("Models"):
            build_models(desk, case)
        build_endpoints(desk)

        def forget(request: gr.Request) -> None:
            desk.forget(str(request.session_hash))

        page.unload(forget)
    return page.queue(default_concurrency_limit=1, max_size=None)


def mount(app: Any, desk: Desk) -> Any:
    """The application with the page at `/`."""
    theme = gr.themes.Default(primary_hue="blue", font=FONTS, font_mono=["ui-monospace", "monospace"]).set(**CONTRAST)
    page = build_page(desk)
    page.has_launched = True  # gradio checks whose files it is sent only then
    mounted = gr.mount_gradio_app(
        app, page, path="/", theme=theme, css=STYLE, footer_links=[], ssr_mode=False, pwa=False,
        allowed_paths=[str(desk.folder)], max_file_size=MAX_BYTES, enable_monitoring=False, run_history=False,
    )  # fmt: skip
    return Incoming(mounted, desk.folder)
