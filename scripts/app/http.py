"""The tools over HTTP: `POST /api/ground` with a file `image`, or JSON with a `data:` address; their OpenAPI schema."""

import asyncio
import json
import logging
import threading
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from typing import Any

import anyio.to_thread
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ...grounding.bad_input import BadInput
from ...grounding.parts.giving_up import may_give_up
from .bring import FAULTS, MAX_BYTES, error_line
from .call import call, pictures_of, schema_of, summary_of
from .desk import Desk
from .guard import Application, Message, Receive, Scope, Send
from .tools import TOOLS

LOG = logging.getLogger("medglip")
WAITING = 256
"""Calls that may wait for their turn at once; each holds a thread."""


def routes(desk: Desk) -> list[Route]:
    """`/api/NAME` of every tool, and `/api/openapi.json`, which is `/openapi.json`, too."""
    tools = [Route(f"/api/{name}", tool_route(desk, name), methods=["POST"], name=name) for name in TOOLS]
    schemas = [Route(path, _schema, methods=["GET"]) for path in ("/api/openapi.json", "/openapi.json")]
    return [*tools, *schemas]


def _schema(_: Request) -> Response:
    return JSONResponse(openapi())


def tool_route(desk: Desk, name: str) -> Callable[[Request], Awaitable[Response]]:
    """What answers the requests of one tool."""

    async def answer(request: Request) -> Response:
        return await answered(desk, name, lambda: read_arguments(request, name))

    return answer


async def answered(desk: Desk, name: str, read: Callable[[], Awaitable[dict[str, Any]]]) -> Response:
    """The result of a call as JSON; an error as `{"error": line}` with 422, 413 for what is too large, 500 for ours."""
    try:
        values = await read()
        return JSONResponse(await in_thread(desk, name, values))
    except Exception as error:
        return error_response(error)


def error_response(error: Exception) -> JSONResponse:
    """One line, and the status that fits."""
    if isinstance(error, FAULTS):
        return JSONResponse({"error": error_line(error)}, 413 if "too large" in str(error) else 422)
    LOG.exception("a call of a tool failed")
    return JSONResponse({"error": f"this failed here ({type(error).__name__}); the log says why"}, 500)


async def in_thread(desk: Desk, name: str, values: dict[str, Any]) -> dict[str, Any]:
    """A call in a thread of its own, which may wait there for its turn."""
    return await anyio.to_thread.run_sync(lambda: call(desk, name, values), limiter=limiter_of(desk))


def limiter_of(desk: Desk) -> anyio.CapacityLimiter:
    """Of the threads that wait for their turn, for all ways in together."""
    if desk.limiter is None:  # made inside the event loop that uses it
        desk.limiter = anyio.CapacityLimiter(WAITING)
    return desk.limiter


async def read_arguments(request: Request, name: str) -> dict[str, Any]:
    """The arguments of a form or of a JSON object. Raises `BadInput` for what is neither, and for a body too large."""
    if int(request.headers.get("content-length") or 0) > 2 * MAX_BYTES:
        raise BadInput("the request is too large.", fix=f"at most {MAX_BYTES >> 20} MiB a picture")
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json":
        try:
            values = json.loads(await request.body())
        except (ValueError, RecursionError) as error:
            raise BadInput("the body is no JSON.", fix="send an object of arguments") from error
        if not isinstance(values, dict):
            raise BadInput("the body is no JSON object.", fix="send an object of arguments")
        return values
    if kind not in ("multipart/form-data", "application/x-www-form-urlencoded"):
        raise BadInput("the body is neither a form nor JSON.", fix="curl -F image=@scan.png -F phrase=heart URL")
    return await _read_form(request, name)


async def _read_form(request: Request, name: str) -> dict[str, Any]:
    values: dict[str, Any] = {}
    try:
        form = await request.form(max_files=8, max_fields=64, max_part_size=MAX_BYTES * 2)
    except Exception as error:  # starlette's own, by class of its parser
        raise BadInput("the form is damaged.", fix="send it again") from error
    try:
        for key, value in form.multi_items():
            if key in values:
                raise BadInput(f"{key[:60]!r} stands twice.", fix="send it once")
            if isinstance(value, UploadFile):
                if key not in pictures_of(name):
                    raise BadInput(f"{key[:60]!r} is no picture.", fix=f"pictures are {', '.join(pictures_of(name))}")
                values[key] = (value.filename or "image", await value.read())
            else:
                values[key] = value
    finally:
        await form.close()
    return values


class WhileWanted:
    """Around what computes: when its client is gone, the computing ends, too."""

    def __init__(self, app: Application):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        flag, gone = threading.Event(), list[asyncio.Task[Message]]()

        async def wait_for_end() -> Message:
            while (message := await receive())["type"] != "http.disconnect":
                pass
            flag.set()
            return message

        async def received() -> Message:
            if gone:
                return await asyncio.shield(gone[0])
            message = await receive()
            if not message.get("more_body"):  # behind the body nothing comes but the end
                gone.append(asyncio.create_task(wait_for_end()))
            return message

        try:
            with may_give_up(flag):
                await self.app(scope, received, send)
        finally:
            for task in gone:
                task.cancel()


def openapi() -> dict[str, Any]:
    """OpenAPI 3.1 of the tools: arguments as a form with files and as JSON."""
    paths: dict[str, Any] = {}
    for name in TOOLS:
        as_json, as_form = schema_of(name), schema_of(name)
        for key in pictures_of(name):
            as_form["properties"][key] |= {"format": "binary"}
        parameters = {"multipart/form-data": {"schema": as_form}, "application/json": {"schema": as_json}}
        error = {"description": "One line: what is wrong, and how it is mended", "content": _json(_ERROR)}
        paths[f"/api/{name}"] = {
            "post": {
                "operationId": name,
                "summary": summary_of(name),
                "requestBody": {"required": True, "content": parameters},
                "responses": {
                    "200": {"description": "The result", "content": _json({"type": "object"})},
                    "422": error,
                    "401": {"description": "The token is missing or wrong"},
                },
            }
        }
    models = {
        "operationId": "models",
        "summary": "The models that answer",
        "responses": {"200": {"description": "A list"}},
    }
    paths |= {"/v1/chat/completions": {"post": _CHAT}, "/v1/models": {"get": models}}
    about = {"title": "medglip", "version": version("medglip"), "description": "Research use, not for diagnosis."}
    return {"openapi": "3.1.0", "info": about, "paths": paths}


_ERROR = {"type": "object", "properties": {"error": {"type": "string", "maxLength": 400}}, "required": ["error"]}

_CHAT = {
    "operationId": "chat_completions",
    "summary": "Answer a question about pictures, as clients of OpenAI's API ask it",
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "properties": {
                        "model": {
                            "type": "string",
                            "description": "A name of /v1/models; small@none, small@shuffled ... say what it is shown",
                        },
                        "messages": {
                            "type": "array",
                            "items": {"type": "object"},
                            "description": "The pictures are image_url parts with data: addresses; the text of the "
                            "last message of the user is the question",
                        },
                        "modality": {"type": "string", "description": "xray, ct, mr ...; left out: not told"},
                        "stream": {"type": "boolean", "description": "Answer as server-sent events"},
                        "stop": {"type": ["string", "array"], "description": "Up to four texts that end the answer"},
                        "max_tokens": {"type": "integer", "description": "At most so many words"},
                        "logprobs": {"type": "boolean", "description": "The answer as one token, how sure it is"},
                        "n": {"type": "integer", "description": "So many choices, all alike: answers are not sampled"},
                    },
                    "required": ["messages"],
                }
            }
        },
    },
    "responses": {
        "200": {"description": "A chat completion; its field medglip holds regions and the probability"},
        "400": {"description": "error.message says in one line what is wrong"},
        "401": {"description": "The token is missing or wrong"},
        "404": {"description": "There is no such model"},
    },
}


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}
