"""A model behind an OpenAI-type address: requests in, replies out, several at once, each asked again where that helps.

The library `openai` speaks the protocol (extra `serve`), with its own retries, back-off and Retry-After. It is loaded
when the first request is made. The key comes from the environment and goes nowhere else.
"""

import asyncio
import math
import os
import re
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import Any, Generic, TypeVar
from urllib.parse import urlsplit

from ..bad_input import BadInput, in_one_line
from ..parts.giving_up import go_on

Item = TypeVar("Item")
KEYS = ("MEDGLIP_API_KEY", "OPENAI_API_KEY")
"""Variables of the environment that may hold the key, the first one first."""
MAX_RETRIES = 5
"""Of the client, for connections, timeouts, rate limits and errors of the server: half a second, then twice as long."""
BROKEN_TRIES = 3
"""How often an answer that cannot be read is asked for."""
LOOK_S = 0.5
"""How often a request that waits looks whether somebody still wants it."""
_CANNOT = r"(?:can['’]?t|cannot|can not|(?:am |['’]m )?(?:unable|not able) to)"
_REFUSES = re.compile(
    rf"(?:i['’]?m |i am )?(?:very |so )?(?:sorry|i apologi[sz]e)\b.{{0,40}}?\b{_CANNOT}(?: \w+)? "
    r"(?:assist|help|comply|fulfil|provide|answer|give|offer|discuss|analy[sz]e|interpret)"
    rf"|i ?{_CANNOT} (?:assist|help|comply|fulfil)",
    re.IGNORECASE | re.DOTALL,
)
"""How tuned models refuse in words."""


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """A model and the address that it is served at.

    `url`: up to `/v1`. `model`: as the server calls it. `concurrency`: requests at once. `timeout_s`: of one request.
    Raises `BadInput` for what is no address or no number above 0.
    """

    url: str
    model: str
    concurrency: int = 8
    timeout_s: float = 120.0

    def __post_init__(self) -> None:
        if urlsplit(self.url).scheme not in ("http", "https") or not urlsplit(self.url).hostname:
            raise BadInput("--endpoint is no address.", fix="--endpoint http://localhost:8000/v1")
        if not self.model.strip():
            raise BadInput("the endpoint needs the name of a model.", fix="--model NAME, as the server calls it")
        if self.concurrency < 1 or not self.timeout_s > 0:
            raise BadInput("--concurrency and --timeout are above 0.", fix="--concurrency 8 --timeout 120")

    @property
    def shown(self) -> str:
        """The address for messages, without user, password and query."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What the model said. `text`: as it came, of a refusal what was said instead of an answer.

    `usage`: prompt_tokens, completion_tokens, where told. `probability`: exp of the mean log-probability of its tokens,
    in [0, 1]; None where the server gives none.
    """

    text: str
    finish_reason: str = ""
    usage: Mapping[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    probability: float | None = None
    is_refusal: bool = False


class NoAnswer(Exception):
    """One request that stays without an answer, and why; `is_alive`: the server itself answered something."""

    def __init__(self, why: str, *, is_alive: bool = True):
        super().__init__(why)
        self.is_alive = is_alive


@dataclass
class Unanswered(Generic[Item]):
    """What stays without an answer. `why`: the last reason; `is_given_up`: so many failed in a row, or before any was
    answered, that the rest was not asked at all.
    """

    items: list[Item] = field(default_factory=list)
    why: str = ""
    is_given_up: bool = False


def ask_each(
    endpoint: Endpoint,
    items: Sequence[Item],
    to_request: Callable[[Item], Mapping[str, Any] | None],
    take: Callable[[Item, Reply], None],
) -> Unanswered[Item]:
    """Ask for every item, `endpoint.concurrency` at once; `take` gets each reply as it comes.

    `to_request`: `messages` and options of a chat completion, made when its turn comes; None: not asked. Raises
    `BadInput` where no server is, the key is refused or the model is unknown.
    """
    if not items:
        return Unanswered()
    return asyncio.run(_ask_each(endpoint, items, to_request, take))


async def _ask_each(
    endpoint: Endpoint,
    items: Sequence[Item],
    to_request: Callable[[Item], Mapping[str, Any] | None],
    take: Callable[[Item, Reply], None],
) -> Unanswered[Item]:
    client, left, failed = ChatClient(endpoint), iter(items), Unanswered[Item]()
    in_a_row = 0  # requests since something was heard from the server
    is_answered = False

    async def work() -> None:
        nonlocal in_a_row, is_answered
        for item in left:  # one iterator for all: each takes the next
            if failed.is_given_up:
                failed.items.append(item)
                continue
            if (request := await asyncio.to_thread(to_request, item)) is None:
                continue
            try:
                reply = await _while_wanted(client.ask(request))
            except NoAnswer as error:
                failed.items.append(item)
                failed.why = str(error)
                in_a_row = 0 if error.is_alive else in_a_row + 1
                is_hopeless = not is_answered and len(failed.items) >= max(2 * endpoint.concurrency, 10)
                failed.is_given_up |= is_hopeless or in_a_row >= max(endpoint.concurrency, 2)
            else:
                in_a_row, is_answered = 0, True
                take(item, reply)

    async with client:
        await client.find_server()
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(endpoint.concurrency, len(items))):
                    group.create_task(work())
        except BaseExceptionGroup as errors:  # the first one ended the others
            raise errors.exceptions[0] from None
    return failed


async def _while_wanted(reply: Coroutine[Any, Any, Reply]) -> Reply:
    """The reply; where the caller gives it up the connection ends, by which a server knows. Raises `GivenUp` then."""
    task = asyncio.create_task(reply)
    try:
        while not (await asyncio.wait([task], timeout=LOOK_S))[0]:
            go_on()
        return task.result()
    finally:
        task.cancel()


class ChatClient:
    """Asks one endpoint. An option that the server does not know is left out from then on."""

    def __init__(self, endpoint: Endpoint):
        try:
            import openai
        except ImportError as error:
            fix = "pip install 'medglip[serve]'"
            raise BadInput("a served model needs the library openai.", fix=fix) from error
        self.endpoint, self._openai = endpoint, openai
        self._key = next((key for name in KEYS if (key := os.environ.get(name, "").strip())), "")
        # a server of one's own wants none, the client wants one
        options: dict[str, Any] = {"api_key": self._key or "none", "max_retries": MAX_RETRIES}
        options["http_client"] = _with_deadline(openai.DefaultAsyncHttpxClient, endpoint.timeout_s)
        self._client = openai.AsyncOpenAI(base_url=endpoint.url, timeout=endpoint.timeout_s, **options)
        self._changes: dict[str, str] = {}  # of names of options: "" is left out

    async def __aenter__(self) -> "ChatClient":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.close()

    async def find_server(self) -> None:
        """Raise `BadInput` where nothing listens; what the server says to this request does not matter."""
        try:
            await self._client.with_options(max_retries=0).models.list()
        except self._openai.APIConnectionError as error:
            if type(error.__cause__).__name__ == "ConnectError":
                problem = f"no server answers at {self.endpoint.shown}."
                raise BadInput(problem, fix="start it, or correct --endpoint; docs/served-models.md") from None
        except Exception:
            pass

    async def ask(self, request: Mapping[str, Any]) -> Reply:
        """One reply. `request`: messages and options of a chat completion.

        Log-probabilities are asked for, too. Raises `NoAnswer`, and `BadInput` where no request can have an answer.
        """
        wanted = {"model": self.endpoint.model, "logprobs": True, **request}
        why = ""
        for attempt in range(BROKEN_TRIES):
            await asyncio.sleep(0.2 * attempt)
            start = time.perf_counter()
            try:
                completion = await self._create(wanted)
                reply = _read(completion, time.perf_counter() - start)
                return replace(reply, text=self._hide(reply.text))
            except self._openai.APIConnectionError as error:  # timeouts, too; asked again by the client
                why = f"{type(error).__name__}: {error}"
                raise NoAnswer(self._clean(why), is_alive=False) from None
            except self._openai.APIStatusError as error:
                if _is_filtered(error):
                    return Reply(text=self._clean(str(error)), finish_reason="content_filter", is_refusal=True)
                raise self._fault(error) from None
            except (ValueError, TypeError, AttributeError, LookupError, self._openai.APIError) as error:
                why = f"no chat completion: {type(error).__name__}: {error}"
        raise NoAnswer(self._clean(why))

    async def _create(self, wanted: Mapping[str, Any]) -> Any:
        """The completion; an option that the server refuses by name, and log-probabilities, are given up one by one."""
        is_guess = False  # whether log-probabilities were left out though the server did not name them
        while True:
            named = {self._changes.get(name, name): value for name, value in wanted.items()}
            named.pop("", None)
            try:
                return await self._client.chat.completions.create(**named)
            except self._openai.APIStatusError as error:
                said = str(error)
                is_option = error.status_code in (400, 422, 501) or "logprob" in said
                if _is_filtered(error) or not (is_option and self._give_up(named, said)):
                    if is_guess:  # it was something else
                        self._changes.pop("logprobs", None)
                    raise
                is_guess |= self._changes.get("logprobs") == "" and "logprob" not in said

    def _give_up(self, named: Mapping[str, Any], said: str) -> bool:
        """Note which option is not sent again; whether there is one."""
        if "max_tokens" in named and "max_completion_tokens" in said:
            self._changes["max_tokens"] = "max_completion_tokens"
        elif name := next((name for name in ("temperature", "top_p", "seed") if name in named and name in said), ""):
            self._changes[name] = ""
        elif "logprobs" in named:
            self._changes["logprobs"] = ""
        else:
            return False
        return True

    def _fault(self, error: Any) -> Exception:
        said = self._clean(str(error))
        if error.status_code in (401, 403):
            return BadInput(f"{self.endpoint.shown} refuses the key: {said}", fix=f"set {' or '.join(KEYS)}")
        if error.status_code == 404 or getattr(error, "code", "") == "model_not_found":
            fix = "give --model as the server calls it (its page /v1/models lists them), and --endpoint up to /v1"
            return BadInput(f"{self.endpoint.shown} has no model {self.endpoint.model!r}: {said}", fix=fix)
        return NoAnswer(said, is_alive=error.status_code not in (502, 503, 504))  # a gateway speaks for a dead server

    def _clean(self, text: str) -> str:
        """In one line, without the key: servers repeat what they were sent."""
        return in_one_line(Exception(self._hide(text)))

    def _hide(self, text: str) -> str:
        return text.replace(self._key, "***") if len(self._key) > 7 else text


def _with_deadline(client: type[Any], seconds: float) -> Any:
    """A client whose timeout is that of a whole answer: its own begins anew with every byte that comes."""
    # httpx or httpx2, by the version of openai, which takes a timeout of that library alone for one
    library = next(one.__module__.partition(".")[0] for one in client.__mro__ if one.__name__ == "AsyncClient")
    late = import_module(library).ReadTimeout

    class WithDeadline(client):
        async def send(self, request: Any, **options: Any) -> Any:
            try:
                async with asyncio.timeout(seconds):
                    return await super().send(request, **options)
            except TimeoutError as error:
                raise late(f"no whole answer in {seconds:g} s", request=request) from error

    return WithDeadline()


def _is_filtered(error: Any) -> bool:
    """Whether a filter of content turned the request away, which is a refusal."""
    return error.status_code < 500 and "content_filter" in f"{getattr(error, 'code', '')} {error}"


def _read(completion: Any, seconds: float) -> Reply:
    """Raises one of Python's own errors for what is no chat completion."""
    choice = completion.choices[0]
    message, reason = choice.message, choice.finish_reason or ""
    text = message.content or ""
    if not isinstance(text, str):  # parts, as some servers write it
        text = "".join(part["text"] for part in text)
    refusal = getattr(message, "refusal", None) or ""
    usage = getattr(completion, "usage", None)
    counts = {name: getattr(usage, name, None) for name in ("prompt_tokens", "completion_tokens")}
    return Reply(
        text=text or refusal,
        finish_reason=str(reason),
        usage={name: int(count) for name, count in counts.items() if count is not None},
        seconds=round(seconds, 4),
        probability=_probability(choice),
        is_refusal=bool(refusal) or reason == "content_filter" or _REFUSES.match(text.strip()) is not None,
    )


def _probability(choice: Any) -> float | None:
    tokens: Iterable[Any] = getattr(getattr(choice, "logprobs", None), "content", None) or ()
    values = [float(token.logprob) for token in tokens if token.logprob is not None]
    return math.exp(sum(values) / len(values)) if values else None
