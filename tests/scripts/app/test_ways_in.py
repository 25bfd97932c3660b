"""The guard, HTTP, MCP, chat completions and gradio's own client, all over one table of tools."""

import base64
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from app_page import OF_GRADIO

pytest.importorskip("gradio", reason="gradio is not installed: pip install 'medglip[app]'")
pytest.importorskip("mcp", reason="mcp is not installed: pip install 'medglip[app]'")
pytestmark = OF_GRADIO

import httpx  # noqa: E402
import uvicorn  # noqa: E402
from starlette.testclient import TestClient  # noqa: E402

from medglip.grounding.parts.giving_up import GivenUp, go_on  # noqa: E402
from medglip.scripts.app.desk import Desk  # noqa: E402
from medglip.scripts.app.guard import is_loopback  # noqa: E402
from medglip.scripts.app.serve import Door, build, serve  # noqa: E402
from medglip.scripts.app.tools import TOOLS  # noqa: E402

CHEST = Path(__file__).parents[3] / "examples" / "data" / "images" / "xray-1.png"
ADDRESS = f"data:image/png;base64,{base64.b64encode(CHEST.read_bytes()).decode()}"
HERE = "http://127.0.0.1:7860"


@pytest.fixture(scope="module")
def guarded(desk: Desk) -> Any:
    return build(desk, "secret")


@pytest.fixture(scope="module")
def client(desk: Desk) -> Iterator[TestClient]:
    with TestClient(build(desk), base_url=HERE) as opened:  # pyright: ignore[reportArgumentType]
        yield opened


def send(client: TestClient, name: str, content: bytes = b"", **words: Any) -> Any:
    return client.post(f"/api/{name}", files={"image": ("scan.png", content or CHEST.read_bytes())}, data=words)


def test_a_form_with_a_file_and_json_with_an_address_answer_alike(client: TestClient) -> None:
    words: dict[str, Any] = {"phrase": "heart", "modality": "xray"}
    by_form = send(client, "ground", **words)
    by_json = client.post("/api/ground", json={"image": ADDRESS, **words})
    assert by_form.status_code == by_json.status_code == 200
    assert by_form.json()["regions"] == by_json.json()["regions"] != []


def test_the_schema_names_every_tool_and_describes_every_argument(client: TestClient) -> None:
    schema = client.get("/api/openapi.json").json()
    assert set(schema["paths"]) == {*(f"/api/{name}" for name in TOOLS), "/v1/chat/completions", "/v1/models"}
    assert client.get("/openapi.json").json() == schema
    for name in TOOLS:
        path = schema["paths"][f"/api/{name}"]
        form = path["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
        assert form["properties"]["image"]["format"] == "binary"
        assert all(row["description"] for row in form["properties"].values())


@pytest.mark.parametrize(
    ("request_of", "words"),
    [
        ({"files": {"image": ("../../x.png", b"nothing")}}, "not an image"),
        ({"files": {"image": ("a" * 3000 + ".png", b"nothing")}}, "not an image"),
        ({"files": {"image": ("x.png", b"")}}, "empty"),
        ({"files": {"picture": ("x.png", b"1")}}, "is no picture"),
        ({"json": {"image": "/etc/passwd"}}, "neither a file nor a data: address"),
        ({"json": ["image"]}, "no JSON object"),
        ({"content": b"{", "headers": {"content-type": "application/json"}}, "no JSON"),
        ({"content": b"x", "headers": {"content-type": "text/plain"}}, "neither a form nor JSON"),
        ({"content": b"x", "headers": {"content-type": "multipart/form-data"}}, "the form is damaged"),
        ({}, "neither a form nor JSON"),
    ],
)
def test_errors_are_one_line_with_a_status_of_the_callers(
    client: TestClient, desk: Desk, request_of: dict[str, Any], words: str
) -> None:
    answer = client.post("/api/ground", **request_of)
    line = answer.json()["error"]
    assert answer.status_code in (413, 422)
    assert words in line
    assert len(line) <= 400
    assert "\n" not in line
    assert str(desk.folder) not in answer.text


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/api/ground",
        "/api/openapi.json",
        "/mcp",
        "/v1/models",
        "/config",
        "/gradio_api/upload",
        "/gradio_api/queue/join",
        "/nothing",
    ],
)
def test_with_a_token_every_path_asks_for_it(guarded: Any, path: str) -> None:
    asked = TestClient(guarded, base_url="http://hospital.example:7860")
    assert asked.get(path).status_code == asked.get(path, params={"token": "Secret"}).status_code == 401
    assert asked.post(path).status_code == 401
    assert asked.get(path, headers={"Authorization": "Basic secret"}).status_code == 401
    assert asked.get("/v1/models", headers={"Authorization": "Bearer secret"}).status_code == 200
    assert asked.get("/v1/models", params={"token": "secret"}).status_code == 200
    assert asked.get("/v1/models").status_code == 200  # the cookie that the last answer set


def test_beyond_this_machine_a_token_is_made_and_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made: list[str] = []
    monkeypatch.setattr("medglip.scripts.app.serve.build", lambda _, token: made.append(token))
    monkeypatch.setattr("signal.signal", lambda *_: None)
    monkeypatch.setattr(uvicorn.Server, "run", lambda *_, **__: None)
    for host in ("0.0.0.0", "0.0.0.0", "127.0.0.1"):
        serve(Door(host=host, port=0))
    assert len(made[0]) >= 32
    assert made[0] != made[1]
    assert made[2] == ""
    assert f"?token={made[0]}" in capsys.readouterr().out


def test_without_a_token_only_this_machine_is_answered(client: TestClient) -> None:
    assert client.get("/v1/models", headers={"host": "rebound.example:7860"}).status_code == 403
    assert client.get("/v1/models", headers={"origin": "https://elsewhere.example"}).status_code == 403
    assert client.get("/v1/models", headers={"origin": HERE}).status_code == 200
    assert [is_loopback(host) for host in ("127.0.0.1", "::1", "localhost", "0.0.0.0", "::", "10.0.0.1", "x.y")] == (
        [True] * 3 + [False] * 4
    )


def test_the_page_loads_nothing_from_outside(client: TestClient) -> None:
    page = client.get("/")
    assert page.status_code == 200
    policy = page.headers["content-security-policy"]
    assert "http" not in policy
    assert "fonts.googleapis" not in page.text
    assert client.get("/config").json()["analytics_enabled"] is False


def ask_mcp(client: TestClient, method: str, **params: Any) -> dict[str, Any]:
    headers = {"Accept": "application/json, text/event-stream", "MCP-Protocol-Version": "2025-06-18"}
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    answer = client.post("/mcp", json=body, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()["result"]


def test_mcp_lists_and_calls_the_same_tools(client: TestClient) -> None:
    tools = {tool["name"]: tool for tool in ask_mcp(client, "tools/list")["tools"]}
    assert set(tools) == set(TOOLS)
    assert tools["ask"]["inputSchema"]["required"] == ["image", "question"]
    arguments = {"image": ADDRESS, "phrase": "heart", "modality": "xray"}
    told = ask_mcp(client, "tools/call", name="ground", arguments=arguments)
    by_file = send(client, "ground", phrase="heart", modality="xray").json()
    assert json.loads(told["content"][0]["text"])["regions"] == by_file["regions"]
    broken = ask_mcp(client, "tools/call", name="ground", arguments={"image": "/etc/passwd"})
    assert broken["isError"]
    assert "neither a file nor a data: address" in broken["content"][0]["text"]


@pytest.mark.parametrize(
    ("name", "more", "key"),
    [
        ("zoom", {"box": "10,10,60,60"}, "picture"),
        ("measure", {"boxes": "10,20,40,80 heart"}, "measures"),
        ("compare", {"other": ADDRESS, "phrase": "heart", "modality": "xray"}, "regions"),
        ("similar", {"phrase": "heart", "modality": "xray", "limit": 1}, "similar"),
    ],
)
def test_further_tools_tell_the_same_by_mcp_and_by_form(
    client: TestClient, name: str, more: dict[str, Any], key: str
) -> None:
    told = ask_mcp(client, "tools/call", name=name, arguments={"image": ADDRESS, **more})
    by_form = send(client, name, **more).json()
    assert json.loads(told["content"][0]["text"])[key] == by_form[key]
    assert by_form[key]


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("zoom", {"image": ADDRESS, "box": "../../etc/passwd"}),
        ("zoom", {"image": "../" * 40 + "etc/passwd", "box": "1,1,9,9"}),
        ("compare", {"image": ADDRESS, "other": "file:///etc/passwd"}),
        ("compare", {"image": ADDRESS, "other": "data:image/svg+xml;base64,PHN2Zy8+"}),
        ("similar", {"image": ADDRESS}),
        ("similar", {"image": f"data:image/png;base64,{'A' * 2**20}", "phrase": "heart"}),
        ("similar", {"image": "a\0b", "phrase": "heart"}),
        ("ground", {"image": ADDRESS, "model": "/etc/passwd"}),
        ("/etc/passwd", {}),
    ],
)
def test_by_mcp_what_is_hostile_gets_one_line(
    client: TestClient, desk: Desk, name: str, arguments: dict[str, Any]
) -> None:
    told = ask_mcp(client, "tools/call", name=name, arguments=arguments)
    line = told["content"][0]["text"]
    assert told["isError"]
    assert 0 < len(line) <= 400
    assert "\n" not in line
    assert str(desk.folder) not in line


def messages(text: str, address: str = ADDRESS) -> list[dict[str, Any]]:
    content = [{"type": "image_url", "image_url": {"url": address}}, {"type": "text", "text": text}]
    return [{"role": "system", "content": "Be short."}, {"role": "user", "content": content}]


def test_a_chat_completion_is_the_answer_of_the_tool(client: TestClient) -> None:
    body = {"model": "rules@none", "messages": messages("Is the heart seen?"), "max_tokens": 16, "modality": "xray"}
    none = client.post("/v1/chat/completions", json=body).json()
    found = client.post("/v1/chat/completions", json=body | {"model": "rules"}).json()
    asked = send(client, "ask", question="Is the heart seen?", modality="xray", model="rules").json()
    assert found["choices"][0]["message"]["content"] == asked["answer"]
    assert none["medglip"]["regions"] == []
    assert found["medglip"]["regions"]
    streamed = client.post("/v1/chat/completions", json=body | {"model": "rules", "stream": True}).text
    pieces = [json.loads(line[6:]) for line in streamed.splitlines() if line.startswith("data: {")]
    assert pieces[0]["choices"][0]["delta"]["content"] == asked["answer"]
    two = client.post("/v1/chat/completions", json=body | {"model": "rules", "n": 2}).json()["choices"]
    assert [(choice["index"], choice["message"]["content"]) for choice in two] == [
        (0, asked["answer"]),
        (1, asked["answer"]),
    ]
    assert client.get("/v1/models/rules").json()["id"] == "rules"
    assert client.get("/v1/models/gpt").json()["error"]["code"] == "model_not_found"
    assert streamed.rstrip().endswith("data: [DONE]")


def test_what_clients_send_besides_is_done_or_changes_nothing(client: TestClient) -> None:
    def ask(**more: Any) -> dict[str, Any]:
        body = {"model": "rules", "messages": messages("Is the heart seen?"), "modality": "xray", **more}
        answer = client.post("/v1/chat/completions", json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()["choices"][0]

    plain = ask()
    usual = {
        "seed": 1,
        "temperature": 0.7,
        "top_p": 1,
        "response_format": {"type": "text"},
        "user": "me",
        "tools": None,
    }
    assert ask(**usual, stop=None, max_tokens=1024) == plain
    text = plain["message"]["content"]
    assert ask(stop=[text[1:]])["message"]["content"] == text[:1]
    cut = ask(max_completion_tokens=1)
    assert cut["message"]["content"] == text.split()[0]
    assert cut["finish_reason"] == ("length" if " " in text else "stop")
    told = ask(model="small@none", logprobs=True, top_logprobs=2)
    likely = told["logprobs"]["content"]
    assert likely[0]["logprob"] < 0
    assert [one["token"] for one in likely[0]["top_logprobs"]] == [told["message"]["content"]]


def test_the_client_of_openai_reads_answers_streams_and_errors(address: str) -> None:
    openai = pytest.importorskip("openai", reason="openai is not installed: pip install 'medglip[serve]'")
    asked: dict[str, Any] = {"model": "rules", "messages": messages("Is the heart seen?")}
    with openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0) as far:
        whole = far.chat.completions.create(**asked, n=2, extra_body={"modality": "xray"})
        assert len(whole.choices) == 2
        pieces = list(
            far.chat.completions.create(
                **asked, stream=True, stream_options={"include_usage": True}, extra_body={"modality": "xray"}
            )
        )
        said = "".join(piece.choices[0].delta.content or "" for piece in pieces if piece.choices)
        assert said == whole.choices[0].message.content
        assert [piece.usage is None for piece in pieces] == [True] * (len(pieces) - 1) + [False]
        assert {model.id for model in far.models.list()} >= {"rules", "small"}
        with pytest.raises(openai.BadRequestError, match="response_format"):
            far.chat.completions.create(**asked, response_format={"type": "json_object"})


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"model": "gpt"}, 404),
        ({"messages": "hello"}, 400),
        ({"messages": [{"role": "user", "content": "hello"}]}, 400),
        ({"messages": messages("", ADDRESS)}, 400),
        ({"temperature": "hot"}, 400),
        ({"n": 0}, 400),
        ({"max_tokens": 1.5}, 400),
        ({"max_completion_tokens": 0}, 400),
        ({"stream": "yes"}, 400),
        ({"stream_options": {"include_usage": True}}, 400),
        ({"stream": True, "stream_options": [1]}, 400),
        ({"logprobs": 3}, 400),
        ({"top_logprobs": 5}, 400),
        ({"logprobs": True, "top_logprobs": 21}, 400),
        ({"seed": "x"}, 400),
        ({"stop": ["a", "b", "c", "d", "e"]}, 400),
        ({"stop": 7}, 400),
        ({"response_format": {"type": "json_object"}}, 400),
        ({"tools": [{"type": "function"}]}, 400),
        ({"logit_bias": {"5": 1}}, 400),
        ({"messages": [{"role": "user"}, "hello"]}, 400),
        ({"messages": messages("Why?", "https://elsewhere.example/x.png")}, 400),
        ({"messages": messages("Why?", "file:///etc/passwd")}, 400),
    ],
)
def test_a_wrong_chat_request_gets_an_error_as_clients_read_it(
    client: TestClient, change: dict[str, Any], status: int
) -> None:
    body = {"model": "rules", "messages": messages("Is the heart seen?")} | change
    answer = client.post("/v1/chat/completions", json=body)
    assert answer.status_code == status
    assert 0 < len(answer.json()["error"]["message"]) <= 400


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/ground", {"image": ADDRESS}),
        ("/v1/chat/completions", {"model": "rules", "messages": messages("Is the heart seen?")}),
        (
            "/mcp",
            {
                "jsonrpc": "2.0",
                "id": 1,
                "method": "tools/call",
                "params": {"name": "ground", "arguments": {"image": ADDRESS}},
            },
        ),
    ],
)
def test_when_a_client_is_gone_its_computing_ends(
    address: str, desk: Desk, monkeypatch: pytest.MonkeyPatch, path: str, body: dict[str, Any]
) -> None:
    begun, ended = threading.Event(), threading.Event()

    def endless(*_: Any) -> Any:
        begun.set()
        try:
            for _step in range(2000):
                time.sleep(0.01)
                go_on()
        except GivenUp:
            ended.set()
            raise

    for module in ("tools", "chat"):
        monkeypatch.setattr(f"medglip.scripts.app.{module}.user_image", endless)
    headers = {"Accept": "application/json, text/event-stream", "MCP-Protocol-Version": "2025-06-18"}
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{address}{path}", json=body, headers=headers, timeout=1)
    assert begun.is_set()
    assert ended.wait(10)
    with desk.at_work():  # whoever waits behind it has the turn
        pass
