"""The tools as named endpoints of gradio: what `gradio_client` calls. The page shows none of their fields."""

import inspect
from collections.abc import Callable
from typing import Any

import gradio as gr

from ..call import arguments_of, call, pictures_of, summary_of
from ..desk import Desk
from ..tools import TOOLS
from .case import faults_told
from .incoming import picture_field


def build_endpoints(desk: Desk) -> None:
    """`/ground`, `/ask`, ...: an input for each argument, the result as JSON."""
    with gr.Row(visible=False):
        for name in TOOLS:
            fields = arguments_of(name).model_fields
            inputs = [_field(name, key, field) for key, field in fields.items()]
            gr.Button().click(
                _caller(desk, name), inputs, gr.JSON(), api_name=name, api_description=summary_of(name),
                concurrency_limit=64,
            )  # fmt: skip


def _field(name: str, key: str, field: Any) -> Any:
    words: dict[str, Any] = {"label": field.description or key}
    if key in pictures_of(name):
        return picture_field(**words)
    if field.annotation is bool:
        return gr.Checkbox(value=field.default, **words)
    if field.annotation in (int, float):
        return gr.Number(value=field.default, precision=0 if field.annotation is int else None, **words)
    return gr.Textbox(value="" if field.is_required() else field.default, **words)


def _caller(desk: Desk, name: str) -> Callable[..., Any]:
    """A function of the tool's own arguments, by which gradio names those of the endpoint."""

    def run(*values: Any) -> Any:
        given = dict(zip(arguments_of(name).model_fields, values, strict=False))
        with faults_told():
            return call(desk, name, {key: value for key, value in given.items() if value is not None})

    own = inspect.signature(TOOLS[name])
    run.__signature__ = own.replace(parameters=[given for key, given in own.parameters.items() if key != "desk"])  # pyright: ignore[reportFunctionMemberAccess]
    run.__doc__, run.__name__ = summary_of(name), name
    return run
