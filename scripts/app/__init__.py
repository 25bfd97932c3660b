"""`medglip app`: one table of tools, served as a page, an HTTP API, MCP tools and a chat completion."""
