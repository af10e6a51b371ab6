"""Into Tiled: the documents of a journal, replayed into a catalogue that others read over HTTP.

The journal stays the record. A run goes in when it has ended, under its uid; one that is there already is left as it
is, so that an export may be repeated while a campaign goes on, and takes what is new.
"""

from __future__ import annotations

import contextlib
import importlib
import socket
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sdl.errors import ProblemError, SdlError
from sdl.journal.protocol import Journal
from sdl.journal.records import DocumentEmitted
from sdl.lab.documents import NotFinite, plain
from sdl.lab.listener import run_of

Document = tuple[str, dict[str, Any]]

CONNECT_TIMEOUT = 10.0
"""Seconds in which a server must answer."""

URL = ("http://", "https://")


class TiledError(SdlError, RuntimeError):
    """A Tiled server cannot be reached, or does not take what it is given."""


@dataclass(frozen=True)
class Exported:
    """What an export did: runs that went in, that were there, and that have not ended."""

    n_new: int
    n_there: int
    n_open: int


@dataclass
class Run:
    """One bluesky run: its documents in order."""

    uid: str
    documents: list[Document] = field(default_factory=list[Document])


def ended_runs(journal: Journal, campaign: str | None = None) -> Iterator[Run | None]:
    """Yield every run of *journal* when it has ended, oldest end first; then None for each that has not.

    Numbers that JSON lacks are numbers again, where the run's descriptor says so.
    """
    open_runs: dict[str, Run] = {}
    owner: dict[str, str] = {}
    back = NotFinite()
    for event in journal.read(campaign=campaign, kinds=("document",)):
        body = event.body
        if not isinstance(body, DocumentEmitted):
            continue
        name, document = body.name, back(body.name, plain(body.document))
        uid = run_of(name, document, owner)
        if uid is None:
            continue
        open_runs.setdefault(uid, Run(uid)).documents.append((name, document))
        if name == "stop":
            yield open_runs.pop(uid)
    yield from [None] * len(open_runs)


def export_to_tiled(journal: Journal, target: str, *, campaign: str | None = None) -> Exported:
    """Replay the ended runs of *journal* into Tiled.

    A run that an earlier export has begun and not finished is taken out and written anew.

    Parameters
    ----------
    target
        The address of a server or of a container there, ``http://127.0.0.1:8000/api/v1?api_key=...`` (the key may also
        be in the variable ``TILED_API_KEY``), or a folder for a catalogue of its own, which a server can show.
    campaign
        Only the runs of this one.

    Raises
    ------
    ProblemError
        What the target needs is not installed.
    TiledError
        The server cannot be reached, refuses, or does not take a run.
    """
    with _client(target) as client:
        writer = _writer(client)
        n_new = n_there = n_open = 0
        for run in ended_runs(journal, campaign):
            if run is None:
                n_open += 1
            elif _is_there(client, run.uid):
                n_there += 1
            else:
                _write(writer, run)
                n_new += 1
    return Exported(n_new, n_there, n_open)


def _is_there(client: Any, uid: str) -> bool:
    """Whether the run is there in full; a part of it is taken out."""
    if uid not in client:
        return False
    if "stop" in client[uid].metadata:
        return True
    client.delete_contents(uid, recursive=True, external_only=False)
    return False


def _write(writer: Any, run: Run) -> None:
    try:
        for name, document in run.documents:
            writer(name, document)
    except Exception as error:  # other people's code, and a network: the run is told by name
        trial = run.documents[0][1].get("trial")
        raise TiledError(f"run {run.uid} of trial {trial}: {type(error).__name__}: {error}") from error


def _writer(client: Any) -> Any:
    return importlib.import_module("bluesky.callbacks.tiled_writer").TiledWriter(client)  # takes seconds


# --- where to ---------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _client(target: str) -> Generator[Any]:
    with contextlib.ExitStack() as stack:
        address = target if target.startswith(URL) else stack.enter_context(served(Path(target)))
        yield stack.enter_context(connected(address))


@contextlib.contextmanager
def connected(address: str) -> Generator[Any]:
    """Yield a client of the server or the container at *address*."""
    try:
        tiled: Any = importlib.import_module("tiled.client")  # takes seconds
    except ImportError as error:
        raise ProblemError(f"Tiled's client is not installed: {error}", hint="pip install 'sdl[tiled]'") from None
    try:
        _check_reachable(address)
        client: Any = tiled.from_uri(address)
    except Exception as error:  # a network, and whatever answers there
        raise TiledError(
            f"no Tiled server at {address.partition('?')[0]}: {error}",
            hint="is it running? the key is ?api_key=KEY or TILED_API_KEY",
        ) from error
    with contextlib.closing(client.context):
        yield client


def _check_reachable(address: str) -> None:
    """Raise OSError at once where nothing answers: Tiled's client would try for half a minute."""
    parts = urlsplit(address)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    with socket.create_connection((parts.hostname or "", port), CONNECT_TIMEOUT):
        pass


@contextlib.contextmanager
def served(folder: Path) -> Generator[str]:
    """Serve the catalogue in *folder* on a loopback port, and yield its address; make it where there is none."""
    try:
        tiled: Any = importlib.import_module("tiled.server")  # takes seconds
    except ImportError as error:
        raise ProblemError(
            f"a folder needs Tiled's server: {error}", hint="pip install 'tiled[server]', or export to a URL"
        ) from None
    server: Any = tiled.SimpleTiledServer(folder)
    with contextlib.closing(server):
        yield str(server.uri)
