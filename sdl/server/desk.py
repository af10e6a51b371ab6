"""What people are asked to do by hand: laid out for those who operate the laboratory, in the place of a terminal."""

from __future__ import annotations

import datetime as dt
import secrets
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from sdl.campaign.hosting import Host
from sdl.errors import CampaignError, JournalError
from sdl.journal.orders import TaskAnswer, TaskAnswered, TaskAsked
from sdl.journal.protocol import Journal
from sdl.journal.records import Body, Entry
from sdl.lab import Lab, Person, SimulatedPerson
from sdl.lab.schedule import Key


@dataclass(frozen=True)
class Errand:
    """A task that waits for a person.

    Parameters
    ----------
    asked
        What is asked of whom.
    since
        When that was.
    works
        The campaign, the trials and the step that it is for; none where that is not known.
    """

    asked: TaskAsked
    since: dt.datetime
    works: tuple[Key, ...]
    answer: Future[str] = field(default_factory=Future[str])

    @property
    def campaign(self) -> str:
        """The campaign that it is for; empty: nobody knows."""
        return self.works[0][0] if self.works else ""

    def entry(self, body: Body, by: str = "engine") -> Entry:
        """Return what puts *body* on the record of the trial that it is for."""
        return Entry(body, self.campaign, self.works[0][1] if self.works else None, actor=by)


class FrontDesk:
    """Where the people of a laboratory find their tasks. From any thread.

    Parameters
    ----------
    lab
        Whose people are asked here from now on; simulated ones go on by themselves.
    host, journal
        What runs their campaigns, and where questions and answers are recorded.
    """

    def __init__(self, lab: Lab, host: Host, journal: Journal) -> None:
        self._lab = lab
        self._host = host
        self._journal = journal
        self._mutex = threading.Lock()
        self._errands: dict[str, Errand] = {}
        for device in lab.devices.values():
            if isinstance(device, Person) and not isinstance(device, SimulatedPerson):
                device.desk = self

    @property
    def waiting(self) -> Sequence[Errand]:
        """What waits for somebody, oldest first."""
        with self._mutex:
            return [each for each in self._errands.values() if not each.answer.done()]

    def ask(self, person: Person, text: str, expected: float) -> Future[str]:
        """Lay a task out; called on the loop of a station, which waits for no disk."""
        asked = TaskAsked(
            task=f"k_{secrets.token_urlsafe(12)}", person=person.name, text=text, expected_seconds=expected
        )
        since = dt.datetime.fromtimestamp(self._lab.clock.time(), dt.UTC)
        errand = Errand(asked, since, self._works_of(person))
        with self._mutex:
            self._errands[asked.task] = errand
        self._host.post(lambda: self._record(errand))
        return errand.answer

    def _record(self, errand: Errand) -> None:
        """Record that a task is asked; where that cannot be, nobody is asked, and the step that waits for it fails."""
        try:
            self._journal.append(errand.entry(errand.asked))
        except JournalError as error:
            self.withdraw(errand.answer)
            if errand.answer.set_running_or_notify_cancel():
                errand.answer.set_exception(error)
            raise

    def withdraw(self, answer: Future[str]) -> None:
        """Take a task away that nobody waits for any more."""
        with self._mutex:
            self._errands = {task: each for task, each in self._errands.items() if each.answer is not answer}

    def answer(self, task: str, answer: TaskAnswer, note: str, *, by: str) -> None:
        """Record what *by* says of a task, and let the plan that waits for it go on. On the host's thread.

        Raises :class:`~sdl.errors.CampaignError` where nothing of that name waits any more.
        """
        with self._mutex:
            errand = self._errands.get(task)
        if errand is None or errand.answer.done():
            raise CampaignError("the task does not wait any more", hint="somebody has answered it, or it was stopped")
        self._journal.append(errand.entry(TaskAnswered(task=task, answer=answer, note=note), by))
        if errand.answer.set_running_or_notify_cancel():  # else the step was stopped a moment ago
            errand.answer.set_result(f"failed: {note}" if answer == "failed" else note)

    def _works_of(self, person: Person) -> tuple[Key, ...]:
        """Return what the station works on that the person belongs to."""
        for name, station in self._lab.stations.items():
            if any(device is person for device in station.devices.values()) and (works := self._host.work_at(name)):
                return works
        return ()
