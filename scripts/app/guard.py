"""Who may come in: the token, the hosts of a page on this machine alone, and what no answer may load from outside."""

import hmac
import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from http.cookies import SimpleCookie
from ipaddress import ip_address
from typing import Any
from urllib.parse import parse_qs, urlsplit

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]
COOKIE = "medglip_token"
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; media-src 'self' data: blob:; "
    "worker-src 'self' blob:; frame-src 'self' data: blob:; object-src 'none'; base-uri 'self'; form-action 'self'"
)
"""Browsers load nothing of any other place."""
FILE_POLICY = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:"
"""Of what somebody uploaded: an SVG or HTML file runs nothing, and is of no origin."""


def make_token() -> str:
    """A new token."""
    return secrets.token_urlsafe(24)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a host."""
    if host == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class Guard:
    """Around an application of ASGI: 401 without the token, whatever the path; security headers on every answer.

    `token`: as `Authorization: Bearer TOKEN`, `?token=TOKEN`, or the cookie that the latter sets, so that a page's own
    requests pass; None: none is needed, and then only names of this machine are answered (a foreign page could
    otherwise reach it by a name of its own that resolves here).
    """

    def __init__(self, app: Application, token: str | None):
        self.app, self.token = app, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        asked = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("token", [""])[0]
        if self.token is None:
            if not (is_loopback(_host(headers)) and _is_own(headers)):
                await _refuse(scope, send, 403, "this page answers only on this machine")
                return
        elif not any(_same(given, self.token) for given in (_bearer(headers), asked, _cookie(headers))):
            await _refuse(
                scope, send, 401, "the token is missing or wrong: Authorization: Bearer TOKEN, or ?token=TOKEN"
            )
            return
        keeps = bool(self.token) and _same(asked, self.token or "")
        await self.app(scope, receive, self._told(send, keeps=keeps, is_file="/file=" in scope["path"]))

    def _told(self, send: Send, *, keeps: bool, is_file: bool) -> Send:
        async def told(message: Message) -> None:
            if message["type"] == "http.response.start":
                policy = FILE_POLICY if is_file else POLICY
                more = [(b"content-security-policy", policy.encode()), (b"x-content-type-options", b"nosniff")]
                more.append((b"referrer-policy", b"no-referrer"))
                if keeps:
                    cookie = f"{COOKIE}={self.token}; HttpOnly; SameSite=Strict; Path=/"
                    more.append((b"set-cookie", cookie.encode()))
                message["headers"] = [*message.get("headers", ()), *more]
            await send(message)

        return told


def _same(given: str, token: str) -> bool:
    return hmac.compare_digest(given.encode(), token.encode())


def _bearer(headers: dict[str, str]) -> str:
    kind, _, value = headers.get("authorization", "").partition(" ")
    return value.strip() if kind.lower() == "bearer" else ""


def _cookie(headers: dict[str, str]) -> str:
    morsel = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    return morsel.value if morsel else ""


def _host(headers: dict[str, str]) -> str:
    return urlsplit(f"//{headers.get('host', 'localhost')}").hostname or ""


def _is_own(headers: dict[str, str]) -> bool:
    """Whether a request of a browser comes from a page of this machine; other programs name no origin."""
    origin = headers.get("origin")
    return origin is None or is_loopback(urlsplit(origin).hostname or "")


async def _refuse(scope: Scope, send: Send, status: int, words: str) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 4401})
        return
    kind = [(b"content-type", b"application/json"), (b"www-authenticate", b"Bearer")]
    await send({"type": "http.response.start", "status": status, "headers": kind})
    await send({"type": "http.response.body", "body": f'{{"error": "{words}"}}'.encode()})
