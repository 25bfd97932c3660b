"""`/v1/chat/completions`: the grounded models as clients of OpenAI's API and lmms-eval ask them; `/v1/models`.

A model's name may say what it is shown: `small`, `small@none`, `small@shuffled`; so may a field `evidence`. All
pictures of the messages are asked about together, by the text of the last message of the user. Answers are the most
likely ones and short: of `max_tokens`, `temperature` and the like only the types are checked.
"""

import json
import math
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
from .bring import FAULTS, error_line, from_address
from .desk import Desk
from .http import LOG, limiter_of
from .switch import ask_switched

MOST_IMAGES = 16
WHOLE = ("n", "max_tokens", "max_completion_tokens")
RANGES = {"n": (1, 16), "max_tokens": (1, 10**6), "max_completion_tokens": (1, 10**6)} | {
    "temperature": (0, 2),
    "top_p": (0, 1),
}
"""What a number of a request may be."""


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
        except FAULTS as error:
            return _error(error, 404 if "unknown model" in str(error) else 400)
        except Exception as error:
            LOG.exception("a chat completion failed")
            return _error(RuntimeError(f"this failed here ({type(error).__name__}); the log says why"), 500)
        if body.get("stream"):
            options = body.get("stream_options")
            with_usage = bool(isinstance(options, dict) and options.get("include_usage"))
            return StreamingResponse(_events(told, with_usage=with_usage), media_type="text/event-stream")
        return JSONResponse(told)

    async def models(_: Request) -> Response:
        return JSONResponse({"object": "list", "data": [_as_model(name) for name in desk.names]})

    async def model(request: Request) -> Response:
        try:
            return JSONResponse(_as_model(_known(desk, request.path_params["name"])))
        except BadInput as error:
            return _error(error, 404)

    return [
        Route("/v1/chat/completions", complete, methods=["POST"]),
        Route("/v1/models", models, methods=["GET"]),
        Route("/v1/models/{name:path}", model, methods=["GET"]),
    ]


def completion(desk: Desk, body: Mapping[str, Any]) -> dict[str, Any]:
    """The answer to the messages of a request. Raises `BadInput` for an unknown model, and for messages without a
    picture or a question.
    """
    name, _, switch = str(body.get("model") or desk.names[0]).partition("@")
    switch = switch or str(body.get("evidence") or "predicted")
    choices = read_numbers(body)
    addresses, question = read_messages(body.get("messages"))
    _known(desk, name)
    with desk.scratch() as folder:
        files = [from_address(address, folder) for address in addresses]
        with desk.at_work():
            images = [user_image(file, str(body.get("modality") or "")) for file in files]
            asked = ask_switched(desk, desk.system(name), images, question, switch, str(body.get("boxes") or ""))
    message = {"role": "assistant", "content": asked.text, "refusal": None}
    sure = asked.answered.probability if body.get("logprobs") else None
    likely = None if not sure else {"content": [_log_probability(asked.text, sure)], "refusal": None}
    choice = {"message": message, "finish_reason": "stop", "logprobs": likely}
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
    told = [{"index": index} | choice for index in range(choices)]
    return about | {"model": name, "choices": told, "usage": usage, "medglip": grounded}


def read_numbers(body: Mapping[str, Any]) -> int:
    """How many choices are wanted. Raises `BadInput` for a number of the request that is none, or out of its range."""
    for key, (low, high) in RANGES.items():
        value = body.get(key)
        if value is None:
            continue
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not (is_number and low <= value <= high and (key not in WHOLE or value == int(value))):
            raise BadInput(f"{key!r} is no number in its range.", fix=f"{low} to {high}")
    return int(body.get("n") or 1)


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


def _known(desk: Desk, name: str) -> str:
    if name not in desk.names:
        raise BadInput(f"unknown model {name[:80]!r}.", fix=f"models are {', '.join(desk.names)}")
    return name


def _as_model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "medglip"}


def _log_probability(text: str, probability: float) -> dict[str, Any]:
    """The answer as if it were one token, since its probability is known as a whole."""
    return {"token": text, "logprob": math.log(probability), "bytes": list(text.encode()), "top_logprobs": []}


def _events(told: dict[str, Any], *, with_usage: bool) -> Iterator[str]:
    """Each choice as a stream of one piece."""
    shared = {key: told[key] for key in ("id", "created", "model")} | {"object": "chat.completion.chunk"}
    for choice in told["choices"]:
        said = {"role": "assistant", "content": choice["message"]["content"]}
        for delta, reason, likely in ((said, None, choice["logprobs"]), ({}, "stop", None)):
            piece = {"index": choice["index"], "delta": delta, "finish_reason": reason, "logprobs": likely}
            yield f"data: {json.dumps(shared | {'choices': [piece]}, ensure_ascii=False)}\n\n"
    if with_usage:
        yield f"data: {json.dumps(shared | {'choices': [], 'usage': told['usage']})}\n\n"
    yield "data: [DONE]\n\n"


def _error(error: Exception, status: int) -> JSONResponse:
    kind = "server_error" if status == 500 else "invalid_request_error"
    code = "model_not_found" if status == 404 else None
    return JSONResponse({"error": {"message": error_line(error), "type": kind, "param": None, "code": code}}, status)
