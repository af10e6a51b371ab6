"""Campaigns that contend for three instruments, in one process that is killed; the instruments note who was there.

Every trial takes one of the instruments, then another one together with the first, then the third. Half of the
campaigns keep the first one meanwhile. Which comes first differs, so that they get in each other's way all the time.
"""

from __future__ import annotations

import asyncio
import json
import os
import uuid
from collections import defaultdict
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import bluesky.plan_stubs as bps
from dosing import Ended

import sdl
from sdl.campaign.fallback import SpaceFillingFallback
from sdl.journal import open_journal
from sdl.journal.records import StepEnded, StepStarted, TrialProposed
from sdl.lab.clock import current_time

Plan = Generator[Any, Any, Any]
NAMES = ("one", "two", "three")
SECONDS = 10.0
"""Of one act, in virtual time."""

TRIAL_SECONDS = 4 * SECONDS
"""Of all acts of one trial."""


class Instrument:
    """Is busy for a while, and notes in its truth journal when that began and ended."""

    parent = None
    action_classes: ClassVar = {"set": "set_absolute"}
    safe_action = "stop_now"

    def __init__(self, name: str, truth: Path, life: str) -> None:
        self.name, self._truth, self._life = name, truth, life

    def set(self, user: str) -> Ended:
        return Ended(self._work(user))

    async def _work(self, user: str) -> None:
        self._note("begin", user)
        await asyncio.sleep(SECONDS)
        self._note("end", user)

    def _note(self, what: str, user: str) -> None:
        line = json.dumps([self.name, what, user, self._life, current_time()]) + "\n"
        file = os.open(self._truth, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        os.write(file, line.encode())
        os.close(file)


class ContendedLab(sdl.Lab):
    """Three instruments, each at a station of its own."""

    is_simulated = True

    def __init__(self, truth: Path) -> None:
        life = uuid.uuid4().hex
        devices: dict[str, Any] = {f"{name}_device": Instrument(name, truth, life) for name in NAMES}
        stations = {name: [f"{name}_device"] for name in NAMES}
        super().__init__("contended", clock=sdl.VirtualClock(), stations=stations, **devices)


def using(user: str, *names: str) -> Callable[[Any, sdl.Settings], Plan]:
    """Return a plan that uses these instruments, all at once."""

    def use(lab: Any, s: sdl.Settings) -> Plan:
        group = f"{user}-{s.trial}"
        for name in names:
            yield from bps.abs_set(lab.devices[f"{name}_device"], f"{user}.{s.trial}.{s.attempt}", group=group)
        yield from bps.wait(group)
        return {"signal": sdl.Measurement((s.number("x") - 0.3) ** 2, "V")}

    return use


def campaign(number: int, lab: ContendedLab, journal: Path) -> sdl.Campaign:
    """Return the campaign of that number: it goes round the instruments its own way."""
    name = f"c{number}"
    turn = NAMES[number % 3 :] + NAMES[: number % 3]
    first, second, last = turn if number % 2 else turn[::-1]
    return sdl.Campaign(
        name,
        space=sdl.SearchSpace(x=sdl.Continuous(0.0, 1.0)),
        objective=sdl.Minimize("signal", unit="V"),
        planner=SpaceFillingFallback(),
        experiment=sdl.Experiment(
            sdl.Step("take", using(name, first), station=first, duration=SECONDS, keeps=(first,) if number % 2 else ()),
            sdl.Step("pass", using(name, second, first), station=second, duration=SECONDS, needs=(first,)),
            sdl.Step("look", using(name, last), station=last, duration=SECONDS),
            evaluate=lambda results, _: results["look"],
        ),
        lab=lab,
        journal=journal,
        seed=number,
        in_flight=2,
        progress=False,
        on_unknown="redo",
        planner_place="thread",
        schedule_ahead="never",  # the rule alone: what is placed ahead is judged elsewhere, and takes a solver's time
    )


def main(folder: str) -> None:
    """Run as many campaigns, of as many trials, as ``size.json`` in *folder* says; one of one, where there is none."""
    place = Path(folder)
    size = place / "size.json"
    n_campaigns, n_trials = json.loads(size.read_text()) if size.exists() else (1, 1)
    lab = ContendedLab(place / "truth.jsonl")
    try:
        together = [campaign(number, lab, place / "store.sdl") for number in range(n_campaigns)]
        ended = sdl.run_together(*together, trials=n_trials)
    finally:
        lab.close()
    if any(each.status != "finished" for each in ended):
        raise SystemExit(str(ended))


# --- what came of it --------------------------------------------------------------------------------------------------


class Outcome(NamedTuple):
    """What a case shows: acts, overlaps of acts on one instrument, trials that were completed, and waits in seconds."""

    n_acts: int
    overlaps: tuple[str, ...]
    n_completed: int
    longest_wait: float


def outcome(folder: Path) -> Outcome:
    """Read the truth journal and the store of a case."""
    lines = [json.loads(line) for line in (folder / "truth.jsonl").read_text().splitlines()]
    n_completed, longest = _waits(folder / "store.sdl")
    return Outcome(sum(line[1] == "begin" for line in lines), tuple(overlaps(lines)), n_completed, longest)


def overlaps(lines: list[list[Any]]) -> Generator[str]:
    """Yield every act that began while another one used the instrument. The end of its laboratory ends what it did."""
    users: dict[tuple[str, str], str] = {}
    for name, what, user, life, at in lines:
        key = (name, life)
        if what == "end":
            if users.get(key) == user:
                del users[key]
            continue
        if key in users:
            yield f"{user} began on {name} at {at:.0f} s, and {users[key]} was there"
        users[key] = user


def _waits(store: Path) -> tuple[int, float]:
    """Return how many trials were completed, and the longest time that one of them waited for a station, in seconds.

    It waits from its proposal, or from the end of its step before, in the same session: nobody waits while the
    laboratory is down.
    """
    since: dict[tuple[str, int], float] = {}
    waits: dict[str, float] = defaultdict(float)
    n_completed = 0
    with open_journal(store, "read") as journal:
        for event in journal.read():
            key = (event.campaign, event.trial or 0)
            at = event.time.timestamp()
            match event.body:
                case TrialProposed() | StepEnded():
                    since[key] = at
                case StepStarted() if key in since:
                    waits[event.campaign] = max(waits[event.campaign], at - since.pop(key))
                case _:
                    if event.kind == "session.started":
                        since.clear()
            n_completed += event.kind == "trial.completed"
    return n_completed, max(waits.values(), default=0.0)
