"""The truth journal of simulated hardware, what was acknowledged, and the checker that compares them with the store."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import JsonValue

from sdl.errors import JournalError
from sdl.journal import open_journal, verify
from sdl.journal.envelope import Head
from sdl.journal.records import Event
from sdl.problem.value import Tuple, Value


class Truth(NamedTuple):
    """One act of simulated hardware: what it was done to, and whatever else is known."""

    act: str
    key: str
    facts: Mapping[str, JsonValue]


class TruthJournal:
    """A file that only simulated hardware writes, at the moment of an act that cannot be undone.

    The engine never reads it. A line is synced before the act counts as done, so that no crash loses it.

    Parameters
    ----------
    path
        The file; it is made with the first line.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def write(self, act: str, key: object, **facts: JsonValue) -> None:
        """Note that *act* was done to *key*: a sample, a trial, whatever may be acted on once."""
        line = json.dumps({"act": act, "key": str(key), "facts": facts}) + "\n"
        _append(self.path, line, is_synced=True)

    def read(self) -> tuple[Truth, ...]:
        """Return every act, in the order in which they were done."""
        return tuple(Truth(**json.loads(line)) for line in _lines(self.path))


class Acknowledgements:
    """Notes every event at the moment when it is announced: give it to a campaign as its ``progress``.

    What stands in this file somebody may have seen, so it must be in the store for ever.

    Parameters
    ----------
    path
        The file; it is made with the first event.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def notify(self, event: Event, view: object) -> None:  # noqa: ARG002 # an Observer gets both
        """Note *event*."""
        _append(self.path, json.dumps([event.sequence, event.hash]) + "\n", is_synced=False)

    def close(self, view: object) -> None:
        """Nothing to end."""

    def read(self) -> tuple[Head, ...]:
        """Return number and hash of every event that was announced."""
        return tuple((int(number), str(digest)) for number, digest in map(json.loads, _lines(self.path)))


def _append(path: Path, line: str, *, is_synced: bool) -> None:
    """Add a line in one write, which no kill can cut."""
    number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        os.write(number, line.encode())
        if is_synced:
            os.fsync(number)
    finally:
        os.close(number)


def _lines(path: Path) -> Iterable[str]:
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else ()


class CheckReport(Value):
    """What :func:`check` found.

    Parameters
    ----------
    problems
        What the store's own verification found: the hash chain, artifacts named but missing or partial, the database.
    lost
        Events that were announced and are not in the store, as ``NUMBER:HASH``.
    duplicates
        What was acted on more than once, as ``ACT KEY``.
    unintended
        What was acted on without an intent in the store before.
    untrue
        Acts that the store says are done, and the hardware knows nothing of.
    open_runs
        Runs of bluesky with a start in the store and no stop.
    n_events, n_acts
        How much was looked at.
    """

    problems: Tuple[str] = ()
    lost: Tuple[str] = ()
    duplicates: Tuple[str] = ()
    unintended: Tuple[str] = ()
    untrue: Tuple[str] = ()
    open_runs: Tuple[str] = ()
    n_events: int = 0
    n_acts: int = 0

    @property
    def ok(self) -> bool:
        """Whether every promise was kept."""
        return not (self.problems or self.lost or self.duplicates or self.unintended or self.untrue or self.open_runs)

    def __str__(self) -> str:
        parts = {name: getattr(self, name) for name in _PARTS}
        told = [f"{name.replace('_', ' ')}: {'; '.join(found)}" for name, found in parts.items() if found]
        return "\n".join(told) or f"sound: {self.n_events} events, {self.n_acts} acts"


_PARTS = ("problems", "lost", "duplicates", "unintended", "untrue", "open_runs")


def check(
    store: str | Path,
    *,
    truth: TruthJournal | None = None,
    acknowledged: Acknowledgements | Iterable[Head] = (),
    are_runs_closed: bool = False,
    may_repeat: bool = False,
) -> CheckReport:
    """Compare the store with what the hardware did and with what was announced.

    Parameters
    ----------
    truth
        What the hardware did. Its keys begin with the number of the trial and of the attempt, ``"7.1"``.
    acknowledged
        What was announced: an :class:`Acknowledgements`, or numbers and hashes.
    are_runs_closed
        Whether every bluesky run must have ended: true once a campaign has run to its end.
    may_repeat
        Whether another attempt at a trial may do the same again, as somebody has agreed to.
    """
    report = verify(store)
    heads = acknowledged.read() if isinstance(acknowledged, Acknowledgements) else tuple(acknowledged)
    events: list[Event] = []
    try:
        with open_journal(store, "read") as journal:
            events = list(journal.read())
    except JournalError:
        if report.ok:
            raise
    found = {event.sequence: event.hash for event in events}
    acts = () if truth is None else truth.read()
    return CheckReport(
        problems=tuple(map(str, report.problems)),
        lost=tuple(f"{number}:{digest[:12]}" for number, digest in heads if found.get(number) != digest),
        duplicates=_duplicates(acts, may_repeat=may_repeat),
        unintended=_unintended(acts, events),
        untrue=_untrue(acts, events) if truth is not None else (),
        open_runs=_open_runs(events) if are_runs_closed else (),
        n_events=len(events),
        n_acts=len(acts),
    )


def _duplicates(acts: Iterable[Truth], *, may_repeat: bool) -> tuple[str, ...]:
    counted = Counter((truth.act, truth.key if may_repeat else truth.key.partition(".")[0]) for truth in acts)
    return tuple(f"{act} {key} ({n} times)" for (act, key), n in counted.items() if n > 1)


def _attempt(text: str) -> str:
    """Return trial and attempt, ``"7.1"``, at the beginning of an act's id or of a key."""
    return ".".join(text.split(".")[:2])


def _intents(events: Iterable[Event]) -> dict[str, int]:
    """Return how many acts were intended in each attempt at a trial."""
    return Counter(_attempt(str(json.loads(event.text)["act"])) for event in events if event.kind == "act.intended")


def _unintended(acts: Iterable[Truth], events: Iterable[Event]) -> tuple[str, ...]:
    """Return the attempts in which more was done than the store says was intended; no intents at all: not compared."""
    intents = _intents(events)
    if not intents:
        return ()
    done = Counter(_attempt(truth.key) for truth in acts)
    return tuple(
        f"{key}: {n} acts, {intents.get(key, 0)} intents" for key, n in done.items() if n > intents.get(key, 0)
    )


def _untrue(acts: Iterable[Truth], events: Iterable[Event]) -> tuple[str, ...]:
    done: Counter[str] = Counter()
    for event in events:
        if event.kind == "act.ended":
            body: dict[str, Any] = json.loads(event.text)
            done[_attempt(str(body["act"]))] += body["outcome"] == "done"
    known = Counter(_attempt(truth.key) for truth in acts)
    return tuple(f"{key}: {n} done, {known[key]} in truth" for key, n in done.items() if n > known[key])


def _open_runs(events: Iterable[Event]) -> tuple[str, ...]:
    started: dict[str, int | None] = {}
    for event in events:
        if event.kind == "document":
            body: dict[str, Any] = json.loads(event.text)
            document = body["document"]
            if body["name"] == "start":
                started[document["uid"]] = event.trial
            elif body["name"] == "stop":
                started.pop(document["run_start"], None)
    return tuple(f"{uid} of trial {trial}" for uid, trial in started.items())
