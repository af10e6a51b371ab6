"""The process of a station: what it is asked and told, on one thread; heartbeats and aborts, on another.

The station itself is the ordinary one, with its RunEngine, its guard and its safety. Around it are the
:mod:`gate <sdl.lab.remote.gate>`, which lets nothing act twice, and the :mod:`stream <sdl.lab.remote.stream>` to the
engine. The main thread never waits for a device, the other one never for a disk.
"""

from __future__ import annotations

import functools
import inspect
import logging
import queue
import threading
import uuid
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import zmq
from pydantic import JsonValue

from sdl.errors import InterlockError, LabError, SdlError
from sdl.journal.lock import WriteLock
from sdl.journal.safety import LatchSet, SafetyBody
from sdl.lab.actions import ActRecord, Evidence, device_called
from sdl.lab.batch import Prepared
from sdl.lab.elsewhere import devices_elsewhere
from sdl.lab.job import Job, JobResult
from sdl.lab.lab import Lab
from sdl.lab.latches import check_person
from sdl.lab.remote.access import Client, ServerKeys, lacking
from sdl.lab.remote.attempt import Attempt, command_of, held_places, key_of, places_of
from sdl.lab.remote.book import Book
from sdl.lab.remote.data import act_from_data, given_from_data
from sdl.lab.remote.doors import HERE, Doors, Letter, Peer, send
from sdl.lab.remote.gate import Act, Gate, Refusal
from sdl.lab.remote.messages import (
    Abort,
    Accepted,
    Ack,
    Answer,
    Ask,
    Beat,
    Bye,
    Found,
    Give,
    Hello,
    Hold,
    Look,
    Malformed,
    Probe,
    Pulse,
    Rearm,
    Refused,
    Run,
    Seen,
    Take,
    Transfer,
    Welcome,
    decode,
    printable,
)
from sdl.lab.remote.plans import Given, find_plan, numbers_of
from sdl.lab.remote.relay import StationEnd
from sdl.lab.remote.safe import check_lab, reactions_of, rules_of
from sdl.lab.remote.sockets import Address, Waker, prepare_folder, two_ports
from sdl.lab.remote.stream import Stream
from sdl.lab.station import Station
from sdl.problem.value import Value

POLL = 0.05
"""Seconds between two looks at the lease, at most."""

ORPHANED = 60.0
"""Seconds that a station started by an engine waits for its first word."""

SILENT = "the engine went silent past its lease"

FAILED = "the station's process has failed"

SETTLING = 1.0
"""Seconds in which devices begin to be made safe, before the process ends."""

N_LETTERS = 64
"""Letters that are read at one socket before the others have their turn."""

BREATH = 0.01
"""Seconds after an error that was only noted."""

PROBE_TIMEOUT = 300.0
"""Seconds that a device's probe may take."""

_LOG = logging.getLogger("sdl.lab.remote")


class StationServer:
    """Hosts one station of *lab*.

    Parameters
    ----------
    lab
        The laboratory, made in this process; only the station's devices are connected.
    station
        Which.
    folder
        Where its sockets and its book are. It belongs to the instruments, and outlives every campaign.
    ends_with_engine
        Whether the process ends when its engine is gone, once the devices are safe.
    listen, keys
        ``tcp://HOST:PORT`` in place of socket files, with the station's keys and those of its clients.

    Raises
    ------
    LabError
        A device that acts declares no safe action, the laboratory is virtual, another process hosts the station, or a
        socket cannot be had.
    """

    def __init__(
        self,
        lab: Lab,
        station: str,
        folder: Path,
        *,
        ends_with_engine: bool = False,
        listen: str = "",
        keys: ServerKeys | None = None,
    ) -> None:
        check_lab(lab, (station,))
        self._lab = lab
        self._station: Station = lab.stations[station]
        self._station.elsewhere = devices_elsewhere(lab.stations.values(), (self._station,))
        self._reactions = reactions_of(lab, station)
        self._relay = StationEnd(station, lab.interlocks, lab.stations)
        lab.interlocks.listener = self._tripped
        prepare_folder(folder)
        self._lock = WriteLock(folder / f"{station}.lock")
        self._book = Book(folder / f"{station}.book")
        self.boot = str(uuid.uuid4())
        self._gate = Gate(self._book, self.boot)
        self._guarding = threading.RLock()
        self._ends_with_engine = ends_with_engine
        self._now = lab.clock.monotonic
        self._waker = Waker()
        self._orders: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._work: Attempt | None = None
        self._owner: Peer | None = None
        self._prepared = (0, 0)
        self._is_ending = False
        self._is_orphan = False
        self._began = self._now()
        self.on_document: Callable[[str, dict[str, Any]], None] | None = None
        self._doors = Doors(Address.under(folder, station), two_ports(listen) if listen else None, keys)

    @property
    def points(self) -> tuple[str, str]:
        """Where it is reached: first what is asked and told, then what nothing blocks."""
        return self._doors.points

    def transfer(self, by: str, because: str) -> None:
        """Let another store have the station, as the person *by* says."""
        self._gate.transfer(by, because)

    def serve(self) -> None:
        """Serve until :meth:`end`, or until the engine is gone where the station ends with it."""
        pulse = threading.Thread(target=self._pulse, name="sdl-pulse", daemon=True)
        pulse.start()
        poller = zmq.Poller()
        for socket in self._doors.asked:
            poller.register(socket, zmq.POLLIN)
        poller.register(self._waker.reader, zmq.POLLIN)
        try:
            while not self._is_ending:
                poller.poll(int(POLL * 1000))
                self._turn()
        except BaseException:
            _LOG.exception("station %s makes its devices safe, and ends", self._station.name)
            self._fail()
            raise
        finally:
            self._is_ending = True
            pulse.join()
            self._close()

    def end(self) -> None:
        """End serving. From any thread, and in a signal handler."""
        self._is_ending = True
        self._waker.wake()

    def _fail(self) -> None:
        """Nobody serves any more: the devices go where they are safe, and the process waits for them."""
        with _logged("the lapse"):
            self._lapse(FAILED)
        with _logged("the latch"):  # it may be the disk that has failed
            self._latch(FAILED)
        begun = self._now()
        while not self._is_ending and (self._is_on_its_way or self._now() - begun < SETTLING):
            threading.Event().wait(POLL)

    @property
    def _is_on_its_way(self) -> bool:
        return self._station.is_busy or self._station.is_making_safe

    def _close(self) -> None:
        if self._work is not None:
            self._work.stream.end("the station's process ends")  # nobody takes what is told from here on
        self._lab.close()
        with _logged("the latch"):
            self._do_orders()  # the book is to have it
        self._doors.close()
        self._waker.close()
        self._book.close()
        self._lock.release()

    # --- the main thread: what is asked and told ------------------------------------------------------------------

    def _turn(self) -> None:
        self._waker.clear()
        self._do_orders()
        self._doors.refresh()
        for socket in self._doors.asked:
            for _ in range(N_LETTERS):  # whoever floods it keeps nobody else waiting
                if self._is_ending or not socket.poll(0):
                    break
                self._receive(socket)
        if self._work is not None and self._owner is not None:
            for event in self._work.stream.due():
                self._send(self._owner, b"", event)
        is_alone = self._is_orphan or (self._owner is None and self._now() - self._began > ORPHANED)
        if self._ends_with_engine and is_alone and not self._is_on_its_way:
            self._is_ending = True

    def _do_orders(self) -> None:
        while not self._orders.empty():  # one thread takes them
            self._orders.get_nowait()()

    def _receive(self, socket: zmq.Socket[bytes]) -> None:
        letter = self._doors.receive(socket)
        if letter is None:
            return
        answer: Value | None
        try:
            answer = self._answer(letter)
        except Refusal as refusal:
            epoch = self._gate.epoch if refusal.code == "history" else 0
            answer = Refused(code=refusal.code, reason=refusal.message, hint=refusal.hint, epoch=epoch)
        except Malformed as error:
            answer = Refused(code="malformed", reason=error.message)
        except SdlError as error:
            answer = Refused(code="failed", reason=error.message)
        except Exception as error:  # noqa: BLE001 # the border: whatever is sent, the station goes on to serve
            _LOG.exception("station %s cannot answer", self._station.name)
            answer = Refused(code="malformed", reason=f"{type(error).__name__}: {error}")
        if answer is not None:
            self._send(letter.peer, letter.number, answer)

    def _send(self, to: Peer, number: bytes, message: Value) -> None:
        with _logged("a message"):  # one that has no form on the wire costs its answer, and not the station
            send(to, number, self.boot.encode(), message)

    def _answer(self, letter: Letter) -> Value | None:  # noqa: PLR0911 # one line a message
        peer, message = letter.peer, allowed(letter)
        match message:
            case Hello():
                return self._hello(peer, message)
            case Run():
                return self._run(peer, message)
            case Hold():
                return self._hold(message)
            case Ack():
                self._acknowledged(message)
                return None
            case Ask():
                return self._ask(message)
            case Probe():
                return self._probe(peer, letter.number, message)
            case Rearm():
                return self._rearm(message)
            case Bye():
                return self._bye(message)
            case Look():
                return self._seen(peer.client)
            case Take() | Give() | Transfer():
                return self._by_hand(peer, message)
            case _:
                raise Refusal("malformed", f"a station takes no {message.kind}")

    def _hello(self, peer: Peer, hello: Hello) -> Value:
        if hello.station != self._station.name:
            raise Refusal("station", f"this is station {self._station.name}, and not {hello.station}")
        self._gate.check_history(hello.store, hello.epoch, session=hello.session, past=hello.past)
        self._station.connect()
        with self._guarding:
            self._gate.check_history(hello.store, hello.epoch, session=hello.session, past=hello.past)
            is_running = self._work is not None and not self._work.is_over
            if is_running or self._gate.is_lost(self._now()):  # whoever says hello knows nothing of the step
                self._lapse("its engine was gone while a step ran" if is_running else SILENT)
                self._latch("the engine was gone while a step ran" if is_running else SILENT)
            self._gate.hello(hello.store, hello.epoch, hello.lease, self._now(), session=hello.session, past=hello.past)
            if self._work is not None:
                self._work.stream.end("its engine is gone")
        self._relay.leave()
        self._owner, self._is_orphan = peer, False
        return self._welcome()

    def _welcome(self) -> Welcome:
        port = self._doors.pulse_port
        return _welcome(self._gate, self._station.name, rules_of(self._lab), now=self._now(), port=port)

    def _rearm(self, message: Rearm) -> Value:
        with self._guarding:
            self._gate.check_present(message.store, message.epoch)
            if self._station.is_making_safe:
                raise Refusal("latched", "devices are still on their way to be safe")
            if self._gate.rearm(message.latch, message.by, message.because):
                self._lab.interlocks.release(self._station.name)
        return self._welcome()

    def _bye(self, message: Bye) -> Value:
        with self._guarding:
            if self._work is not None and not self._work.is_over:
                raise Refusal("busy", "a step is under way")
            self._gate.let_go(message.store, message.epoch)
        self._is_orphan = True
        self._relay.leave()
        return self._welcome()

    # --- a person -------------------------------------------------------------------------------------------------

    def _by_hand(self, peer: Peer, message: Take | Give | Transfer) -> Value:
        """Do what a person says who stands at the instrument, or who has the keys for it."""
        check_person(message.by, message.because)
        by = message.by if peer.client is HERE else f"{message.by} (key {peer.client.name})"
        with self._guarding:
            match message:
                case Take():
                    self._lapse(self._gate.take(by, message.because))
                case Give():
                    self._gate.give(by, message.because)
                case _:
                    if self._gate.holds(self._now()):
                        raise Refusal("busy", "an engine has the station", hint="end its campaign first")
                    self._gate.transfer(by, message.because)
        return self._seen(peer.client)

    def look(self) -> tuple[Seen, bool]:
        """Say how it stands, and whether devices are on their way to be safe, to a display. From any thread."""
        return self._seen(HERE), self._station.is_making_safe

    def _seen(self, client: Client) -> Seen:
        return _seen(self._station, self.boot, self._gate, client, self._now())

    # --- steps ----------------------------------------------------------------------------------------------------

    def _run(self, peer: Peer, run: Run) -> Value:
        self._gate.check_present(run.store, run.epoch)
        if run.job in self._gate.jobs:
            if self._work is not None and self._work.run.job == run.job:
                return Accepted(job=run.job)  # it was sent twice; what it does is told once
            raise Refusal("seen", f"step {run.job} was begun before")
        if self._station.is_busy or (self._work is not None and not self._work.is_over):
            raise Refusal("busy", "another step is under way")
        plan, setup, given = _taken_up(run)
        with self._guarding:
            self._gate.admit(run.job, command_of(run), run.sequence, self._now(), *places_of(run))
        self._owner = peer
        numbers = numbers_of(run.md)
        if numbers != self._prepared:
            self._prepared = numbers
            self._lab.prepare(*numbers)
        stream = Stream(self._waker.wake, self._now)
        work = self._work = Attempt(run, stream, self._gate, self._guarding, self._now)
        if setup is not None and not work.is_ready():
            plan = Prepared(setup, plan, self._now, work.note_setup)
        self._station.submit(
            Job(
                plan=functools.partial(plan, self._lab, given),
                md=run.md,
                on_document=functools.partial(self._documented, work),
                on_act=work.act,
                on_done=work.done,
                timeout=run.timeout,
                n_acts_before=run.n_acts_before,
            )
        )
        return Accepted(job=run.job)

    def _hold(self, hold: Hold) -> Value:
        """Say whether a step of another station may hold this one. Its engine gives it nothing else to do meanwhile."""
        if self._station.is_busy or (self._work is not None and not self._work.is_over):
            raise Refusal("busy", "another step is under way")
        with self._guarding:
            self._gate.check_hold(command_of(hold), self._now(), *held_places(hold))
        return Accepted(job="")

    def _documented(self, work: Attempt, name: str, document: dict[str, Any]) -> None:
        work.document(name, document)
        if self.on_document is not None:
            self.on_document(name, document)

    def _acknowledged(self, ack: Ack) -> None:
        self._gate.check_present(ack.store, ack.epoch)
        work = self._work
        if work is None or work.run.job != ack.job:
            return
        work.words.setdefault(ack.number, ack.expires)
        work.stream.acknowledge(ack)

    def _ask(self, ask: Ask) -> Value:
        with self._guarding:
            self._gate.check_present(ask.store, ask.epoch)
            known = self._gate.query_or_cancel(key_of(ask.store, ask.campaign, ask.act, ask.mark))
        return _answered(ask.act, known, is_busy=self._station.is_busy)

    # --- the device's own probe -----------------------------------------------------------------------------------

    def _probe(self, peer: Peer, number: bytes, message: Probe) -> Value | None:
        self._gate.check_present(message.store, message.epoch)
        act = act_from_data(message.record)
        probe = getattr(device_called(act.device, self._station.devices), "reconcile", None)
        if not callable(probe):
            return Found(answer="")
        if self._station.is_busy:
            raise Refusal("busy", "a step is under way")

        def done(result: JobResult) -> None:
            found = _found(result, act)
            self._orders.put(lambda: self._send(peer, number, found))
            self._waker.wake()

        md: dict[str, JsonValue] = {"trial": act.trial, "step": "reconcile"}
        self._station.submit(Job(_asking(cast("Callable[[ActRecord], Any]", probe), act), md=md, on_done=done))
        return None

    # --- the other thread: heartbeats and aborts ------------------------------------------------------------------

    def _pulse(self) -> None:
        while not self._is_ending:
            with _logged("a heartbeat"):
                self._listen()
            with _logged("a lapse"):
                if self._gate.is_lost(self._now()):
                    self._orders.put(lambda: self._latch(SILENT))
                    self._lapse(SILENT)
                    self._waker.wake()

    def _listen(self) -> None:
        socket = self._doors.pulse
        if socket.poll(int(POLL * 1000)) and (letter := self._doors.receive(socket)) is not None:
            self._felt(letter)

    def _felt(self, letter: Letter) -> None:
        try:
            message = allowed(letter)
        except (Malformed, Refusal):
            return
        if not isinstance(message, Beat | Abort):
            return
        is_ours = self._gate.beat(message.store, message.epoch, self._now())
        if isinstance(message, Abort) and message.epoch >= self._gate.epoch and message.store == self._gate.store:
            self._abort(message.reason)
        work = self._work
        pulse = _pulse(self._gate, work, self._now(), is_spent=not is_ours)
        if is_ours and isinstance(message, Beat):
            self._relay.felt(message, self._now())
            pulse = self._relay.pulse(pulse)
        self._send(letter.peer, letter.number, pulse)

    def _abort(self, reason: str) -> None:
        if self._work is not None:
            self._work.stream.abort(f"the step was aborted: {reason}")
        self._station.abort(reason)

    def _lapse(self, reason: str) -> None:
        """The engine is gone: no act begins any more, and the devices go where they are safe. Waits for no disk."""
        self._gate.is_held = False
        self._relay.leave()
        error = InterlockError(f"station {self._station.name}: {reason}", hint="run the campaign again")
        if self._work is not None:
            self._work.stream.abort(reason)
        self._station.make_safe(self._reactions, error)
        if self._work is not None:
            self._work.stream.end(reason)
        self._is_orphan = True

    def _tripped(self, bodies: Sequence[SafetyBody]) -> None:
        """An interlock has tripped, and the devices are told: the book is to know. From any thread."""
        for body in bodies:
            if isinstance(body, LatchSet):
                self._orders.put(functools.partial(self._latch, body.reason))
                self._waker.wake()

    def _latch(self, reason: str) -> None:
        with self._guarding:
            self._gate.close(printable(reason))


@contextmanager
def _logged(what: str) -> Generator[None]:
    """Have an error end *what*, and nothing else."""
    try:
        yield
    except Exception:  # noqa: BLE001 # whatever it is
        _LOG.exception("%s has failed", what)
        threading.Event().wait(BREATH)  # so that one that fails again and again leaves time to the others


def _taken_up(run: Run) -> tuple[Callable[..., Any], Callable[..., Any] | None, Given]:
    """Return the plans of a step and of the changeover before it, and what they get; Refusal for what is none."""
    try:
        return find_plan(run.plan), find_plan(run.setup) if run.setup else None, given_from_data(run.settings)
    except LabError as error:
        raise Refusal("plan", error.message) from None


def _seen(station: Station, boot: str, gate: Gate, client: Client, now: float) -> Seen:
    return Seen(
        station=station.name,
        boot=boot,
        client=client.name,
        roles=tuple(sorted(client.roles)),
        store=gate.store[:8],
        epoch=gate.epoch,
        is_held=gate.holds(now),
        is_busy=station.is_busy,
        by_hand=gate.by_hand,
        latch=gate.latch,
        reason=gate.latched_because,
    )


def _pulse(gate: Gate, work: Attempt | None, now: float, *, is_spent: bool) -> Pulse:
    return Pulse(
        boot=gate.boot,
        now=now,
        job="" if work is None else work.run.job,
        n_events=0 if work is None else work.stream.n_posted,
        is_spent=is_spent,
        latch=gate.latch,
        reason=gate.latched_because,
    )


def _welcome(gate: Gate, station: str, lab: str, *, now: float, port: int) -> Welcome:
    return Welcome(
        station=station, lab=lab, boot=gate.boot, now=now, latch=gate.latch, reason=gate.latched_because, pulse=port
    )


def _answered(act: str, known: Act, *, is_busy: bool) -> Answer:
    if known.state == "cancelled":
        return Answer(act=act, state="never", reason=known.reason)
    is_running = known.state == "started" and known.is_ours and is_busy
    state = cast("Any", "running" if is_running else known.state)  # not proposed: it was asked about
    return Answer(act=act, state=state, reason=known.reason)


def allowed(letter: Letter) -> Any:
    """Return the message in *letter*. Raises where it is none, and where its sender has not the role for it."""
    message = decode(letter.data)
    client = letter.peer.client
    if lack := lacking(message, client.roles):
        has = ", ".join(sorted(client.roles)) or "none"
        hint = "whoever has the keys of the station gives roles: sdl keys allow"
        raise Refusal("role", f"{lack}; {client.name} has {has}", hint=hint)
    return message


def _asking(probe: Callable[[ActRecord], Any], act: ActRecord) -> Callable[[], Any]:
    from sdl.lab.messages import Steps, message  # noqa: PLC0415 # bluesky takes half a second

    async def ask() -> object:
        answer = probe(act)
        return await answer if inspect.isawaitable(answer) else answer

    def plan() -> Steps[object]:
        done = yield message("wait_for", None, [ask], timeout=PROBE_TIMEOUT)
        return done[0].result()

    return plan


def _found(result: JobResult, act: ActRecord) -> Found:
    value: object = result.value
    if isinstance(value, Evidence):
        return Found(answer=value.answer, text=value.text, false_rate=value.false_rate)
    why = result.error or f"it answered {value!r}, which is no Evidence"
    return Found(answer="cannot_tell", text=f"the probe of {act.device} could not tell: {why}")
