"""`/v1/chat/completions`: the grounded models as clients of OpenAI's API and lmms-eval ask them; `/v1/models`.

A model's name may say what it is shown: `small`, `small@none`, `small@shuffled`; so may a field `evidence`. All
pictures of the messages are asked about together, by the text of the last message of the user. Answers are the most
likely ones, so `temperature`, `seed` and the like change nothing; what cannot be done is refused (`Asking`).
"""

import json
import math
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

import anyio.to_thread
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from ...grounding.bad_input import BadInput
from ..inference.user_image import user_image
from .bring import FAULTS, error_line, from_address
from .call import checked
from .desk import Desk
from .http import LOG, limiter_of
from .switch import ask_switched

MOST_IMAGES = 16
Count = Annotated[int, Field(ge=1, le=10**6)]
Penalty = Annotated[float, Field(ge=-2, le=2)]


class Plain(BaseModel):
    """A form of the answer; there is one."""

    type: Literal["text"] = "text"


class Streamed(BaseModel):
    """What a stream tells besides."""

    model_config = ConfigDict(strict=True)
    include_usage: bool = False


class Asking(BaseModel):
    """A request. What OpenAI's API knows besides is left aside where it can change nothing; the last four are refused
    where they hold anything, since nobody would see that they were not done.
    """

    model_config = ConfigDict(extra="ignore", strict=True)
    model: str = ""
    messages: list[dict[str, Any]]
    modality: str = ""
    evidence: str = "predicted"
    boxes: str = ""
    stream: bool = False
    stream_options: Streamed | None = None
    n: Annotated[int, Field(ge=1, le=16)] = 1
    stop: str | Annotated[list[str], Field(max_length=4)] = ""
    max_tokens: Count | None = None
    max_completion_tokens: Count | None = None
    logprobs: bool = False
    top_logprobs: Annotated[int, Field(ge=0, le=20)] = 0
    seed: int = 0
    temperature: Annotated[float, Field(ge=0, le=2)] = 0
    top_p: Annotated[float, Field(ge=0, le=1)] = 1
    presence_penalty: Penalty = 0
    frequency_penalty: Penalty = 0
    response_format: Plain = Plain()
    modalities: list[Literal["text"]] = []
    tools: Annotated[list[Any], Field(max_length=0)] = []
    functions: Annotated[list[Any], Field(max_length=0)] = []
    logit_bias: Annotated[dict[str, Any], Field(max_length=0)] = {}


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
            asking = read_request(body)
            told = await anyio.to_thread.run_sync(lambda: completion(desk, asking), limiter=limiter_of(desk))
        except FAULTS as error:
            return _error(error, 404 if "unknown model" in str(error) else 400)
        except Exception as error:
            LOG.exception("a chat completion failed")
            return _error(RuntimeError(f"this failed here ({type(error).__name__}); the log says why"), 500)
        if asking.stream:
            with_usage = bool(asking.stream_options and asking.stream_options.include_usage)
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


def read_request(body: Mapping[str, Any]) -> Asking:
    """A request; what is null counts as left out. Raises `BadInput` for the first value that cannot be."""
    asking = Asking(**checked(Asking, {key: value for key, value in body.items() if value is not None}))
    if asking.stream_options and not asking.stream:
        raise BadInput("'stream_options' without a stream.", fix='"stream": true')
    if asking.top_logprobs and not asking.logprobs:
        raise BadInput("'top_logprobs' without 'logprobs'.", fix='"logprobs": true')
    return asking


def completion(desk: Desk, asking: Asking) -> dict[str, Any]:
    """The answer to the messages of a request. Raises `BadInput` for an unknown model, and for messages without a
    picture or a question.
    """
    name, _, switch = (asking.model or desk.names[0]).partition("@")
    switch = switch or asking.evidence
    addresses, question = read_messages(asking.messages)
    _known(desk, name)
    with desk.scratch() as folder:
        files = [from_address(address, folder) for address in addresses]
        with desk.at_work():
            images = [user_image(file, asking.modality) for file in files]
            asked = ask_switched(desk, desk.system(name), images, question, switch, asking.boxes)
    text, reason = cut(asked.text, asking)
    message = {"role": "assistant", "content": text, "refusal": None}
    sure = asked.answered.probability if asking.logprobs else None
    likely = {"content": [_log_probability(text, sure, asking.top_logprobs)], "refusal": None} if sure else None
    choice = {"message": message, "finish_reason": reason, "logprobs": likely}
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
    told = [{"index": index} | choice for index in range(asking.n)]
    return about | {"model": name, "choices": told, "usage": usage, "medglip": grounded}


def cut(text: str, asking: Asking) -> tuple[str, str]:
    """The text before the first stop, of at most so many words as tokens are wanted; why it ends."""
    for stop in [asking.stop] if isinstance(asking.stop, str) else asking.stop:
        text = text.partition(stop)[0] if stop else text
    most = asking.max_completion_tokens or asking.max_tokens
    words = text.split()
    return (text, "stop") if most is None or len(words) <= most else (" ".join(words[:most]), "length")


def read_messages(messages: Sequence[Mapping[str, Any]]) -> tuple[list[str], str]:
    """The `data:` addresses of all messages, in order, and the text of the last message of the user.

    Raises `BadInput` for no picture or more than `MOST_IMAGES`, and for no question.
    """
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


def _log_probability(text: str, probability: float, top: int) -> dict[str, Any]:
    """The answer as if it were one token, since its probability is known as a whole; of others none is known."""
    token = {"token": text, "logprob": math.log(probability), "bytes": list(text.encode())}
    return token | {"top_logprobs": [token] if top else []}


def _events(told: dict[str, Any], *, with_usage: bool) -> Iterator[str]:
    """Each choice as a stream of one piece."""
    shared = {key: told[key] for key in ("id", "created", "model")} | {"object": "chat.completion.chunk"}
    usage: dict[str, Any] = {"usage": None} if with_usage else {}
    for choice in told["choices"]:
        said = {"role": "assistant", "content": choice["message"]["content"]}
        for delta, reason, likely in ((said, None, choice["logprobs"]), ({}, choice["finish_reason"], None)):
            piece = {"index": choice["index"], "delta": delta, "finish_reason": reason, "logprobs": likely}
            yield f"data: {json.dumps(shared | usage | {'choices': [piece]}, ensure_ascii=False)}\n\n"
    if with_usage:
        yield f"data: {json.dumps(shared | {'choices': [], 'usage': told['usage']})}\n\n"
    yield "data: [DONE]\n\n"


def _error(error: Exception, status: int) -> JSONResponse:
    kind = "server_error" if status == 500 else "invalid_request_error"
    code = "model_not_found" if status == 404 else None
    return JSONResponse({"error": {"message": error_line(error), "type": kind, "param": None, "code": code}}, status)
