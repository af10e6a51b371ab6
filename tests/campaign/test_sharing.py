"""Several campaigns on one store, several threads at one station, several engines on one store: nobody overlaps."""

from __future__ import annotations

import sys
import threading
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

import bluesky.plan_stubs as bps
import pytest
from test_provisions import DAY, VIALS, InkLab, steps
from toy import SPACE, LinePlanner, Motor

import sdl
from sdl import Reagent
from sdl.errors import JournalCorrupt, LabError
from sdl.failpoints import Hook, hooks
from sdl.journal import MemoryJournal, open_journal
from sdl.lab import Job, Ledger

N_CAMPAIGNS = 3


# --- one stock, several campaigns -------------------------------------------------------------------------------------


class Rendezvous(Hook):
    """Holds whoever has been granted material until another one has been granted some too, or a moment is over."""

    def __init__(self, patience: float) -> None:
        self.n_met = 0
        self._patience = patience  # wall seconds
        self._barrier = threading.Barrier(2)

    def passed(self, name: str) -> None:
        if name != "provisions.granted":
            return
        try:
            self._barrier.wait(self._patience)
            self.n_met += 1
        except threading.BrokenBarrierError:
            self._barrier.reset()


@contextmanager
def rendezvous(patience: float = 0.01) -> Generator[Rendezvous]:
    hook = Rendezvous(patience)
    hooks.append(hook)
    try:
        yield hook
    finally:
        hooks.remove(hook)


def share(journal: Any, volume: str) -> list[BaseException | None]:
    """Run some campaigns at once, each in a thread of its own, with too little ink for all; return their errors."""

    def run(number: int) -> None:
        lab = InkLab(Reagent("ink", volume, lot="A1"), VIALS, seed=number)
        try:
            sdl.Campaign(
                f"ink{number}",
                space=SPACE,
                objective=sdl.Minimize("signal", unit="V"),
                planner=LinePlanner(),
                experiment=steps(),
                lab=lab,
                journal=journal,
                progress=False,
            ).run(trials=2)
        finally:
            lab.close()

    with ThreadPoolExecutor(N_CAMPAIGNS) as pool:
        running = [pool.submit(run, number) for number in range(N_CAMPAIGNS)]
        return [each.exception() for each in running]


def test_campaigns_that_share_a_stock_never_set_aside_the_same(tmp_path: Path) -> None:
    """Each looks, decides and records. What it has seen must still hold when it is recorded."""
    with open_journal(tmp_path / "shared.sdl") as journal, rendezvous() as met:
        assert share(journal, "3 mL") == [None] * N_CAMPAIGNS
        ink = Ledger.of(journal).balance("ink", DAY)  # the fold raises where more is set aside than there is
    assert met.n_met == 0
    assert ink.consumed.most > 2
    assert ink.left.least >= 0


def test_without_the_hold_they_would(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without this, the test above could pass because nobody ever meets."""
    monkeypatch.setattr(MemoryJournal, "hold", lambda _: nullcontext())
    with rendezvous(patience=5.0) as met:
        errors = share(MemoryJournal(), "0.8 mL")
    assert met.n_met > 0
    assert any(isinstance(error, JournalCorrupt) for error in errors)


# --- one station, several threads -------------------------------------------------------------------------------------


class Instrument(Motor):
    """Is told by one at a time, or says who was there."""

    def __init__(self) -> None:
        super().__init__("instrument", 0.0)
        self.user: int | None = None
        self.overlaps = 0

    def enter(self, user: int) -> None:
        self.overlaps += self.user is not None
        self.user = user

    def leave(self) -> None:
        self.user = None


def test_a_station_takes_one_job_at_a_time_whoever_comes() -> None:
    instrument = Instrument()
    lab = sdl.Lab("shared", clock=sdl.WallClock(), instrument=instrument)
    station = lab.stations["shared"]
    station.connect()
    mixed: list[tuple[int, int]] = []
    refused: list[int] = []

    def use(user: int) -> int:
        def plan() -> Any:
            instrument.enter(user)
            yield from bps.null()
            instrument.leave()
            return user

        def noted(name: str, document: dict[str, Any]) -> None:
            if name == "start" and document["trial"] != user:
                mixed.append((user, document["trial"]))

        n_done = 0
        while n_done < 8:
            with suppress(LabError):
                result = station.run(Job(plan, md={"trial": user}, on_document=noted))
                assert result.value == user
                n_done += 1
                continue
            refused.append(user)
        return n_done

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with ThreadPoolExecutor(4) as pool:
            assert list(pool.map(use, range(4))) == [8] * 4
    finally:
        sys.setswitchinterval(interval)
        lab.close()
    assert refused
    assert (instrument.overlaps, mixed) == (0, [])
