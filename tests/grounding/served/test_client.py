"""Every fault of a server ends in a reply, in a request without an answer that is counted, or in one clear line."""

import json
import math
import threading
import time
from dataclasses import replace
from typing import Any

import pytest
from serving import Answer, completion, serve

from medglip.grounding.bad_input import BadInput
from medglip.grounding.parts.giving_up import GivenUp, may_give_up
from medglip.grounding.served import client
from medglip.grounding.served.client import Endpoint, Reply, Unanswered, ask_each

KEY = "sk-secret-key"


@pytest.fixture(autouse=True)
def _fast_and_keyed(monkeypatch: pytest.MonkeyPatch) -> None:
    import openai._base_client as base

    monkeypatch.setattr(base, "INITIAL_RETRY_DELAY", 0.01)
    monkeypatch.setattr(base, "MAX_RETRY_DELAY", 0.02)
    monkeypatch.delenv("MEDGLIP_API_KEY", raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


def ask(url: str, words: list[str], **options: Any) -> tuple[dict[str, Reply], Unanswered[str]]:
    replies: dict[str, Reply] = {}
    endpoint = Endpoint(**{"url": url, "model": "m", "timeout_s": 5, **options})
    left = ask_each(
        endpoint,
        words,
        lambda word: {"messages": [{"role": "user", "content": word}]},
        lambda w, r: replies.update({w: r}),
    )
    return replies, left


def test_a_reply_holds_what_the_server_tells() -> None:
    body = completion("yes.")
    body["choices"][0]["logprobs"] = {"content": [{"token": t, "logprob": p} for t, p in (("yes", -0.2), (".", -0.4))]}
    with serve(lambda *_: body) as served:
        replies, left = ask(served.url, ["?"])
    (reply,) = replies.values()
    assert (reply.text, reply.finish_reason, left.items) == ("yes.", "stop", [])
    assert reply.usage == {"prompt_tokens": 7, "completion_tokens": 2}
    assert reply.probability == pytest.approx(math.exp(-0.3))
    assert served.requests[0]["logprobs"] is True
    assert served.requests[0]["headers"]["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize(
    "fault",
    [
        None,
        (500, {}, {"error": {"message": "out of memory"}}),
        (429, {"Retry-After": "0.05"}, {"error": {"message": "slow down"}}),
        (200, {}, '{"choices": [{"mess'),
        (200, {"Content-Type": "text/html"}, "<html>busy</html>"),
        (200, {}, {"id": "1", "object": "chat.completion", "choices": []}),
    ],
    ids=["reset", "5xx", "429", "broken JSON", "no JSON", "no choice"],
)
def test_what_may_pass_is_asked_again(fault: Answer) -> None:
    with serve(lambda body, number: fault if number < 2 else "yes") as served:
        replies, left = ask(served.url, ["?"])
    assert (replies["?"].text, left.items, len(served.requests)) == ("yes", [], 3)


def test_retry_after_is_obeyed() -> None:
    times: list[float] = []

    def answer(body: dict[str, Any], number: int) -> Answer:
        times.append(time.monotonic())
        return "yes" if number else (429, {"Retry-After": "0.6"}, {})

    with serve(answer) as served:
        ask(served.url, ["?"])
    assert times[1] - times[0] >= 0.6


def test_options_that_a_server_refuses_are_left_out_once_for_all() -> None:
    def answer(body: dict[str, Any], number: int) -> Answer:
        if "logprobs" in body:
            return 422, {}, {"detail": "Unsupported fields in the request: {'logprobs'}"}
        if "max_tokens" in body:
            return 400, {}, {"error": {"message": "'max_tokens' is not supported, use 'max_completion_tokens'"}}
        return "yes"

    with serve(answer) as served:
        endpoint, replies = Endpoint(url=served.url, model="m", concurrency=1), list[Reply]()
        request = {"messages": [{"role": "user", "content": "?"}], "max_tokens": 3}
        ask_each(endpoint, [1, 2], lambda _: request, lambda _, reply: replies.append(reply))
    assert [reply.probability for reply in replies] == [None, None]
    assert [reply.text for reply in replies] == ["yes", "yes"]
    assert len(served.requests) == 4
    assert served.requests[-1]["max_completion_tokens"] == 3


def test_a_request_that_fails_by_itself_costs_itself_and_no_option() -> None:
    def answer(body: dict[str, Any], number: int) -> Answer:
        return (400, {}, {"error": {"message": "context too long"}}) if "long" in str(body["messages"]) else "yes"

    with serve(answer) as served:
        replies, left = ask(served.url, ["long", "a", "b"], concurrency=1)
    assert left.items == ["long"]
    assert "context too long" in left.why
    assert sorted(replies) == ["a", "b"]
    assert "logprobs" in served.requests[-1]


@pytest.mark.parametrize(
    "told",
    [
        completion(None, refusal="I will not."),
        completion("", "content_filter"),
        (400, {}, {"error": {"message": "The response was filtered", "code": "content_filter"}}),
        "I'm sorry, but I can't assist with that.",
    ],
)
def test_refusals_are_replies(told: Answer) -> None:
    with serve(lambda *_: told) as served:
        replies, left = ask(served.url, ["?"])
    assert replies["?"].is_refusal
    assert (left.items, len(served.requests)) == ([], 1)


def test_no_more_are_asked_at_once_than_wanted() -> None:
    now, most, lock = 0, 0, threading.Lock()
    three = threading.Barrier(3)  # passed where three are asked at once

    def answer(body: dict[str, Any], number: int) -> Answer:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        three.wait(20)
        with lock:
            now -= 1
        return "yes"

    with serve(answer) as served:
        replies, _ = ask(served.url, [str(k) for k in range(9)], concurrency=3, timeout_s=30)
    assert len(replies) == 9
    assert most == 3


def test_a_slow_answer_ends_with_the_timeout() -> None:
    def answer(body: dict[str, Any], number: int) -> Answer:
        time.sleep(0.5 if "slow" in str(body["messages"]) else 0)
        return "yes"

    with serve(answer) as served:
        replies, left = ask(served.url, ["slow", "a"], timeout_s=0.1, concurrency=2)
    assert (list(replies), left.items) == (["a"], ["slow"])


def test_an_answer_in_drops_ends_with_the_timeout() -> None:
    whole = json.dumps(completion("yes"))
    drops = [whole[k : k + 20] for k in range(0, len(whole), 20)]  # one every fifth of a second
    with serve(lambda body, _: (200, {}, drops) if "slow" in str(body["messages"]) else "yes") as served:
        replies, left = ask(served.url, ["slow", "a"], timeout_s=0.4, concurrency=2)
    assert (list(replies), left.items) == (["a"], ["slow"])


def test_an_answer_that_nobody_waits_for_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "LOOK_S", 0.01)
    flag, may_answer = threading.Event(), threading.Event()

    def answer(_: dict[str, Any], __: int) -> Answer:
        flag.set()
        may_answer.wait(20)
        return "yes"

    with serve(answer) as served:
        with may_give_up(flag), pytest.raises(GivenUp):
            ask(served.url, ["slow"], timeout_s=20)
        assert not may_answer.is_set()
        may_answer.set()


def test_a_server_that_dies_is_given_up_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "MAX_RETRIES", 1)
    with serve(lambda body, number: "yes" if number < 3 else None) as served:
        replies, left = ask(served.url, [str(k) for k in range(40)], concurrency=2)
    assert (len(replies), len(left.items), left.is_given_up) == (3, 37, True)
    assert len(served.requests) < 12


@pytest.mark.parametrize(
    ("status", "message"), [(404, "has no model 'm'"), (401, "refuses the key"), (403, "MEDGLIP_API_KEY")]
)
def test_what_no_request_can_pass_is_one_line_without_the_key(status: int, message: str) -> None:
    told = {"error": {"message": f"Incorrect API key provided: {KEY}; no such model"}}
    with serve(lambda *_: (status, {}, told)) as served, pytest.raises(BadInput, match=message) as error:
        ask(served.url, ["a", "b", "c"])
    assert KEY not in str(error.value)


def test_where_nothing_is_answered_the_rest_is_not_asked() -> None:
    with serve(lambda *_: (400, {}, {"error": {"message": "no pictures here"}})) as served:
        _, left = ask(served.url, [str(k) for k in range(60)], concurrency=2)
    assert (len(left.items), left.is_given_up) == (60, True)
    assert len(served.requests) < 30


def test_a_key_that_a_server_repeats_is_hidden() -> None:
    with serve(lambda body, number: f"You sent {KEY}.") as served:
        replies, _ = ask(served.url, ["?"])
    assert replies["?"].text == "You sent ***."


def test_no_server_and_no_address_are_told() -> None:
    with serve(lambda *_: "yes") as served:
        pass
    with pytest.raises(BadInput, match="no server answers at"):
        ask(served.url.replace("//", "//user:word@"), ["?"])
    right = Endpoint(url=served.url, model="m")
    for wrong in ({"url": "localhost:8000"}, {"model": " "}, {"concurrency": 0}):
        with pytest.raises(BadInput):
            replace(right, **wrong)
    assert Endpoint(url="http://user:word@host:1/v1?key=x", model="m").shown == "http://host:1/v1"
