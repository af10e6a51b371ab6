"""``sdl serve``: a laboratory for many people and campaigns."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from sdl.commands.output import say, tell
from sdl.errors import LabError


class Where(NamedTuple):
    """Where the server listens; see :class:`sdl.server.serving.Address`."""

    host: str = "127.0.0.1"
    port: int = 8400
    names: tuple[str, ...] = ()
    certificate: Path | None = None
    key: Path | None = None
    is_plain: bool = False


def serve(lab: str, folder: Path, where: Where) -> None:
    """Serve the laboratory until Ctrl-C."""
    try:
        from sdl.server.serving import Address, first_user, serve
    except ModuleNotFoundError as error:
        raise LabError(f"a server needs {error.name}", hint="pip install 'sdl[serve]'") from None
    from sdl.campaign.recorder import process_user
    from sdl.server.house import House
    from sdl.server.identities import UsersFile
    from sdl.server.laboratory import load_laboratory

    address = Address(
        host=where.host,
        port=where.port,
        hosts=where.names,
        certificate=None if where.certificate is None else str(where.certificate),
        key=None if where.key is None else str(where.key),
        is_plain=where.is_plain,
    )
    laboratory = load_laboratory(lab)
    address.check(UsersFile(folder))
    house = House(laboratory, folder)
    try:
        token = first_user(house.users, process_user())

        def listening(at: str) -> None:
            say(f"{house.lab.name} at {at}{f'#token={token}' if token else ''}")
            if token:
                say(f"this link is for {process_user()}, and is not shown again; sdl users makes more")
            say("Ctrl-C lets the running trials end; twice aborts them. No safety function: emergency stops are wired.")

        house.open()
        serve(house, address, listening, tell)
    finally:
        house.close()
