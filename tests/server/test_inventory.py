"""What asks a server, and what listens: every command and every socket is one that somebody has thought of."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest
from asking import PEOPLE, Asking
from listening import listening
from typer.testing import CliRunner

from sdl.commands.app import app
from sdl.server.identities import Role

ROOT = Path(__file__).parent.parent.parent

PAGE = (ROOT / "docs" / "reference" / "server.md").read_text(encoding="utf-8")

OPENS = re.compile(r"^(?!.*signature).*(?:\.bind\b|start_server|create_server|uvicorn\.(?:run|Config)\(|pvdb\[)", re.M)
"""What a line looks like that lets something listen."""

WORDS = {
    "approve": ["nowhere", "1"],
    "export": ["nowhere", "--csv", "-"],
    "order": ["nowhere", "stop"],
    "rearm": ["--because", "x"],
    "rehearse": ["x.yaml"],
    "report": ["nowhere"],
    "resolve": ["nowhere", "1", "--then", "failed", "--because", "x"],
    "run": ["x.yaml"],
    "show": ["1", "nowhere"],
    "status": [],
    "stock": ["add", "ethanol", "1 mL"],
    "stop": ["--because", "x"],
    "verdict": ["films", "1", "valid", "--because", "x"],
}


def commands() -> dict[str, tuple[Role, ...]]:
    """Return the commands of the page, and who may use them."""
    listed = re.findall(r"^\| `sdl ([a-z]+)` \| ([a-z, ]+) \|", PAGE, re.M)
    return {name: tuple(map(Role, roles.split(", "))) for name, roles in listed}


def test_every_command_that_asks_a_server_is_in_the_documentation() -> None:
    asks = {
        (each.name or str(getattr(each.callback, "__name__", ""))).replace("_", "-")
        for each in app.registered_commands
        if each.callback is not None and "lab" in inspect.signature(each.callback).parameters
    }
    assert asks - {"demo", "serve", "station"} == set(commands()) == set(WORDS)  # whose LAB is a kind of laboratory


def test_every_socket_is_in_the_documentation() -> None:
    opened = {
        str(path.relative_to(ROOT))
        for room in ("sdl", "devices", "planners", "simulators")
        for path in (ROOT / room).rglob("*.py")
        if "templates" not in path.parts and OPENS.search(path.read_text(encoding="utf-8"))
    }
    section = PAGE.partition("## Sockets")[2].partition("\n## ")[0]
    assert opened == set(re.findall(r"`((?:sdl|devices|planners|simulators)/[a-z_/]+\.py)`", section))


def test_every_command_against_every_role(asking: Asking, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has none of a command's roles is refused by it, and nothing changes."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.yaml").write_text("name: x\nplanner: sobol\nbudget: {trials: 1}\n", encoding="utf-8")
    asking.submit("ada", "films", start=False, visibility={"scope": "open"})
    before = asking.journal.head
    with listening(asking) as address:
        for name, roles in commands().items():
            for who, own in PEOPLE.items():
                if Role.READ in roles or set(own) & {*roles, Role.ADMIN}:
                    continue
                monkeypatch.setenv("SDL_TOKEN", asking.tokens[who])
                done = CliRunner().invoke(app, [name, *WORDS[name], "--lab", address], prog_name="sdl")
                assert done.exit_code != 0, (name, who, done.output)
                said = ("it takes the role", "there is no", "waits for nobody", "latched", "0 unknown trials")
                assert any(each in done.stderr for each in said), (name, who, done.stderr)
    assert asking.journal.head == before
