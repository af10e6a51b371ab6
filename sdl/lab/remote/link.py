"""The engine's end of the wire: one thread that beats and aborts, and requests that are answered or given up."""

from __future__ import annotations

import itertools
import logging
import math
import queue
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import zmq

from sdl.errors import LabError, SdlError, TransportError
from sdl.lab.remote.messages import (
    Abort,
    Beat,
    Bye,
    Hello,
    Malformed,
    Pulse,
    Refused,
    Welcome,
    decode,
    encode,
    printable,
)
from sdl.lab.remote.relay import EngineEnd
from sdl.lab.remote.sockets import Address, Doubt, Waker, connected
from sdl.problem.value import Value

REPLY_TIMEOUT = 5.0
"""Seconds for an answer that needs no device."""

LOOK = 0.1
"""Seconds between two looks at the station's process, at most."""

RETRY = 0.25
"""Seconds between two tries to reach a station that is not there yet."""

GOODBYE = 1.0
"""Seconds that an abort or a bye gets to leave, before the link is given up."""

ANEW = "it was started anew"

N_OFFSETS = 64
"""The last so many answers say how far the clocks are apart: quartz may drift by a second in hours."""


_LOG = logging.getLogger("sdl.lab.remote")


class StationLost(TransportError):
    """The station's process is gone or silent, or does not belong to this engine any more."""


class StationRefused(LabError):
    """The station refuses, and nothing has moved."""

    def __init__(self, refused: Refused, station: str) -> None:
        super().__init__(f"station {station}: {refused.reason}", hint=refused.hint)
        self.code, self.epoch = refused.code, refused.epoch


def _knows_none(_epoch: int) -> str:
    return ""


@dataclass(frozen=True)
class Session:
    """Who the engine is: the store that it writes, and the how manyeth to do so; and how long silence may last.

    ``hash`` is that of the event with the number ``epoch``, ``past`` finds that of an earlier one.
    """

    store: str
    epoch: int
    lease: float
    hash: str = ""
    past: Callable[[int], str] = _knows_none


class Offset:
    """How much the station's monotonic clock is ahead of this one: rather too little than too much.

    An answer is older than the moment at which it comes, so each says too little, by the time that it was on its way.
    Only the last answers count, because two clocks never run equally fast.
    """

    def __init__(self) -> None:
        self._found: deque[float] = deque(maxlen=N_OFFSETS)
        self.least = 0.0

    def note(self, theirs: float, ours: float) -> None:
        """An answer that says *theirs* came at *ours*."""
        self._found.append(theirs - ours)
        self.least = min(self._found)


class Link:
    """Connects to a station, and keeps its lease until :meth:`close`.

    All methods are for one thread, but :meth:`abort`, which takes no lock and may come from any.

    Parameters
    ----------
    station, address, session
        Who speaks to whom.
    is_alive
        Whether the station's process is, where that is known.
    now
        Monotonic seconds.
    """

    def __init__(
        self, station: str, address: Address, session: Session, is_alive: Callable[[], bool], now: Callable[[], float]
    ) -> None:
        self.station = station
        self.session = session
        self.boot = ""
        self.lost = ""
        self.latch = ""
        self.latched_because = ""
        self.relay: EngineEnd | None = None
        self.on_latch: Callable[[str, str], None] | None = None
        self.on_lost: Callable[[str], None] | None = None
        self._is_alive = is_alive
        self._now = now
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._address = address
        self._pulse_point = address.pulse
        self._socket = connected(self._context, address.work, address.keys)
        self._doubt = None if address.keys is None else Doubt(self._socket)
        self._numbers = itertools.count(1)
        self._events: deque[Value] = deque()
        self._offset = Offset()
        self._heard = 0.0
        self._aborts: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._waker = Waker()
        self._is_closed = False
        self._is_urgent = False
        self._pulse = threading.Thread(target=self._beat, name=f"sdl-{station}-pulse", daemon=True)

    def open(self, seconds: float, is_over: Callable[[], bool] = lambda: False) -> Welcome:
        """Say hello until the station answers, and begin to beat. Where *is_over*, nobody wants it any more.

        Raises
        ------
        StationLost
            It has not answered within *seconds*.
        StationRefused
            It belongs to another store, or to a later epoch.
        """
        deadline = self._now() + seconds
        session = self.session
        hello = Hello(
            station=self.station, store=session.store, epoch=session.epoch, lease=session.lease, session=session.hash
        )
        while True:
            try:
                welcome: Welcome = self.ask(hello, RETRY)
                break
            except StationRefused as refused:
                if refused.code != "history" or hello.past or not (past := session.past(refused.epoch)):
                    raise
                hello = hello.replace(past=past)
            except StationLost:
                pass
            if self._now() > deadline or is_over() or not self._is_alive():
                self._take_back()
                raise self._silence()
        self.boot, self._heard = welcome.boot, self._now()
        self._offset.note(welcome.now, self._heard)
        self._pulse_point = self._address.pulse_at(welcome.pulse)
        self._pulse.start()
        return welcome

    def _take_back(self) -> None:
        """Say bye after a hello that may be answered yet: else the station would miss this engine, and latch."""
        self._socket.setsockopt(zmq.LINGER, int(1000 * GOODBYE))
        with suppress(StationLost):  # nobody is there, and so nobody has the hello
            self.send(Bye(store=self.session.store, epoch=self.session.epoch))

    def _silence(self) -> StationLost:
        why = "" if self._doubt is None else self._doubt.words()
        if why:
            return StationLost(
                f"station {self.station} at {self._address.work} does not speak with this engine: {why}",
                hint="sdl keys, on both computers, lists who has which key",
            )
        return StationLost(
            f"station {self.station} does not answer", hint="is its process running? sdl station LAB --station NAME"
        )

    def close(self) -> None:
        """Let the sockets and the thread go."""
        self._is_closed = True
        self._waker.wake()
        if self._pulse.ident is not None:
            self._pulse.join()
        if self._doubt is not None:
            self._doubt.close()
        self._socket.close()
        self._context.term()
        self._waker.close()

    # --- requests -------------------------------------------------------------------------------------------------

    def expires(self, seconds: float) -> float:
        """Return the station's time *seconds* from now, rather too early than too late."""
        return self._now() + self._offset.least + seconds

    def send(self, message: Value) -> bytes:
        """Send *message* now, and return its number. Raises :class:`StationLost` where nobody is there to take it."""
        number = str(next(self._numbers)).encode()
        self.check()
        try:
            self._socket.send_multipart([number, encode(message)], zmq.DONTWAIT)
        except zmq.Again:
            raise StationLost(f"station {self.station} takes nothing") from None
        return number

    def ask(self, message: Value, seconds: float = REPLY_TIMEOUT) -> Any:
        """Send *message* and return the answer; events that come meanwhile wait.

        Raises
        ------
        StationLost
            There is no answer within *seconds*. Whether the station has done what it was told is not known then.
        StationRefused
            It has not.
        """
        deadline = self._now() + seconds
        number = self._sent(message, deadline)
        while (left := deadline - self._now()) > 0:
            self.check()
            found = self._receive(min(left, 0.05))
            if found is None:
                continue
            if found[0] == number:
                if isinstance(found[1], Refused):
                    raise StationRefused(found[1], self.station)
                return found[1]
            if not found[0]:
                self._events.append(found[1])
        raise StationLost(f"station {self.station} has not answered a {getattr(message, 'kind', '')} message in time")

    def _sent(self, message: Value, deadline: float) -> bytes:
        while True:
            try:
                return self.send(message)
            except StationLost:
                self.check()
                if self._now() > deadline:
                    raise
                threading.Event().wait(0.02)

    def event(self, seconds: float) -> Value | None:
        """Return the next event; None where there is none within *seconds*."""
        if self._events:
            return self._events.popleft()
        found = self._receive(seconds)
        return None if found is None or found[0] else found[1]

    def _receive(self, seconds: float) -> tuple[bytes, Value] | None:
        if not self._socket.poll(int(seconds * 1000)):
            return None
        frames = self._socket.recv_multipart()
        if len(frames) != 3:
            return None
        number, boot, data = frames
        if self.boot and boot != self.boot.encode():
            self.lost = self.lost or ANEW
            return None
        with suppress(Malformed):
            return number, decode(data)
        return None

    def check(self) -> None:
        """Raise :class:`StationLost` where the station is."""
        if self.lost:
            raise StationLost(f"station {self.station} is lost: {self.lost}")

    # --- heartbeats and aborts, on a thread of their own ----------------------------------------------------------

    def beat_now(self) -> None:
        """Say at once what an interlock has tripped. Waits for nothing; from any thread."""
        self._is_urgent = True
        self._waker.wake()

    def abort(self, reason: str) -> None:
        """Have the station stop everything. Takes no lock, and waits for nothing."""
        self._aborts.put(printable(reason))
        self._waker.wake()

    def give_up(self, why: str) -> None:
        """Have the station stop everything, and take it for lost: nobody knows what it does."""
        self.abort(why)
        deadline = self._now() + GOODBYE
        while not self._aborts.empty() and not self.lost and self._now() < deadline:
            threading.Event().wait(0.02)
        self.lost = self.lost or why

    def _beat(self) -> None:
        socket = connected(self._context, self._pulse_point, self._address.keys)
        poller = zmq.Poller()
        poller.register(socket, zmq.POLLIN)
        poller.register(self._waker.reader, zmq.POLLIN)
        due = 0.0
        try:
            while not self._is_closed and not self.lost:
                self._send_aborts(socket)
                if self._is_urgent or self._now() >= due:
                    self._is_urgent = False
                    is_said = self._say(socket, self._beat_to_say())
                    due = self._now() + (self._period if is_said else min(self._period, LOOK))
                poller.poll(max(1, int(min(LOOK, due - self._now()) * 1000)))
                self._waker.clear()
                while socket.poll(0):
                    self._felt(socket.recv_multipart())
                self._look()
        except Exception as error:  # noqa: BLE001 # a link that does not beat is none, and whoever uses it is to know
            _LOG.exception("the link to station %s ends", self.station)
            self.lost = self.lost or f"the link to it failed: {type(error).__name__}: {error}"
        finally:
            socket.close()
            if self.lost and self.on_lost is not None:
                self.on_lost(self.lost)

    @property
    def _period(self) -> float:
        usual = self.session.lease / 5
        return usual if self.relay is None else min(usual, self.relay.period)

    def _beat_to_say(self) -> Beat:
        beat = Beat(store=self.session.store, epoch=self.session.epoch, boot=self.boot)
        return beat if self.relay is None else self.relay.beat(beat)

    def _send_aborts(self, socket: zmq.Socket[bytes]) -> None:
        with suppress(queue.Empty):
            while True:
                reason = self._aborts.get_nowait()
                abort = Abort(store=self.session.store, epoch=self.session.epoch, reason=reason)
                if not self._say(socket, abort):  # the line is not up yet, or again
                    self._aborts.put(reason)
                    return

    def _say(self, socket: zmq.Socket[bytes], message: Value) -> bool:
        try:
            socket.send_multipart([repr(self._now()).encode(), encode(message)], zmq.DONTWAIT)
        except zmq.Again:
            return False
        return True

    def _felt(self, frames: list[bytes]) -> None:
        try:
            pulse = decode(frames[-1])
        except Malformed:
            return
        if not isinstance(pulse, Pulse):
            return
        now = self._now()
        if pulse.boot != self.boot:
            self.lost = ANEW
        elif pulse.is_spent:
            self.latch, self.latched_because = pulse.latch, pulse.reason
            self.lost = pulse.reason or "its lease has ended"
        elif self.relay is not None:
            self._heed(self.relay, frames[0], pulse)
        self._heard = now
        self._offset.note(pulse.now, now)

    def _heed(self, relay: EngineEnd, sent: bytes, pulse: Pulse) -> None:
        """Take what the pulse tells of signals and trips; it answers the beat that was *sent* then."""
        try:
            relay.felt(pulse, _seconds(sent))
        except SdlError as error:  # units that do not fit
            self.lost = f"an interlock does not fit it: {error.message}"
        if pulse.tripped and pulse.latch and self.on_latch is not None:
            self.on_latch(pulse.latch, next(iter(pulse.tripped)))

    def _look(self) -> None:
        if self.relay is not None:
            self.relay.look()
        if not self._is_alive():
            self.lost = "its process has ended"
        elif self._now() - self._heard > self.session.lease and not self.lost:
            self.lost = f"it was silent for {self.session.lease:g} s"


def _seconds(sent: bytes) -> float:
    """Return the time that a pulse repeats; not a number where it is none."""
    try:
        return float(sent)
    except ValueError:
        return math.nan
