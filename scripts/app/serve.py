"""`medglip app`: the page, the HTTP API, MCP and chat completions as one application behind one guard."""

import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...grounding.bad_input import BadInput
from ...grounding.served.client import Endpoint
from .desk import Desk
from .guard import Application, Guard, is_loopback, make_token

if TYPE_CHECKING:
    from fastapi import FastAPI


@dataclass(frozen=True, kw_only=True)
class Door:
    """Where the page is reached. `token`: what callers show; "": none is needed, on this machine alone.

    `places`: runs and adapters by name; the first of them answers where none is named.
    """

    host: str = "127.0.0.1"
    port: int = 7860
    token: str = ""
    endpoint: Endpoint | None = None
    checkpoint: str | None = None
    places: Mapping[str, Path] = field(default_factory=dict)


def serve(door: Door) -> None:
    """Serve until it is interrupted. Raises `BadInput` where the extra `app` or the port is missing."""
    need_extra()
    token = door.token or ("" if is_loopback(door.host) else make_token())
    desk = Desk(places=door.places, endpoint=door.endpoint, checkpoint=door.checkpoint)
    # uvicorn raises the signal again when it has ended, which by default would leave the uploads behind
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        import uvicorn

        with _port(door) as socket:
            logging.getLogger("medglip").info("the page is being built")
            config = uvicorn.Config(build(desk, token), log_level="warning", access_log=False, server_header=False)
            _say(door, token, socket.getsockname()[1], is_made=bool(token and not door.token))
            uvicorn.Server(config).run(sockets=[socket])
    finally:
        desk.close()


def build(desk: Desk, token: str = "") -> Application:
    """The whole application. `token`: "": none is needed, and only this machine is answered."""
    from .chat import chat_routes
    from .http import WhileWanted, routes
    from .mcp_tools import mcp_app

    quiet(desk)
    from fastapi import FastAPI

    tools = mcp_app(desk)

    @asynccontextmanager
    async def life(_: "FastAPI") -> AsyncIterator[None]:
        async with tools.router.lifespan_context(tools):
            yield

    # its own pages of documentation load scripts from outside; ours is /api/openapi.json
    app = FastAPI(lifespan=life, docs_url=None, redoc_url=None, openapi_url=None)
    computing: list[Any] = [*routes(desk), *chat_routes(desk), *tools.routes]
    for route in computing:
        route.app = WhileWanted(route.app)
        app.router.routes.append(route)
    from .page.build import mount

    return Guard(mount(app, desk), token or None)


def quiet(desk: Desk) -> None:
    """No word to anybody outside, and uploads below the folder of the desk; before gradio is imported."""
    os.environ |= {
        "GRADIO_ANALYTICS_ENABLED": "False",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "GRADIO_TEMP_DIR": str(desk.folder / "uploads"),
    }
    logging.getLogger("httpx").setLevel(logging.WARNING)


def need_extra() -> None:
    """Raises `BadInput` where a package of the extra `app` is missing."""
    if missing := [name for name in ("gradio", "mcp") if find_spec(name) is None]:
        raise BadInput(f"the page needs {' and '.join(missing)}.", fix="pip install 'medglip[app]'")


def _port(door: Door) -> Any:
    import socket

    family = socket.AF_INET6 if ":" in door.host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((door.host.strip("[]"), door.port))
    except (OSError, OverflowError) as error:
        bound.close()
        raise BadInput(
            f"{door.host}:{door.port} cannot be listened on ({error}).", fix="--port with another"
        ) from error
    return bound


def _say(door: Door, token: str, port: int, *, is_made: bool) -> None:
    host = f"[{door.host}]" if ":" in door.host else door.host
    lines = [f"page: http://{host}:{port}/" + (f"?token={token}" if token else "")]
    if is_made:
        lines.append(f"token: {token} (made now: other machines may reach this page, so it asks for one)")
    lines += [f"HTTP: http://{host}:{port}/api/openapi.json", f"MCP: http://{host}:{port}/mcp", "Ctrl-C ends it."]
    print("\n".join(lines), file=sys.stdout, flush=True)
