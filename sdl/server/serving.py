"""Serving: where the server listens, who may reach it, and how it ends in order."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Callable
from types import FrameType

import uvicorn

from sdl.errors import AccessError
from sdl.problem.value import Value
from sdl.server.app import guarded, make_app
from sdl.server.house import House
from sdl.server.identities import Identity, Role, UsersFile, digest_of, new_token
from sdl.server.machine import is_local
from sdl.server.postman import Postman
from sdl.server.tracing import Tracing, provider

BACKLOG = 2048
"""Who may wait until they are let in."""

GRACE = 3
"""Wall seconds that lines get to end before the server cuts them."""

MOST_SIGNALS = 2
"""After more it serves nobody any more; what was aborted is waited for all the same, so that devices come to rest."""

Tell = Callable[[str], object]
"""Says a line to whoever started the server."""


class Address(Value):
    """Where the server listens.

    Parameters
    ----------
    host, port
        The address, and the port; 0: one that the system chooses.
    hosts
        More names under which people reach it.
    certificate, key
        The files that make it speak HTTPS.
    is_plain
        Whether it may speak HTTP to other machines: behind a proxy that speaks HTTPS for it.
    """

    host: str = "127.0.0.1"
    port: int = 8400
    hosts: tuple[str, ...] = ()
    certificate: str | None = None
    key: str | None = None
    is_plain: bool = False

    @property
    def is_local(self) -> bool:
        """Whether only this machine reaches it."""
        return is_local(self.host)

    def check(self, users: UsersFile) -> None:
        """Raise :class:`~sdl.errors.AccessError` where other machines would reach a server that is not ready for it."""
        if self.is_local:
            return
        folder = users.path.parent
        if not users.read().identities:
            raise AccessError(
                f"{self.host} is reached by other machines, and nobody is known here",
                hint=f"make somebody first: sdl users add NAME --role admin --folder {folder}",
            )
        if self.certificate is None and not self.is_plain:
            raise AccessError(
                f"{self.host} is reached by other machines, and tokens would cross the network in the clear",
                hint="give --certificate and --key, or say --plain where a proxy in front speaks HTTPS",
            )


def first_user(users: UsersFile, name: str) -> str | None:
    """Make whoever starts the server the administrator where nobody is known; return the token, to be shown once."""
    if users.read().identities:
        return None
    token = new_token()
    users.add(Identity(name=name, roles=(Role.ADMIN,), autonomy=4, token=digest_of(token)))
    return token


class _Server(uvicorn.Server):
    """Ends campaigns in order: the first signal lets running trials end, and it serves until they have; the second
    aborts them.
    """

    def __init__(self, config: uvicorn.Config, house: House, let_go: Callable[[], None], tell: Tell) -> None:
        super().__init__(config)
        self._house = house
        self._let_go = let_go
        self._tell = tell
        self._n_signals = 0

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 # as uvicorn calls it
        """See to a signal. It interrupts any line, also one that holds a lock which is needed: others do the work."""
        self._n_signals += 1
        if self._n_signals == 1:
            threading.Thread(target=self._leave, name="sdl-leave", daemon=True).start()
        else:
            threading.Thread(target=self._house.host.abort, args=("interrupted twice",), name="sdl-interrupt").start()
        if self._n_signals > MOST_SIGNALS:
            self.should_exit = True

    def _leave(self) -> None:
        """Begin nothing more; when what runs has ended, end."""
        try:
            self._house.stop()
            self._tell("ending: what runs ends first, and people can still answer; Ctrl-C again aborts it")
            self._house.wait()
        finally:
            self.should_exit = True

    async def main_loop(self) -> None:
        """Serve; then end the lines of those who watch, which would go on for ever."""
        await super().main_loop()
        self._let_go()


def _not_told(_line: str) -> None:
    """Say nothing."""


def serve(house: House, address: Address, say: Tell, tell: Tell = _not_told) -> None:
    """Serve *house* until a signal ends it. Blocks; the house is open before, and closed by the caller after.

    The first SIGINT or SIGTERM begins no more trials, and the server goes on until those that run have ended, so that
    people can answer what they wait for and are told how they end. The second aborts them.

    Parameters
    ----------
    say
        Told of the address when the server listens.
    tell
        Told, from another thread, that the first signal has come.
    """
    address.check(house.users)
    told = postman(house)
    traced = Tracing(house.journal, house.lab.name, provider(house.lab.name))
    app = make_app(house)
    config = uvicorn.Config(
        guarded(app, house, hosts=(address.host, *address.hosts)),
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ws="none",
        timeout_keep_alive=20,
        timeout_graceful_shutdown=GRACE,
        limit_concurrency=1000,
        h11_max_incomplete_event_size=65_536,
        http="h11",
        ssl_certfile=address.certificate,
        ssl_keyfile=address.key,
    )
    listener = _listen(address)
    scheme = "http" if address.certificate is None else "https"
    host, port = listener.getsockname()[:2]
    say(f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}/")
    server = _Server(config, house, app.state.newsroom.let_go, tell)
    for number in (signal.SIGINT, signal.SIGTERM):  # also before uvicorn handles them, and after
        signal.signal(number, server.handle_exit)
    try:
        with told, traced:
            server.run(sockets=[listener])
    finally:
        listener.close()


def postman(house: House) -> Postman:
    """Return who tells people what happens in the laboratory, as its file says."""
    file = house.laboratory
    clock = house.lab.clock
    return Postman(
        file.file.notices, house.journal, house.folder, lab=house.lab.name, time=clock.time, base=file.folder
    )


def _listen(address: Address) -> socket.socket:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((address.host, address.port))
        listener.listen(BACKLOG)  # who asks before the server is ready waits, and is not turned away
    except OSError:
        listener.close()
        raise
    return listener
