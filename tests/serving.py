"""A server of chat completions inside the test, with every fault that real ones have."""

import base64
import io
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from PIL import Image


@dataclass
class Served:
    """`url`, and every request so far: its body, and its headers under `headers`."""

    url: str = ""
    requests: list[dict[str, Any]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def texts(self) -> list[str]:
        """The words of each request."""
        return [words_of(request) for request in self.requests]


def words_of(request: dict[str, Any]) -> str:
    content = request["messages"][-1]["content"]
    return content if isinstance(content, str) else "".join(p["text"] for p in content if p["type"] == "text")


def images_of(request: dict[str, Any]) -> list[Image.Image]:
    content = request["messages"][-1]["content"]
    urls = [part["image_url"]["url"] for part in content if isinstance(part, dict) and part["type"] == "image_url"]
    return [Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))) for url in urls]


def completion(text: str | None, reason: str = "stop", **message: Any) -> dict[str, Any]:
    """The body of a good answer."""
    told = {"role": "assistant", "content": text, **message}
    usage = {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}
    choice = {"index": 0, "message": told, "finish_reason": reason}
    return {"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "usage": usage}


Answer = tuple[int, dict[str, str], Any] | dict[str, Any] | str | None
"""Status, headers and body; or a body alone; or the text of an answer; None: the connection is cut."""


@contextmanager
def serve(answer: Callable[[dict[str, Any], int], Answer]) -> Iterator[Served]:
    """A server until the block ends. `answer`: the body of a request, and how many came before it."""
    served = Served()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            pass

        def do_GET(self) -> None:
            self.send_error(404)

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with served.lock:
                served.requests.append(body | {"headers": {k.lower(): v for k, v in self.headers.items()}})
                number = len(served.requests) - 1
            told = answer(body, number)
            if told is None:
                self.connection.close()
                return
            told = completion(told) if isinstance(told, str) else told
            status, headers, body = told if isinstance(told, tuple) else (200, {}, told)
            pieces = body if isinstance(body, list) else [body]  # sent one by one, slowly
            parts = [piece.encode() if isinstance(piece, str) else json.dumps(piece).encode() for piece in pieces]
            data = b"".join(parts)
            self.send_response(status)
            for name, value in (
                {"Content-Type": "application/json", "Content-Length": str(len(data))} | headers
            ).items():
                self.send_header(name, value)
            self.end_headers()
            for part in parts:
                self.wfile.write(part)
                time.sleep(0.2 * (len(parts) > 1))

    class Server(ThreadingHTTPServer):
        def handle_error(self, request: Any, client_address: Any) -> None:  # connections that were cut
            pass

    server = Server(("127.0.0.1", 0), Handler)
    served.url = f"http://127.0.0.1:{server.server_port}/v1"
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
