"""The command for AI agents: its name, arguments and help, as in ``app.py``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def mcp(
    address: Annotated[
        str, typer.Argument(metavar="ADDRESS", help="Of the server, as sdl serve prints it.")
    ] = "http://127.0.0.1:8400",
    *,
    token_file: Annotated[
        Path | None,
        typer.Option("--token-file", metavar="FILE", help="Holds the agent's token.", show_default=False),
    ] = None,
    http: Annotated[
        int | None,
        typer.Option("--http", min=0, max=65535, metavar="PORT", help="Over HTTP, at /mcp.", show_default=False),
    ] = None,
    certificate: Annotated[
        Path | None, typer.Option("--certificate", metavar="FILE", help="That the server has.", show_default=False)
    ] = None,
) -> None:
    """Offer a served laboratory's tools to an AI agent, in MCP.

    Speaks over standard input and output, or, with --http, to agents on this machine that send tokens of their own. The
    token may also stand in the variable SDL_TOKEN. Roles, budgets and approvals are those of the token.
    """
    from sdl.commands.mcp import serve_agents

    serve_agents(address, token_file, http, certificate)
