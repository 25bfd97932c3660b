"""The same tools for programs that speak MCP, at `/mcp`."""

import json
from importlib.metadata import version
from typing import Any

from mcp.server.lowlevel import Server
from mcp.server.transport_security import TransportSecuritySettings
from mcp_types import CallToolRequestParams, CallToolResult, ListToolsResult, TextContent, Tool
from starlette.applications import Starlette

from ...grounding.types import NOTICE
from .bring import FAULTS, error_line
from .call import schema_of, summary_of
from .desk import Desk
from .http import LOG, in_thread
from .tools import TOOLS


def mcp_server(desk: Desk) -> "Server[Any]":
    """A server of every tool; what goes wrong comes as the one line of the readers, marked as an error."""

    async def list_tools(_: Any, __: Any) -> ListToolsResult:
        tools = [Tool(name=name, description=summary_of(name), input_schema=schema_of(name)) for name in TOOLS]
        return ListToolsResult(tools=tools)

    async def call_tool(_: Any, asked: CallToolRequestParams) -> CallToolResult:
        try:
            told = await in_thread(desk, asked.name, dict(asked.arguments or {}))
        except FAULTS as error:
            return CallToolResult(content=[TextContent(text=error_line(error))], is_error=True)
        except Exception as error:
            LOG.exception("a call of a tool failed")
            words = f"this failed here ({type(error).__name__}); the log says why"
            return CallToolResult(content=[TextContent(text=words)], is_error=True)
        text = json.dumps(told, ensure_ascii=False)
        return CallToolResult(content=[TextContent(text=text)], structured_content=told)

    return Server(
        "medglip",
        version=version("medglip"),
        instructions=f"Find, measure and ask in medical images; pictures are data: addresses. {NOTICE}",
        on_list_tools=list_tools,
        on_call_tool=call_tool,
    )


def mcp_app(desk: Desk) -> Starlette:
    """The server as an application of ASGI with the one path `/mcp`; `Guard`, which is around it, checks hosts."""
    open_doors = TransportSecuritySettings(enable_dns_rebinding_protection=False)
    server = mcp_server(desk)
    return server.streamable_http_app(stateless_http=True, json_response=True, transport_security=open_doors)
