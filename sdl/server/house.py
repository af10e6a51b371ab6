"""A laboratory that runs the campaigns of many: the journal, the thread that runs them, the queue, and every order.

Whatever changes something carries the name of who asks for it into the journal. What may be asked for by whom is
decided before: see :mod:`sdl.server.guards` and :mod:`sdl.server.routes`.
"""

from __future__ import annotations

import datetime as dt
import secrets
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from sdl.campaign.autonomy import Autonomy
from sdl.campaign.budget import OnUnknown
from sdl.campaign.file import CampaignFile
from sdl.campaign.hosting import Host
from sdl.campaign.safeguard import rearm
from sdl.campaign.view import CampaignView
from sdl.errors import AccessError, CampaignError, LabError, SdlError
from sdl.journal import SqlJournal, open_journal
from sdl.journal.orders import (
    AutonomySet,
    CampaignOrdered,
    CampaignShared,
    CampaignSubmitted,
    OrderWord,
    StationStopped,
    Visibility,
)
from sdl.journal.records import Body, Entry
from sdl.lab import Ledger, WallClock
from sdl.server.desk import FrontDesk
from sdl.server.dossiers import CLOSED, ENGINE, ORDERS, Dossier, Dossiers, said
from sdl.server.foretelling import Foreteller
from sdl.server.identities import Identity, Role, UsersFile
from sdl.server.laboratory import Laboratory
from sdl.server.rehearsal import Rehearsal, rehearse
from sdl.server.urgent import Busy

T = TypeVar("T")

STORE = "journal.sdl"
"""The store in the folder of a server."""

UNSAID = 2
"""The level of autonomy, at most, of a campaign file that does not speak of it."""

REHEARSALS = threading.BoundedSemaphore(1)
"""One rehearsal at a time: they take a core each."""

Place = tuple[int, Sequence[Body]]
"""A trial, and what is recorded of it."""


class Missing(CampaignError):
    """There is no such thing, or whoever asks may not see it: that is the same answer."""


class House:
    """The laboratory of a server.

    Parameters
    ----------
    laboratory
        What is run.
    folder
        Where its journal and its users are.
    """

    def __init__(self, laboratory: Laboratory, folder: Path) -> None:
        self.laboratory = laboratory
        self.folder = folder
        self.users = UsersFile(folder)
        self.lab, self.plan = laboratory.make()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self.journal: SqlJournal = open_journal(folder / STORE, time_source=self.lab.clock)
        except BaseException:
            self.lab.close()
            raise
        self.host = Host(self.lab, self.journal)
        self.foreteller = Foreteller(self.host)
        self.desk = FrontDesk(self.lab, self.host, self.journal)
        self._dossiers = Dossiers()
        self._ledger = Ledger()
        self._views: dict[str, CampaignView] = {}
        self._mutex = threading.RLock()  # taken before that of the journal, never after it
        self._stopping: set[object] = set()
        self._last_stop: object = None
        self._is_closing = False
        self._thread = threading.Thread(target=self.host.run, name="sdl-host", daemon=True)

    # --- opening and closing ------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Begin: the campaigns that ran when the server ended go on."""
        events = self.journal.read(max(0, self.journal.head[0] - 1))
        for event in events:  # the last one
            self.lab.clock.advance_to(event.time.timestamp())
        self.dossiers()
        self._dossiers.end_all()
        self._thread.start()
        self.host.post(self._fill)

    @property
    def is_closing(self) -> bool:
        """Whether nothing begins any more, and what runs ends."""
        return self._is_closing

    def stop(self) -> None:
        """Let the running trials end; the campaigns go on when the server is started again."""
        self._is_closing = True
        for name in self.host.running:
            self._let_go_on_later(name)
        self.host.close()

    def _let_go_on_later(self, name: str) -> None:
        loop = self.host.loop_of(name)
        if loop is not None:
            loop.stop(CLOSED, "paused")

    def wait(self) -> None:
        """Wait until what was told to stop has ended."""
        self._thread.join()

    def close(self) -> None:
        """Wait until all has ended, and close the laboratory and the journal."""
        self.stop()
        self.wait()
        self.lab.close()
        self.journal.close()

    # --- looking ------------------------------------------------------------------------------------------------------

    @property
    def now(self) -> dt.datetime:
        """What time it is in the laboratory."""
        return dt.datetime.fromtimestamp(self.lab.clock.time(), dt.UTC)

    @property
    def running(self) -> frozenset[str]:
        """The names of the campaigns that run now."""
        return frozenset(self.host.running)

    def dossiers(self) -> list[Dossier]:
        """Return every campaign that was handed in, oldest first."""
        with self._mutex:
            self._dossiers.catch_up(self.journal)
            return [*self._dossiers.by_name.values()]

    def seen_by(self, who: Identity) -> list[Dossier]:
        """Return the campaigns that *who* may see, oldest first."""
        return [each for each in self.dossiers() if each.is_seen_by(who, today())]

    def dossier(self, id: str, who: Identity) -> Dossier:  # noqa: A002 # what it is called
        """Return the campaign *id*. Raises :class:`Missing` where there is none that *who* may see."""
        found = next((each for each in self.seen_by(who) if each.id == id), None)
        if found is None:
            raise Missing(f"there is no campaign {id!r}", hint="or you may not see it")
        return found

    def queue(self) -> list[Dossier]:
        """Return the campaigns that wait for room, the next one first."""
        running = self.running
        waiting = [each for each in self.dossiers() if each.wants and each.name not in running]
        return sorted(waiting, key=lambda each: -each.submitted.priority)

    def look(self, dossier: Dossier, at: Callable[[CampaignView], T]) -> T:
        """Return what *at* says of the campaign's view, as the journal is now; nobody else looks meanwhile."""
        with self._mutex:
            view = self._views.setdefault(dossier.name, CampaignView(dossier.name))
            view.catch_up(self.journal)
            return at(view)

    def look_at_stock(self, at: Callable[[Ledger], T]) -> T:
        """Return what *at* says of the stock, as the journal is now; nobody else looks meanwhile."""
        with self._mutex:
            self._ledger.catch_up(self.journal)
            return at(self._ledger)

    # --- handing in ---------------------------------------------------------------------------------------------------

    def rehearse(self, file: str) -> tuple[CampaignFile, Rehearsal]:
        """Check a campaign file, and predict what it takes. Raises what is wrong with it, and Busy."""
        described = self.laboratory.read(file)
        if not REHEARSALS.acquire(blocking=False):  # whoever waits would keep a thread from others
            raise Busy("another campaign is being rehearsed", hint="ask again in a few seconds")
        try:
            return described, rehearse(self.laboratory, described, self.lab, self.plan, self.journal)
        finally:
            REHEARSALS.release()

    def submit(self, who: Identity, file: str, *, start: bool, priority: int, visibility: Visibility) -> Dossier:
        """Take a campaign file that *who* hands in; start it where it is to be.

        Raises
        ------
        ProblemError, CampaignError
            It makes no sense, or the name is taken.
        AccessError
            It wants more autonomy, or a higher priority, than *who* may give it, or answers for acts in advance.
        """
        described, predicted = self.rehearse(file)
        level = self._level(who, file, described)
        self._check_priority(who, priority)
        _check_consent(who, described)
        submitted = CampaignSubmitted(
            id=f"c_{secrets.token_urlsafe(16)}",
            file=file,
            lab=self.laboratory.file.type,
            visibility=visibility,
            priority=priority,
            is_agent=who.kind == "agent",
            settings={"level": level},
            rehearsal=predicted.model_dump(mode="json"),
        )
        bodies: list[Body] = [submitted, *([CampaignOrdered(order="start")] if start else [])]
        with self._mutex, self.journal.hold():
            if described.name in {*(each.name for each in self.dossiers()), *self.journal.campaigns}:
                raise CampaignError(f"there is a campaign {described.name!r} already", hint="give it another name")
            self.journal.append(*(Entry(body, described.name, actor=who.name) for body in bodies))
        if start:
            self.host.post(self._fill)
        return self.dossier(submitted.id, who)

    def _level(self, who: Identity, file: str, described: CampaignFile) -> int:
        """Return how much the campaign may do without asking."""
        if "autonomy" not in self.laboratory.keys_of(file):
            return min(who.autonomy, UNSAID)
        level = described.autonomy.level
        if level > who.autonomy:
            raise AccessError(
                f"{who.name} may hand in campaigns of autonomy level {who.autonomy} at most, and this asks for {level}",
                hint=f"say autonomy: {{level: {who.autonomy}}}; somebody with the role approve may raise it",
            )
        return level

    def _check_priority(self, who: Identity, priority: int) -> None:
        if priority > 0 and not who.sees_everything:
            raise AccessError(
                f"{who.name} may not put a campaign before those of others (priority {priority})",
                hint="hand it in with priority 0 or below, and ask somebody with the role operate",
            )

    # --- ordering -----------------------------------------------------------------------------------------------------

    def order(self, who: Identity, dossier: Dossier, order: OrderWord, because: str) -> Dossier:
        """Order what is to become of a campaign.

        Raises
        ------
        CampaignError
            That cannot be, as it stands.
        AccessError
            Somebody who operates the laboratory has ended or paused it, and *who* does not.
        """
        if order == "abort":  # nothing is waited for, not even the disk
            self._check_order(who, dossier, order)
            self._abort_one(dossier, said(order, who.name, because))
            self._record(dossier.name, who.name, CampaignOrdered(order=order, because=because))
        else:
            self.host.call(lambda: self._order(who, dossier, order, because))
        return self.dossier(dossier.id, who)

    def _check_order(self, who: Identity, dossier: Dossier, order: OrderWord) -> None:
        self.dossiers()
        state = dossier.state(self.running)
        if order not in ORDERS[state]:
            allowed = ", ".join(ORDERS[state]) or "nothing"
            raise CampaignError(f"campaign {dossier.name} is {state}: it cannot {order}", hint=f"it can {allowed}")
        if order == "resume" and dossier.is_held_from(who):
            raise AccessError(
                f"{dossier.held_by} has {state} campaign {dossier.name}: {who.name} may not resume it",
                hint="somebody with the role operate can",
            )

    def _order(self, who: Identity, dossier: Dossier, order: OrderWord, because: str) -> None:
        """Check, record and carry out; on the host's thread, so that nothing begins or ends meanwhile."""
        self._check_order(who, dossier, order)
        self._record(dossier.name, who.name, CampaignOrdered(order=order, because=because))
        loop, reason = self.host.loop_of(dossier.name), said(order, who.name, because)
        if order in {"start", "resume"}:
            self.host.post(self._fill)
        elif loop is not None and order == "pause":
            loop.stop(reason, "paused")
        elif loop is not None:
            loop.stop(reason)

    def _abort_one(self, dossier: Dossier, reason: str) -> None:
        loop = self.host.loop_of(dossier.name)
        if loop is not None:
            loop.abort_own(reason)

    def abort_everything(self, who: Identity, because: str) -> int:
        """Stop every device at once, end every campaign that runs, and pause those that wait; return how many ended.

        Nothing begins by itself afterwards: what waits has to be resumed.
        """
        token = self._last_stop = object()
        self._stopping.add(token)
        try:
            running = self.host.running
            self.host.abort(said("abort", who.name, because))
            bodies: list[tuple[str, Body]] = [("", StationStopped(station="*", because=because))]
            bodies += [(name, CampaignOrdered(order="abort", because=because)) for name in running]
            waiting = [each.name for each in self.queue() if each.name not in running]
            bodies += [(name, CampaignOrdered(order="pause", because=because)) for name in waiting]
            self.journal.append(*(Entry(body, name, actor=who.name) for name, body in bodies))
        finally:
            self._stopping.discard(token)
        return len(running)

    def abort_station(self, who: Identity, station: str, because: str) -> None:
        """Abort the step that runs on *station*. Raises :class:`Missing` where there is no such station."""
        if station not in self.lab.stations:
            raise Missing(f"there is no station {station!r}", hint=f"there is {', '.join(self.lab.stations)}")
        self.lab.stations[station].abort(said("abort", who.name, because))
        self._record("", who.name, StationStopped(station=station, because=because))

    def rearm(self, who: Identity, station: str, because: str) -> None:
        """Let steps start again on a station that is latched. Raises what :func:`sdl.campaign.safeguard.rearm` does."""
        if self.lab.is_making_safe:
            raise LabError("devices are still on their way to be safe", hint="wait for them")
        self.host.call(lambda: rearm(self.journal, by=who.name, because=because, station=station, lab=self.lab.name))
        self.lab.interlocks.release(station)

    def share(self, who: Identity, dossier: Dossier, visibility: Visibility) -> Dossier:
        """Change who may see a campaign."""
        self._record(dossier.name, who.name, CampaignShared(visibility=visibility))
        return self.dossier(dossier.id, who)

    def set_autonomy(self, who: Identity, dossier: Dossier, autonomy: Autonomy, because: str) -> None:
        """Change how much a campaign may do without asking."""
        described = self.laboratory.read(dossier.submitted.file)
        space = self.laboratory.space(described, self.lab)
        autonomy.check(space)
        body = AutonomySet(autonomy=autonomy.model_dump(mode="json"), because=because)
        self.host.call(lambda: self._tell_or_record(dossier, [(None, [body])], who.name))
        self.host.post(self._fill)

    def tell(self, who: Identity, dossier: Dossier, find: Callable[[CampaignView], Sequence[Place]]) -> None:
        """Record what *find* makes of the campaign as it is between two turns, and let the campaign go on by it."""

        def record() -> None:
            loop = self.host.loop_of(dossier.name)
            if loop is not None:
                loop.tell(find(loop.view), by=who.name)
                return
            view = CampaignView(dossier.name)
            view.catch_up(self.journal)
            self._tell_or_record(dossier, find(view), who.name)

        self.host.call(record)

    def book(self, who: Identity, find: Callable[[], Sequence[tuple[str, int | None, Body]]]) -> None:
        """Record what *find* makes of the journal as it is between two turns: campaign, trial and body."""

        def record() -> None:
            entries = [Entry(body, name, trial, actor=who.name) for name, trial, body in find()]
            self.journal.append(*entries)

        self.host.call(record)

    # --- on the host's thread -----------------------------------------------------------------------------------------

    def _tell_or_record(self, dossier: Dossier, said: Sequence[tuple[int | None, Sequence[Body]]], by: str) -> None:
        loop = self.host.loop_of(dossier.name)
        entries = [Entry(body, dossier.name, trial, actor=by) for trial, bodies in said for body in bodies]
        if loop is not None:
            loop.note(entries)
        else:
            self.journal.append(*entries)

    def _fill(self) -> None:
        """Start the campaigns that wait, as far as there is room."""
        for dossier in self.queue():
            if self._stopping or self._is_closing or len(self.host.running) >= self.laboratory.file.at_once:
                return
            self.dossiers()
            if not dossier.wants:  # to begin takes seconds: somebody has changed their mind
                continue
            try:
                self._begin(dossier)
            except Exception as error:  # noqa: BLE001 # the border: a campaign that cannot begin is told of, and no other is held up
                if self._is_closing:  # it begins when the server is started again
                    return
                text = str(error) if isinstance(error, SdlError) else f"{type(error).__name__}: {error}"
                self._record(dossier.name, ENGINE, CampaignOrdered(order="stop", because=f"it could not begin: {text}"))

    def _begin(self, dossier: Dossier) -> None:
        last_stop = self._last_stop
        described = self.laboratory.read(dossier.submitted.file)
        campaign = self.laboratory.campaign(
            described,
            self.lab,
            self.plan,
            journal=self.journal,
            progress=False,
            autonomy=self._autonomy(dossier, described),
            priority=dossier.submitted.priority,
        )
        self.host.join(campaign, self._on_end)
        if self._is_closing:
            self._let_go_on_later(dossier.name)
        if self._last_stop is not last_stop:  # everything was stopped before it was there to be stopped
            self._abort_one(dossier, "everything was stopped while it began")

    def _autonomy(self, dossier: Dossier, described: CampaignFile) -> Autonomy:
        """Return how much a campaign may do: as a person has said last, or else as was settled at the door."""
        given = self.look(dossier, lambda view: view.approvals.autonomy)
        if given is not None:
            return Autonomy.recorded(given)
        return described.autonomy.replace(level=dossier.settings.get("level"))

    def _on_end(self, _status: str, _reason: str) -> None:
        self.host.post(self._fill)

    def _record(self, campaign: str, by: str, *bodies: Body) -> None:
        self.journal.append(*(Entry(body, campaign, actor=by) for body in bodies))


def _check_consent(who: Identity, described: CampaignFile) -> None:
    """Raise AccessError where a file agrees that acts are done again, and *who* may not answer for acts."""
    if described.on_unknown is None or who.may([Role.OPERATE]):
        return
    policy = OnUnknown.of(described.on_unknown)
    if "redo" in map(policy.for_class, OnUnknown.CLASSES):
        raise AccessError(
            f"{who.name} may not agree that acts which cannot be taken back are done again (on_unknown: redo)",
            hint="say on_unknown: ask, or failed; or ask somebody with the role operate to hand it in",
        )


def today() -> dt.date:
    """Return the day, in UTC, that embargoes go by: people's, not that of a laboratory in virtual time."""
    return dt.datetime.fromtimestamp(WallClock().time(), dt.UTC).date()
