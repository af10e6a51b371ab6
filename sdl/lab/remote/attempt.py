"""One attempt at a step, at its station: what happens in it goes to the book and to the engine, in this order."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, cast

from sdl.errors import LabError, SdlError
from sdl.journal.acts import ActEnded, ActIntended
from sdl.lab.job import JobResult
from sdl.lab.remote.data import error_to_data, to_data
from sdl.lab.remote.gate import Command, Gate
from sdl.lab.remote.messages import Acted, Documented, Event, Finished, Hold, Run, as_mapping, printable
from sdl.lab.remote.setups import Place
from sdl.lab.remote.stream import Stream


class Attempt:
    """The step that is under way, or whose events the engine does not have yet.

    :meth:`document`, :meth:`act` and :meth:`done` are called on the threads of the station.

    Parameters
    ----------
    run
        What the engine said.
    stream
        The way to the engine.
    gate, guarding
        The station's gate, and the lock that it is used under.
    now
        Monotonic seconds.
    """

    def __init__(
        self, run: Run, stream: Stream, gate: Gate, guarding: threading.RLock, now: Callable[[], float]
    ) -> None:
        self.run = run
        self.stream = stream
        self.is_over = False
        self.words: dict[int, float] = {}
        self.setup_seconds = 0.0
        self._gate = gate
        self._guarding = guarding
        self._now = now

    def key(self, act: str) -> str:
        """Return what the book calls an act of the step."""
        return key_of(self.run.store, str(self.run.md.get("campaign", "")), act, self.run.mark)

    def document(self, name: str, document: dict[str, Any]) -> None:
        """Tell the engine a document."""
        self.stream.post(lambda number: Documented(job=self.run.job, number=number, name=name, document=document))

    def act(self, body: ActIntended | ActEnded) -> None:
        """Let an act begin, or record how it ended, and tell the engine."""
        if isinstance(body, ActIntended):
            self._intend(body)
            return
        body = body.replace(reason=printable(body.reason))
        with self._guarding:
            self._gate.end(self.key(body.act), body.outcome, body.reason)
        window = None if self.stream.is_aborting else 0
        self.stream.post(lambda number: Acted(job=self.run.job, number=number, body=body), window=window)

    def is_ready(self) -> bool:
        """Whether the changeover before is left out. Until the step has ended nobody knows what comes after it."""
        with self._guarding:
            is_ready = self.run.is_ready and self._gate.is_ready_for(ready_for(self.run))
            self._gate.note_ready("")
        return is_ready

    def _note_ready(self, result: JobResult) -> None:
        """A run with a changeover has ended; after one that failed nobody knows what the devices are ready for."""
        if self.run.setup:
            with self._guarding:
                self._gate.note_ready(ready_for(self.run) if result.error is None else "")

    def note_setup(self, seconds: float) -> None:
        """Note what the changeover took."""
        self.setup_seconds = seconds

    def _intend(self, body: ActIntended) -> None:
        """Note the act, have the engine record the intent; on its word, not later than it says, note that it begins."""
        run, key = self.run, self.key(body.act)
        with self._guarding:
            self._gate.propose(key)
        number = self.stream.post(lambda number: Acted(job=run.job, number=number, body=body), window=0)
        command = Command(run.boot, run.store, run.epoch, self.words.pop(number, 0.0))
        try:
            with self._guarding:
                self._gate.start(key, command, self._now())
        except SdlError as error:
            refused = ActEnded(act=body.act, outcome="refused", seconds=0.0, reason=error.message)
            with self._guarding, suppress(LabError):
                self._gate.end(key, "refused", error.message)
                self.stream.post(lambda number: Acted(job=run.job, number=number, body=refused), window=None)
            raise

    def done(self, result: JobResult) -> None:
        """Tell the engine how the step ended."""
        try:
            value, error = to_data(result.value), result.error
        except LabError as unsendable:
            value, error = None, unsendable
        made = functools.partial(
            Finished,
            job=self.run.job,
            value=value,
            error=error_to_data(error),
            runs=result.runs,
            started=result.started,
            ended=result.ended,
            is_aborted=result.is_aborted,
            is_begun=result.is_begun,
            duration=result.duration,
            setup_seconds=self.setup_seconds,
        )
        self._note_ready(result)
        self.is_over = True
        try:
            self.stream.post(lambda number: cast("Event", made(number=number)), window=None)
        except LabError as unsendable:  # the value is too large, or the error has words without a form on the wire
            made = functools.partial(made, value=None, error=error_to_data(unsendable))
            self.stream.post(lambda number: cast("Event", made(number=number)), window=None)


def places_of(run: Run) -> tuple[Place, ...]:
    """Return where a step stands in its trial, or in each of the trials that it treats at once."""
    batch = as_mapping(run.settings).get("batch")
    members = [run.md] if batch is None else [as_mapping(each) for each in batch]
    campaign, step = str(run.md.get("campaign", "")), str(run.md.get("step", ""))
    trials = [f"{run.store}/{campaign}/{each.get('trial', '')}/{each.get('attempt', '')}" for each in members]
    return tuple(Place(trial, step, goes_on=run.n_acts_before > 0) for trial in trials)


def command_of(message: Run | Hold) -> Command:
    """Return what *message* says of itself."""
    return Command(message.boot, message.store, message.epoch, message.expires)


def held_places(hold: Hold) -> tuple[Place, ...]:
    """Return where a step of another station stands in each of its trials."""
    return tuple(
        Place(f"{hold.store}/{hold.campaign}/{trial}/{attempt}", hold.step, goes_on=hold.goes_on)
        for trial, attempt in hold.trials
    )


def ready_for(run: Run) -> str:
    """Return what the station is ready for after a changeover, and by which plan; empty where nobody said."""
    return f"{run.setup} {run.ready_for}" if run.ready_for else ""


def key_of(store: str, campaign: str, act: str, mark: str) -> str:
    """Return what the book calls an act.

    The same id may occur in another campaign, in another store, and, where a store was restored from a backup, in
    trials that it has lost; *mark* tells these from the new ones.
    """
    return f"{store}/{campaign}/{act}/{mark}"
