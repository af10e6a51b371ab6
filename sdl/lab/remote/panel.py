"""A question to a station that is no engine's: by a person, once."""

from __future__ import annotations

from pathlib import Path

import zmq

from sdl.errors import LabError
from sdl.journal.lock import WriteLock
from sdl.lab.remote.access import EVERY_ROLE
from sdl.lab.remote.book import Book
from sdl.lab.remote.doors import HERE
from sdl.lab.remote.gate import Gate
from sdl.lab.remote.link import StationLost, StationRefused
from sdl.lab.remote.messages import Give, Look, Refused, Seen, Take, Transfer, decode, encode
from sdl.lab.remote.sockets import Address, Doubt, connected

ANSWER_MS = 5_000
"""Milliseconds until a station must have answered a person."""

Question = Look | Take | Give | Transfer


def ask_once(station: str, address: Address, question: Question) -> Seen:
    """Ask the process of *station*, and return how it stands then.

    Raises
    ------
    StationLost
        It does not answer.
    StationRefused
        It does not do it: whoever asks may not, or it cannot be done now.
    """
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    socket = connected(context, address.work, address.keys)
    doubt = Doubt(socket)
    try:
        if not socket.poll(ANSWER_MS, zmq.POLLOUT):
            raise _silence(station, address, doubt.words())
        socket.send_multipart([b"1", encode(question)])
        if not socket.poll(ANSWER_MS):
            raise _silence(station, address, doubt.words())
        answer = decode(socket.recv_multipart()[-1])
    finally:
        doubt.close()
        socket.close()
        context.term()
    if isinstance(answer, Refused):
        raise StationRefused(answer, station)
    if not isinstance(answer, Seen) or answer.station != station:
        raise LabError(f"who answers at {address.work} is not station {station}", hint="look at the address")
    return answer


def _silence(station: str, address: Address, why: str) -> StationLost:
    reason = f": {why}" if why else ""
    return StationLost(f"station {station} does not answer at {address.work}{reason}", hint="is its process running?")


def ask_book(station: str, folder: Path, question: Question) -> Seen:
    """Do the same where no process of *station* runs: with its book in *folder*.

    Raises :class:`~sdl.errors.LabError` where there is none.
    """
    path = folder / f"{station}.book"
    if not path.exists():
        raise LabError(f"{folder} has no station {station}", hint="--folder is where its book is, --at its address")
    lock = WriteLock(folder / f"{station}.lock")
    book = Book(path)
    try:
        gate = Gate(book, "")
        match question:
            case Take():
                gate.take(question.by, question.because)
            case Give():
                gate.give(question.by, question.because)
            case Transfer():
                gate.transfer(question.by, question.because)
            case _:
                pass
    finally:
        book.close()
        lock.release()
    return Seen(
        station=station,
        boot="",
        client=HERE.name,
        roles=tuple(sorted(EVERY_ROLE)),
        store=gate.store[:8],
        epoch=gate.epoch,
        is_held=False,
        is_busy=False,
        by_hand=gate.by_hand,
        latch=gate.latch,
        reason=gate.latched_because,
    )
