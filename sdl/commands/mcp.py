"""``sdl mcp``: the tools of a served laboratory, for AI agents."""

from __future__ import annotations

import sys
from pathlib import Path

from sdl.commands.line import token_of
from sdl.errors import AccessError, LabError


def serve_agents(address: str, token_file: Path | None, http: int | None, certificate: Path | None) -> None:
    """Serve agents until their line ends, or until Ctrl-C."""
    try:
        from sdl.server.agents import Desk, agent_server, over_http
    except ModuleNotFoundError as error:
        raise LabError(f"agents need {error.name}", hint="pip install 'sdl[serve,agents]'") from None

    verify = None if certificate is None else str(certificate)
    if http is None:
        agent_server(Desk(address, token_of(token_file), verify)).run("stdio")
        return
    if token_file is not None:
        raise AccessError("over HTTP each agent sends a token of its own", hint="leave --token-file away")
    import uvicorn

    print(f"agents of {address} at http://127.0.0.1:{http}/mcp", file=sys.stderr)  # noqa: T201 # no answer of the protocol
    uvicorn.run(over_http(agent_server(Desk(address, None, verify))), host="127.0.0.1", port=http, log_level="warning")
