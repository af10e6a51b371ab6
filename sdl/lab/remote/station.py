"""A station in another process, as the engine sees it: it takes jobs and answers as one in its own does."""

from __future__ import annotations

import functools
import threading
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from typing import ClassVar, cast

from pydantic import JsonValue

from sdl.errors import DeviceError, DeviceTimeout, InterlockError, LabError, SdlError, StepAborted
from sdl.journal.acts import ActOutcome
from sdl.journal.protocol import Journal
from sdl.journal.safety import LatchSet
from sdl.lab.actions import ActRecord, Evidence
from sdl.lab.elsewhere import Held
from sdl.lab.interlocks import Reaction
from sdl.lab.job import Job, JobResult
from sdl.lab.lab import Lab
from sdl.lab.latches import Latch
from sdl.lab.remote.child import Process
from sdl.lab.remote.errand import Errand, ask_to_hold, run_of
from sdl.lab.remote.history import hash_of, latches_of, mark_of, rearmed_in
from sdl.lab.remote.link import REPLY_TIMEOUT, Link, Session, StationLost, StationRefused
from sdl.lab.remote.messages import (
    Answer,
    Ask,
    Bye,
    Found,
    Probe,
    Rearm,
    Run,
    Welcome,
)
from sdl.lab.remote.plans import taken_apart
from sdl.lab.remote.relay import EngineEnd
from sdl.lab.remote.safe import rules_of
from sdl.lab.remote.sockets import Address, is_locked
from sdl.lab.remote.worker import Worker, check_needs, take_hold
from sdl.lab.station import Station

START_TIMEOUT = 120.0
"""Seconds until a station's process must answer."""

HOLD_TIMEOUT = 30.0
"""Seconds until the process of a station that a step is to hold must answer: it was there when the session began."""

ADOPT_TIMEOUT = 2.0
"""Seconds for the answer of a process that an engine before this one has started."""

AGAIN = 2.0
"""Seconds after which a step is said again whose answer has not come."""

GRACE = 30.0
"""Seconds beyond a step's own time limit after which the engine asks what became of its acts."""

N_ASKED = 3
"""How often a process that the engine starts itself is asked about an act, where it ends before it has answered."""

LINK = "the link to the engine"
"""What latches a station that has lost its engine, in place of an interlock's name."""


class RemoteStation(Station):
    """Runs jobs in another process, one at a time, over a :class:`~sdl.lab.remote.link.Link`.

    Parameters
    ----------
    twin
        The station of the same name in this process, whose devices stay untouched.
    lab
        The laboratory that both belong to.
    address
        Where the process is reached.
    child
        The process, where the engine starts it itself.
    lease
        Seconds of silence after which either side takes the other for gone.
    """

    is_elsewhere: ClassVar[bool] = True

    def __init__(
        self, twin: Station, lab: Lab, address: Address, *, child: Process | None, lease: float, grace: float = GRACE
    ) -> None:
        super().__init__(
            twin.name,
            twin.devices,
            lab.clock,
            envelope=twin.envelope,
            actions=twin.actions,
            interlocks=twin.interlocks,
            wait_timeout=twin.wait_timeout,
            tolerance=twin.tolerance,
        )
        self._lab = lab.name
        self._rules = functools.partial(rules_of, lab)
        self.interlocks.await_station(self.name)
        self._now = lab.clock.monotonic
        self._is_adopted = False
        self._address = address
        self._child = child
        self._lease = lease
        self._grace = grace
        self._session: Session | None = None
        self._journal: Journal | None = None
        self._rearmed: Mapping[str, tuple[str, str]] = {}
        self._sequence = 0
        self._link: Link | None = None
        self._job: Job | None = None
        self._abort_reason = ""
        self._cause: SdlError | None = None
        self._on_lost = functools.partial(lab.lose, twin.name)
        self._is_waiting = False
        self._worker = Worker(twin.name)

    # --- what a station does --------------------------------------------------------------------------------------

    def enter(self, journal: Journal) -> None:
        """A session begins that *journal* records: its number is the epoch."""
        self._worker.do(self._part)
        self.interlocks.await_station(self.name)
        first = next(iter(journal.read()))
        number, last = journal.head
        past = functools.partial(hash_of, journal)
        self._session = Session(store=first.hash, epoch=number, lease=self._lease, hash=last, past=past)
        self._journal = journal
        self._rearmed = rearmed_in(journal, self._lab, self.name)
        if self._child is not None and not is_locked(self._address.lock):
            self._child.start()  # so that all begin at once, and not each when the one before it is there

    @property
    def is_busy(self) -> bool:
        """Whether a job is queued or running."""
        return self._job is not None

    @property
    def is_started(self) -> bool:
        """Whether it has been used or connected."""
        return self._link is not None

    @property
    def is_making_safe(self) -> bool:
        """Never here: the station's own process sees to it."""
        return False

    @property
    def holds(self) -> tuple[str, ...]:
        """The stations that are held for its present job."""
        job = self._job
        return () if job is None else job.needs

    @property
    def pid(self) -> int | None:
        """Of the process, where the engine started it."""
        return None if self._child is None else self._child.pid

    def submit(self, job: Job) -> None:
        """Run *job*. Returns at once."""
        if self._job is not None:
            raise LabError(f"station {self.name} is busy", hint="it runs one job at a time")
        self._job, self._abort_reason, self._cause = job, "", None
        self._worker.order(lambda: self._attend(job))

    def connect(self) -> None:
        """Reach the process, and start it where that is ours to do."""
        self._worker.do(self._connected)

    def make_safe(self, reactions: Sequence[Reaction], error: InterlockError) -> None:
        """Have the process know at once that an interlock has tripped: it does what is safe. From any thread."""
        del reactions, error  # every beat says which rules have tripped, until the process says so too
        link = self._link
        if link is not None:
            link.beat_now()

    def hold(self, held: Held) -> None:
        """Make sure that the process is there, is ours, and still has what it set up in these trials. Waits."""
        self._worker.do(functools.partial(self._hold, held))

    def interrupt(self, error: SdlError) -> None:
        """Stop every device, and end the job that runs with *error*. From any thread."""
        if self._job is not None and not self._abort_reason:
            self._cause = error
            self.abort(error.message)

    def settle(self, seconds: float) -> None:
        """Wait until the station has said what its book calls the latch of a trip: a person is to open that one too."""
        deadline = self._now() + seconds
        while self._is_unsettled and self._now() < deadline:
            threading.Event().wait(0.02)

    @property
    def _is_unsettled(self) -> bool:
        if self._link is None or self._link.lost:
            return False
        own = [latch.body.reason for latch in self.interlocks.latches if latch.station == self.name]
        return bool(own) and not any(latches_of(reason) for reason in own)

    def abort(self, reason: str) -> None:
        """Stop every device of the station, and abort its job. Takes no lock; from any thread."""
        self._is_waiting = False
        if self._job is not None:
            self._abort_reason = self._abort_reason or reason
        link = self._link
        if link is not None:
            link.abort(reason)

    def recall(self, act: ActRecord, campaign: str, *, may_probe: bool) -> Evidence | None:
        """Ask the station's book about *act*, then the device's own probe where the book does not know."""
        found: Evidence | None = self._worker.do(lambda: self._recall(act, campaign, may_probe=may_probe))
        return found

    def close(self) -> None:
        """Let go of the process; end it where it is ours."""
        if self._job is not None:
            self.abort("the laboratory closes")
        self._is_closed = True
        self._worker.end(self._leave)

    # --- on the worker thread -------------------------------------------------------------------------------------

    def _connected(self, seconds: float = START_TIMEOUT) -> Link:
        if self._link is not None and not self._link.lost:
            return self._link
        self._part()
        if self._session is None:
            raise LabError(
                f"station {self.name} is in a process of its own, and no campaign has it",
                hint="run it in a campaign, or keep it in this process to try things out",
            )
        deadline = self._now() + seconds
        while True:
            is_taken = self._child is not None and not self._child.is_alive and is_locked(self._address.lock)
            self._is_adopted = is_taken  # what an engine before this one has started, and may be about to end
            if self._child is not None and not is_taken:
                self._child.start()
            try:
                return self._opened(self._session, ADOPT_TIMEOUT if is_taken else seconds)
            except StationLost as error:
                if self._child is None or self._child.is_alive or self._now() > deadline:
                    raise
                if not is_taken and not is_locked(self._address.lock):
                    words = self._child.last_words
                    raise StationLost(f"the process of station {self.name} has ended: {words}") from error

    def _opened(self, session: Session, seconds: float) -> Link:
        self._link = link = Link(self.name, self._address, session, self._is_alive, self._now)
        try:
            self._greeted(link, link.open(seconds, lambda: self._is_closed))
        except SdlError:
            self._part()
            raise
        return link

    def _is_alive(self) -> bool:
        return self._child is None or self._is_adopted or self._child.is_alive

    def _greeted(self, link: Link, welcome: Welcome) -> None:
        if welcome.lab != self._rules():
            self._say_bye(link)  # else it would miss this engine, and latch
            raise LabError(
                f"station {self.name} knows other limits, interlocks or safe actions than this engine",
                hint="Lab(limits=..., interlocks=..., safe_actions=...) are compared: make it from the same file "
                "in both, sdl station FILE.yaml --station NAME; or end its process, so that it is started anew",
            )
        if welcome.latch in self._rearmed:
            by, because = self._rearmed[welcome.latch]
            session = link.session
            welcome = link.ask(
                Rearm(store=session.store, epoch=session.epoch, latch=welcome.latch, by=by, because=because)
            )
        if welcome.latch:
            self._latch(welcome.latch, welcome.reason)
        link.on_latch, link.on_lost = self._noted, self._on_lost
        link.relay = EngineEnd(self.name, self.interlocks, self._now)
        link.relay.begin()

    def _latch(self, latch: str, reason: str) -> None:
        """Tell the engine, and so the journal, that the station is latched."""
        told = f"{reason} [{latch}]"
        if any(latch in latches_of(known.body.reason) for known in self.interlocks.latches):
            return
        body = LatchSet(lab=self._lab, station=self.name, interlock=LINK, devices=tuple(self.devices), reason=told)
        self.interlocks.latches.append(Latch(body))
        self.interlocks.listener([body])

    def _noted(self, latch: str, interlock: str) -> None:
        """The station's book has the latch of a trip, which arming is to open too: the journal is told its name."""
        if any(latch in latches_of(known.body.reason) for known in self.interlocks.latches):
            return
        for known in self.interlocks.latches:
            if (known.station, known.body.interlock) == (self.name, interlock):
                self.interlocks.amend(known, f"{known.body.reason} [{latch}]")
                return

    def _part(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            if link.relay is not None and not link.lost:  # else signals grow old, and what depends on them becomes safe
                self.interlocks.await_station(self.name)
            if link.latch:
                self._latch(link.latch, link.latched_because)
            link.close()

    def _say_bye(self, link: Link) -> None:
        with suppress(SdlError):
            link.ask(Bye(store=link.session.store, epoch=link.session.epoch))

    def _leave(self) -> None:
        link = self._link
        if link is not None and not link.lost:
            self._say_bye(link)
        is_left = link is not None
        self._part()
        if self._child is not None and is_left and not self._is_adopted:
            self._child.end()

    # --- jobs -----------------------------------------------------------------------------------------------------

    def _attend(self, job: Job) -> None:
        began = self._clock.time()
        errand = Errand(job, self._now)
        try:
            result = self._run(job, errand)
        except Exception as error:  # noqa: BLE001 # the border: whatever goes wrong here is the job's result
            errand.give_up(str(error))
            self._note_loss()
            is_aborted = isinstance(error, StepAborted)
            result = JobResult(None, error, tuple(errand.runs), began, self._clock.time(), is_aborted)
        if self._cause is not None and result.is_aborted:
            result = replace(result, error=self._cause, is_aborted=False)
        self._job = None
        job.on_done(result)

    def _note_loss(self) -> None:
        if self._link is not None and self._link.lost:
            self._part()

    def _check_abort(self) -> None:
        if self._abort_reason:
            raise StepAborted(f"the step was aborted before it began: {self._abort_reason}")

    def _run(self, job: Job, errand: Errand) -> JobResult:
        self._check_abort()
        parts = taken_apart(job)
        take_hold(job, self.interlocks, self._check_abort)
        link = self._connected()
        self._check_abort()  # both may have taken their time
        check_needs(job, self.interlocks)
        self._sequence += 1
        run = run_of(job, parts, link, self._sequence, self._mark(job.md))
        with _undone():
            self._say(link, run)
        if self._abort_reason:
            link.abort(self._abort_reason)
        deadline = None if job.timeout is None else self._now() + job.timeout + self._grace
        while True:
            if deadline is not None and self._now() > deadline:
                return self._overdue(link, errand, run.mark)
            event = link.event(0.05)
            if event is not None:
                ended = errand.take(event, run.job, link)
                if ended is not None:
                    return ended
            link.check()

    def _hold(self, held: Held) -> None:
        with _undone():
            link = self._connected(HOLD_TIMEOUT)
            link.on_lost = None  # there may be another process by now, and then the step need not end
            try:
                ask_to_hold(held, link)
            except StationLost:  # nothing moves by it; perhaps its process was started anew a moment ago
                ask_to_hold(held, self._connected(HOLD_TIMEOUT))
            finally:
                link.on_lost = self._on_lost
            if self._link is not None:  # what was lost in between has told nobody
                self._link.check()

    def _say(self, link: Link, run: Run) -> None:
        """Say a step, and again where its answer may have been lost: it is begun once, however often it is said."""
        with suppress(StationLost):
            link.ask(run, AGAIN)
            return
        try:
            link.ask(run, REPLY_TIMEOUT)
        except StationLost:
            link.give_up("nobody knows whether it has begun the step")
            raise

    def _mark(self, md: Mapping[str, JsonValue]) -> str:
        if self._journal is None:
            return ""
        trial = md.get("trial")
        known = trial if isinstance(trial, int) else 0
        return mark_of(self._journal, str(md.get("campaign", "")), known, str(md.get("step", "")))

    def _overdue(self, link: Link, errand: Errand, mark: str) -> JobResult:
        """The step should have ended, and its station says nothing: ask what became of its acts, and do nothing."""
        link.abort("it took too long")
        for act in list(errand.open):
            answer = self._ask(link, str(errand.job.md.get("campaign", "")), act, mark)
            if answer.state in {"done", "failed", "refused"}:
                errand.end(act, cast("ActOutcome", answer.state), answer.reason)
        link.lost = "its step did not end in time"
        raise DeviceTimeout(f"the step took longer than its {errand.job.timeout:g} s, and station {self.name} hangs")

    # --- what became of an act ------------------------------------------------------------------------------------

    def _ask(self, link: Link, campaign: str, act: str, mark: str) -> Answer:
        session = link.session
        ask = Ask(store=session.store, epoch=session.epoch, campaign=campaign, act=act, mark=mark)
        answer: Answer = link.ask(ask)
        return answer

    def _recall(self, act: ActRecord, campaign: str, *, may_probe: bool) -> Evidence | None:
        self._is_waiting = True  # until an abort
        try:
            link, answer = self._asked(act, campaign, N_ASKED)
        except (StationLost, StationRefused) as error:
            return Evidence("cannot_tell", f"station {self.name} cannot be asked: {error.message}")
        match answer.state:
            case "done":
                return Evidence("happened", f"station {self.name} has it in its book as done")
            case "running":
                return Evidence("cannot_tell", f"station {self.name} began it, and it has not come to its end")
            case "never" | "refused":
                return Evidence("did_not_happen", f"station {self.name} has not begun it, and will not")
            case _:
                found = self._probe(link, act) if may_probe else None
                return found or Evidence("cannot_tell", self._told(answer))

    def _asked(self, act: ActRecord, campaign: str, n_left: int) -> tuple[Link, Answer]:
        mark = "" if self._journal is None else mark_of(self._journal, campaign, act.trial, act.step, act.act)
        try:
            link = self._connected()
            answer = self._ask(link, campaign, act.act, mark)
            deadline = self._now() + self._grace
            while answer.state == "running" and self._is_waiting and self._now() < deadline:
                threading.Event().wait(0.1)  # it is let to its end, and not told again
                answer = self._ask(link, campaign, act.act, mark)
        except StationLost:
            if self._child is None or n_left <= 1:
                raise
            return self._asked(act, campaign, n_left - 1)  # its process ended in between, and is started again
        return link, answer

    def _told(self, answer: Answer) -> str:
        if answer.state == "missing":
            return f"the book of station {self.name} has nothing of it: it is not the book of that time"
        reason = f": {answer.reason}" if answer.reason else ""
        return f"station {self.name} began it, and its book has it as {answer.state}{reason}"

    def _probe(self, link: Link, act: ActRecord) -> Evidence | None:
        record = cast("dict[str, JsonValue]", asdict(act))
        session = link.session
        message = Probe(store=session.store, epoch=session.epoch, record=record)
        try:
            found: Found = link.ask(message, self.wait_timeout)
        except (StationLost, StationRefused):
            return None
        return Evidence(found.answer, found.text, found.false_rate) if found.answer else None


@contextmanager
def _undone() -> Generator[None]:
    """Have a trial fail by its device where what an earlier step has set up is lost."""
    try:
        yield
    except StationRefused as refused:
        if refused.code == "undone":
            raise DeviceError(refused.message, hint=refused.hint) from None
        raise
