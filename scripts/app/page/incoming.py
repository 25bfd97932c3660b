"""What gradio's own API may be sent: files that were uploaded here, no path of this machine and no address to fetch."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.data_classes import FileData
from starlette.requests import Request
from starlette.responses import JSONResponse

from ..bring import MAX_BYTES
from ..guard import Application, Receive, Scope, Send
from ..tools import TOOLS

LOG = logging.getLogger("medglip")
FOREIGN = "the picture is no file that was uploaded here. Fix: send it to /gradio_api/upload first, or to /api/ground"
WRONG = "the inputs are not those of this endpoint. Fix: /gradio_api/info describes them"


class Incoming:
    """Around gradio: a call that names a file outside `folder`, or an unknown endpoint, gets one line and a 4xx.

    gradio fetches addresses, and checks paths only where it serves by itself, not where it is mounted as here.
    """

    def __init__(self, app: Application, folder: Path):
        self.app, self.folder = app, folder.resolve()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http" or scope["method"] != "POST" or "/gradio_api/" not in scope["path"]:
            await self.app(scope, receive, send)
            return
        request = Request(scope, receive)
        call = scope["path"].partition("/gradio_api/call/")[2].strip("/").removeprefix("v2/")
        if call and call not in TOOLS:
            await _refuse(404, f"there is no such endpoint. Fix: they are {', '.join(TOOLS)}", scope, receive, send)
        elif request.headers.get("content-type", "").startswith("multipart/"):
            await self.app(scope, receive, send)
        elif int(request.headers.get("content-length") or 0) > 2 * MAX_BYTES:
            await _refuse(413, "the request is too large. Fix: upload the file", scope, receive, send)
        else:
            body = await request.body()
            if all(self.is_ours(path) for path in _paths(body)):
                await self.app(scope, _again(body, receive), send)
            else:
                await _refuse(422, FOREIGN, scope, receive, send)

    def is_ours(self, path: str) -> bool:
        """Whether a path is that of a file in our temporary folder."""
        try:
            return (found := Path(path).resolve()).is_relative_to(self.folder) and found.is_file()
        except (OSError, ValueError):  # a NUL, a name too long
            return False


class Page(gr.Blocks):
    """The page; what it cannot read of a call becomes one line without the insides of gradio."""

    async def preprocess_data(self, *values: Any, **named: Any) -> Any:
        """The inputs of an event as its function takes them."""
        try:
            return await super().preprocess_data(*values, **named)
        except gr.Error:
            raise
        except Exception as error:
            LOG.debug("inputs of a call", exc_info=error)
            raise gr.Error(WRONG, duration=None, print_exception=False) from None


def picture_field(**words: Any) -> gr.File:
    """The picture of an endpoint: an uploaded file, or a `data:` address as text.

    No class of its own, since gradio writes a stub of each beside its source.
    """
    field = gr.File(**words)
    schema = field.api_info()
    vars(field).update(data_model=None, preprocess=_path_or_address, api_info=lambda: schema)
    return field


def _path_or_address(payload: Any) -> Path | str | None:
    if payload is None or isinstance(payload, str):
        return payload
    return Path(FileData.model_validate(payload, context={"validate_meta": True}).path)


def _paths(body: bytes) -> Iterator[str]:
    """Every path of a file in the JSON of a request, however deep."""
    try:
        todo = [json.loads(body)]
    except (ValueError, RecursionError):
        return
    while todo:
        if isinstance(value := todo.pop(), dict):
            if isinstance(path := value.get("path"), str):
                yield path
            todo += value.values()
        elif isinstance(value, list):
            todo += value


def _again(body: bytes, receive: Receive) -> Receive:
    """The body once more, then whatever the connection says."""
    messages = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def received() -> Any:
        return next(messages, None) or await receive()

    return received


async def _refuse(status: int, line: str, scope: Scope, receive: Receive, send: Send) -> None:
    await JSONResponse({"error": line, "detail": line}, status)(scope, receive, send)
