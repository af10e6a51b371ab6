"""One job that a station in another process does: what came of it so far."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from sdl.journal.acts import ActEnded, ActIntended, ActOutcome
from sdl.lab.elsewhere import Held
from sdl.lab.job import Job, JobResult
from sdl.lab.remote.data import error_from_data, from_data, given_to_data
from sdl.lab.remote.link import Link, StationLost
from sdl.lab.remote.messages import Ack, Acted, Documented, Finished, Hold, Run
from sdl.lab.remote.plans import Parts, taken_apart

EXPIRY = 5.0
"""Seconds for which a command may be on its way."""


class Errand:
    """Takes what a station tells of a job, in its order and once."""

    def __init__(self, job: Job, now: Callable[[], float]) -> None:
        self.job = job
        self.open: dict[str, float] = {}
        self.runs: list[str] = []
        self._now = now
        self._n_taken = 0
        self._error: Exception | None = None

    def take(self, event: Any, job: str, link: Link) -> JobResult | None:
        """Take an event, record it, and acknowledge it; the result, where it is the last one."""
        if not isinstance(event, Documented | Acted | Finished) or event.job != job:
            return None
        if event.number > self._n_taken + 1:  # one before it is missing, and comes again
            return None
        is_new = event.number == self._n_taken + 1
        if is_new:
            self._n_taken = event.number
            try:
                self._record(event)
            except Exception as error:  # noqa: BLE001 # the step fails with it, as one in this process does
                self._error = self._error or error
        self._acknowledge(event.number, job, link)
        return self._result(event) if is_new and isinstance(event, Finished) else None

    def _record(self, event: Documented | Acted | Finished) -> None:
        match event:
            case Documented():
                if event.name == "start":
                    self.runs.append(str(event.document.get("uid", "")))
                self.job.on_document(event.name, dict(event.document))
            case Acted(body=ActIntended() as intended):
                self.job.on_act(intended)
                self.open[intended.act] = self._now()
            case Acted(body=ActEnded() as ended):
                self.open.pop(ended.act, None)
                self.job.on_act(ended)
            case Finished(setup_seconds=seconds) if seconds and (took := taken_apart(self.job).took) is not None:
                took(seconds)
            case _:
                pass

    def _acknowledge(self, number: int, job: str, link: Link) -> None:
        error = "" if self._error is None else str(self._error) or type(self._error).__name__
        ack = Ack(
            job=job,
            store=link.session.store,
            epoch=link.session.epoch,
            number=number,
            expires=link.expires(EXPIRY),
            error=error,
        )
        with suppress(StationLost):  # it is told again, and so acknowledged again
            link.send(ack)

    def _result(self, event: Finished) -> JobResult:
        error = self._error or error_from_data(event.error)
        value = from_data(event.value) if error is None else None
        return JobResult(
            value=value,
            error=error,
            runs=tuple(event.runs),
            started=event.started,
            ended=event.ended,
            is_aborted=event.is_aborted,
            is_begun=event.is_begun,
            duration=event.duration,
        )

    def end(self, act: str, outcome: ActOutcome, reason: str) -> None:
        """Record how an act ended, as the station's book has it."""
        began = self.open.pop(act)
        seconds = self._now() - began
        self.job.on_act(ActEnded(act=act, outcome=outcome, seconds=seconds, reason=reason))

    def give_up(self, reason: str) -> None:
        """The station is gone: nobody knows how its open acts ended."""
        for act in list(self.open):
            with suppress(Exception):  # a journal that cannot be written is the session's to report
                self.end(act, "unknown", reason)


def run_of(job: Job, parts: Parts, link: Link, sequence: int, mark: str) -> Run:
    """Return what says to the station behind *link* that it is to do *job*, whose *parts* these are."""
    return Run(
        job=str(uuid.uuid4()),
        boot=link.boot,
        store=link.session.store,
        epoch=link.session.epoch,
        sequence=sequence,
        expires=link.expires(EXPIRY),
        plan=parts.plan,
        setup=parts.setup,
        ready_for=parts.ready_for,
        is_ready=parts.is_ready,
        settings=given_to_data(parts.given),
        md=job.md,
        timeout=job.timeout,
        n_acts_before=job.n_acts_before,
        mark=mark,
    )


def ask_to_hold(held: Held, link: Link) -> None:
    """Ask the station behind *link* whether a step of another one may hold it. Raises as :meth:`Link.ask` does."""
    message = Hold(
        boot=link.boot,
        store=link.session.store,
        epoch=link.session.epoch,
        expires=link.expires(EXPIRY),
        campaign=held.campaign,
        step=held.step,
        trials=held.trials,
        goes_on=held.goes_on,
    )
    link.ask(message)
