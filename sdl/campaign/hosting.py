"""A laboratory whose campaigns come and go: one thread turns the loops of all that run.

A campaign that is started joins those that run; what a person says of one is done on the thread that turns it, between
two turns, so that nothing is decided by what has changed meanwhile.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from sdl.campaign.active import Status
from sdl.campaign.campaign import Campaign
from sdl.campaign.floor import Floor
from sdl.campaign.forecast import Question
from sdl.campaign.loop import Loop
from sdl.campaign.together import next_wake, settle, turn
from sdl.errors import CampaignError, JournalError
from sdl.journal.protocol import Journal
from sdl.lab import Lab
from sdl.lab.schedule import Key
from sdl.lab.schedule.values import SLACK

T = TypeVar("T")

PATIENCE = 60.0
"""Wall seconds that somebody who asks waits for the end of a turn: in virtual time a planner thinks in one."""

OnEnd = Callable[[str, str], object]
"""Called on the host's thread with the status and the reason when a campaign has ended."""


@dataclass(frozen=True)
class _Call:
    """Something to be done between two turns."""

    call: Callable[[], Any]
    answer: Future[Any]

    def make(self) -> None:
        if not self.answer.set_running_or_notify_cancel():
            return
        try:
            self.answer.set_result(self.call())
        except Exception as error:  # noqa: BLE001 # the border: whoever asked gets it
            self.answer.set_exception(error)

    def refuse(self, error: Exception) -> None:
        """Tell whoever asks that it will not be made."""
        if self.answer.set_running_or_notify_cancel():
            self.answer.set_exception(error)


@dataclass
class _Guest:
    """A campaign that runs."""

    loop: Loop
    on_end: OnEnd
    resources: ExitStack


class Host:
    """Runs campaigns that come and go on *lab*, in *journal*.

    :meth:`run` blocks on a thread of its own; the other methods may come from any thread.
    """

    def __init__(self, lab: Lab, journal: Journal) -> None:
        self.lab = lab
        self._journal = journal
        self._floor = Floor(lab)
        self._guests: dict[str, _Guest] = {}
        self._is_closing = False
        self._n_aborts = 0
        self._abort_reason = ""
        self._error: BaseException | None = None
        self._ended = threading.Event()

    # --- from any thread ----------------------------------------------------------------------------------------------

    @property
    def failure(self) -> str:
        """Why nothing runs any more: an error of the journal. Empty while all is well."""
        return "" if self._error is None else f"{type(self._error).__name__}: {self._error}"

    @property
    def running(self) -> tuple[str, ...]:
        """The names of the campaigns that run."""
        return tuple(self._guests)

    def start(self, campaign: Campaign, on_end: OnEnd) -> None:
        """Let *campaign* join those that run. Raises what opening it raises."""
        self.call(lambda: self.join(campaign, on_end))

    def call(self, call: Callable[[], T], seconds: float = PATIENCE) -> T:
        """Make *call* between two turns, and return what it returns, or raise what it raises.

        Raises
        ------
        TimeoutError
            It was not its turn within so many wall seconds, and will not be. One that has begun is waited for.
        CampaignError
            The laboratory runs no campaigns any more.
        """
        if self._ended.is_set():
            raise self._no_more()
        answer: Future[T] = Future()
        self._floor.mailbox.put((None, _Call(call, answer)))
        if self._ended.is_set() and answer.cancel():  # nobody may have found it any more
            raise self._no_more()
        try:
            return answer.result(seconds)
        except TimeoutError:
            if answer.cancel():
                raise
            return answer.result()  # it is being made, and is not to be said not to have been

    def _no_more(self) -> CampaignError:
        return CampaignError("the laboratory runs no campaigns any more", hint=self.failure or "it was closed")

    def post(self, call: Callable[[], object]) -> None:
        """Make *call* between two turns, some time; nobody waits for it."""
        self._floor.mailbox.put((None, _Call(call, Future())))

    def work_at(self, station: str) -> tuple[Key, ...]:
        """Return what works on *station*, or has it held, as campaign, trial and step; nothing where it is free."""
        return self._floor.busy.get(station, ((), 0.0))[0]

    def loop_of(self, name: str) -> Loop | None:
        """Return the loop of campaign *name*; None where it does not run."""
        guest = self._guests.get(name)
        return None if guest is None else guest.loop

    def outlook(self) -> Question:
        """Return what a forecast goes by. On the host's thread."""
        floor = self._floor
        return Question(floor.now(), floor.states(), {loop.name: loop.coming() for loop in self._loops})

    def abort(self, reason: str) -> None:
        """Stop every device at once, and end every campaign. Waits for no lock, no planner and no disk."""
        self._abort_reason = reason
        self._n_aborts += 1  # before the look at the guests: one that is being opened looks at it afterwards
        loops = [guest.loop for guest in [*self._guests.values()]]
        for loop in loops:
            loop.abort(reason)
        if not loops:
            for station in self.lab.stations.values():
                station.abort(reason)

    def close(self) -> None:
        """Let :meth:`run` return when the campaigns that run have been told to stop, and have."""
        self._is_closing = True
        self._floor.mailbox.put((None, _Call(lambda: None, Future())))

    # --- on the host's thread -----------------------------------------------------------------------------------------

    def run(self) -> None:
        """Turn the loops of the campaigns until :meth:`close`. An error of the journal ends it: nothing is done then
        that could not be recorded.
        """
        try:
            while self._guests or not self._is_closing:
                try:
                    self._turn()
                    self._listen()
                except JournalError as error:
                    self._error = error
                    self._fail(error)
                    return
                except Exception as error:  # noqa: BLE001 # the border: one campaign's error ends those that run, and no more
                    self._fail(error)
        finally:
            self._ended.set()  # before the look into the mailbox: whoever puts something in afterwards sees it
            self._refuse_what_waits()

    def _refuse_what_waits(self) -> None:
        """Tell those who asked during the last turn that nothing is done any more: they would wait in vain."""
        mailbox, last = self._floor.mailbox, (None, None)
        mailbox.put(last)  # which is found without a wait, and time does not go on
        while (news := mailbox.get()) is not last:
            _, message = cast("tuple[object, object]", news)
            if isinstance(message, _Call):
                message.refuse(self._no_more())

    def _turn(self) -> None:
        loops = self._loops
        if not loops:
            return
        turn(loops)
        over = [name for name, guest in self._guests.items() if guest.loop.is_over]
        for name in over:
            self._leave(name, *self._guests[name].loop.close())
        if self._guests:
            self._loops[-1].listen()

    @property
    def _loops(self) -> Sequence[Loop]:
        return [guest.loop for guest in self._guests.values()]

    def _listen(self) -> None:
        """Wait for news, and see to it."""
        wake = next_wake(self._loops, self._floor.decision) if self._guests else None
        timeout = None if wake is None else max(wake - self._floor.now(), SLACK)
        if self._is_closing and not self._guests:
            return
        news: object = self._floor.mailbox.get(timeout)
        if news is None:
            return
        loop, message = cast("tuple[Loop | None, object]", news)
        if isinstance(message, _Call):
            message.make()
        elif loop is not None and loop in self._loops:
            loop.handle(message)

    def join(self, campaign: Campaign, on_end: OnEnd) -> None:
        """Let *campaign* join those that run. On the host's thread: from what :meth:`call` or :meth:`post` is given."""
        if campaign.name in self._guests:
            raise CampaignError(f"campaign {campaign.name!r} runs already")
        if self._is_closing:
            raise CampaignError("the laboratory is being closed", hint="start it again later")
        self._let_catch_up(campaign.name)
        n_aborts = self._n_aborts
        resources = ExitStack()
        try:
            loop = resources.enter_context(campaign.hosted(self._journal, self._floor))
            loop.begin()
            is_open = _opened(loop)
        except BaseException:
            self._floor.shares.pop(campaign.name, None)
            resources.close()
            raise
        self._guests[campaign.name] = _Guest(loop, on_end, resources)
        if self._n_aborts != n_aborts:
            loop.abort(self._abort_reason)
        if not is_open:
            self._leave(campaign.name, *loop.close())

    def _let_catch_up(self, name: str) -> None:
        """Count whoever joins as having used as much as the least of the others: it does not get all for itself."""
        usage, shares = self._floor.usage, self._floor.shares
        others = [usage.get(each, 0.0) / shares.get(each, 1.0) for each in self._guests]
        if others:
            usage[name] = max(usage.get(name, 0.0), min(others))

    def _leave(self, name: str, status: Status | str, reason: str) -> None:
        guest = self._guests.pop(name)
        self._floor.shares.pop(name, None)
        guest.resources.close()
        guest.on_end(status, reason)

    def _fail(self, error: BaseException) -> None:
        """Close all sessions with an error of ours."""
        loops = self._loops
        settle(loops)
        for loop in loops:
            with suppress(JournalError):  # what cannot be recorded is recovered by the next session
                loop.fail(error)
            self._leave(loop.name, "error", f"{type(error).__name__}: {error}")


def _opened(loop: Loop) -> bool:
    """Open the session; where that fails, close it with the error."""
    try:
        return loop.open()
    except BaseException as error:
        loop.fail(error)
        raise
