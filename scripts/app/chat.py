"""`/v1/chat/completions`: the grounded models as clients of OpenAI's API and lmms-eval ask them; `/v1/models`.

A model's name may say what it is shown: `small`, `small@none`, `small@shuffled`; so may a field `evidence`. All
pictures of the messages are asked about together, by the text of the last message of the user.
"""

import json
import time
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from ...grounding.bad_input import BadInput
from ..inference.user_image import user_image
from .bring import error_line, from_address
from .desk import Desk
from .http import LOG, limiter_of
from .switch import ask_switched

MOST_IMAGES = 16


def chat_routes(desk: Desk) -> list[Route]:
    """The two paths."""

    async def complete(request: Request) -> Response:
        try:
            body = json.loads(await request.body())
            if not isinstance(body, dict):
                raise ValueError
        except (ValueError, RecursionError):
            return _error(BadInput("the body is no JSON object.", fix="send model and messages"), 400)
        try:
            told = await anyio.to_thread.run_sync(lambda: completion(desk, body), limiter=limiter_of(desk))
        except (BadInput, OSError, MemoryError) as error:
            return _error(error, 404 if "unknown model" in str(error) else 400)
        except Exception as error:
            LOG.exception("a chat completion failed")
            return _error(RuntimeError(f"this failed here ({type(error).__name__}); the log says why"), 500)
        if body.get("stream"):
            return StreamingResponse(_events(told), media_type="text/event-stream")
        return JSONResponse(told)

    async def models(_: Request) -> Response:
        rows = [{"id": name, "object": "model", "created": 0, "owned_by": "medglip"} for name in desk.names]
        return JSONResponse({"object": "list", "data": rows})

    return [
        Route("/v1/chat/completions", complete, methods=["POST"]),
        Route("/v1/models", models, methods=["GET"]),
    ]


def completion(desk: Desk, body: Mapping[str, Any]) -> dict[str, Any]:
    """The answer to the messages of a request. Raises `BadInput` for an unknown model, and for messages without a
    picture or a question.
    """
    name, _, switch = str(body.get("model") or desk.names[0]).partition("@")
    switch = switch or str(body.get("evidence") or "predicted")
    addresses, question = read_messages(body.get("messages"))
    if name not in desk.names:
        raise BadInput(f"unknown model {name[:80]!r}.", fix=f"models are {', '.join(desk.names)}")
    with desk.scratch() as folder:
        files = [from_address(address, folder) for address in addresses]
        with desk.at_work():
            images = [user_image(file, str(body.get("modality") or "")) for file in files]
            asked = ask_switched(desk, desk.system(name), images, question, switch, str(body.get("boxes") or ""))
    message = {"role": "assistant", "content": asked.text, "refusal": None}
    choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
    about = {"id": f"chatcmpl-{uuid.uuid4().hex}", "object": "chat.completion", "created": int(time.time())}
    grounded = {
        "evidence": switch,
        "probability": asked.answered.probability,
        "regions": [
            {"phrase": region.phrase, "box_xyxy_px": region.box_xyxy_px.tolist(), "score": region.score, "image": image}
            for image, region in asked.answered.evidence.numbered
        ],
        "notice": asked.notice,
    }
    usage = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}  # clients want the key; nobody is billed
    return about | {"model": name, "choices": [choice], "usage": usage, "medglip": grounded}


def read_messages(messages: Any) -> tuple[list[str], str]:
    """The `data:` addresses of all messages, in order, and the text of the last message of the user.

    Raises `BadInput` for what are no messages, for no picture or more than `MOST_IMAGES`, and for no question.
    """
    if not isinstance(messages, list) or not all(isinstance(message, dict) for message in messages):
        raise BadInput("there are no messages.", fix='"messages": [{"role": "user", "content": [...]}]')
    addresses, question = list[str](), ""
    for message in messages:
        content = message.get("content")
        parts = content if isinstance(content, list) else [{"type": "text", "text": content}]
        parts = [part for part in parts if isinstance(part, dict)]
        for part in parts:
            if part.get("type") == "image_url":
                address = part.get("image_url")
                addresses.append(str(address.get("url", "") if isinstance(address, dict) else address))
        words = " ".join(str(part.get("text") or "") for part in parts if part.get("type") == "text").strip()
        if message.get("role") == "user" and words:
            question = words
    if not 0 < len(addresses) <= MOST_IMAGES:
        raise BadInput(
            f"the messages hold {len(addresses)} pictures.", fix=f"send 1 to {MOST_IMAGES} as data: addresses"
        )
    if not question:
        raise BadInput("the messages of the user hold no text.", fix="ask something about the picture")
    return addresses, question[:8000]


def _events(told: dict[str, Any]) -> Iterator[str]:
    """The answer as a stream of one piece."""
    choice = told["choices"][0]
    shared = {key: told[key] for key in ("id", "created", "model")} | {"object": "chat.completion.chunk"}
    for delta, reason in (({"role": "assistant", "content": choice["message"]["content"]}, None), ({}, "stop")):
        piece = shared | {"choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}
        yield f"data: {json.dumps(piece, ensure_ascii=False)}\n\n"
    yield "data: [DONE]\n\n"


def _error(error: Exception, status: int) -> JSONResponse:
    kind = "server_error" if status == 500 else "invalid_request_error"
    return JSONResponse({"error": {"message": error_line(error), "type": kind, "param": None, "code": None}}, status)
