"""Several campaigns on one laboratory: shares, priorities, one journal, and the same one whatever the machine does."""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import pytest
from floor_toy import HOUR, FloorLab, Plan, TwoTemperatures, batch_lasting, floor_campaign, lasting, measuring

import sdl
from sdl import Batch, Step
from sdl.errors import CampaignError
from sdl.journal import MemoryJournal
from sdl.journal.records import StepEnded


def station_hours(journal: MemoryJournal, campaign: str) -> float:
    """Return how long stations worked for a campaign."""
    ends = [event.body for event in journal.read(campaign=campaign) if isinstance(event.body, StepEnded)]
    return sum(body.seconds for body in ends) / HOUR


def on_meter(name: str, lab: FloorLab, journal: MemoryJournal, **options: Any) -> sdl.Campaign:
    return floor_campaign(
        Step("measure", measuring(HOUR), station="meter"),
        lab=lab,
        journal=journal,
        name=name,
        in_flight=2,
        budget=sdl.Budget(lab_time="12 h"),
        **options,
    )


def test_campaigns_get_the_stations_by_their_shares() -> None:
    lab, journal = FloorLab(), MemoryJournal()
    small, large = on_meter("small", lab, journal), on_meter("large", lab, journal, share=2.0)
    ended = sdl.run_together(small, large)
    assert [each.status for each in ended] == ["finished", "finished"]
    hours = [station_hours(journal, name) for name in ("small", "large")]
    assert hours[1] / hours[0] == pytest.approx(2.0, rel=0.3)
    assert sum(hours) >= 12.0


def test_what_is_more_urgent_goes_first() -> None:
    lab, journal = FloorLab(), MemoryJournal()
    patient, urgent = on_meter("patient", lab, journal), on_meter("urgent", lab, journal, priority=1)
    sdl.run_together(patient, urgent)
    assert station_hours(journal, "patient") <= 2
    assert station_hours(journal, "urgent") >= 11


def test_they_share_one_laboratory_and_one_journal() -> None:
    lab, journal = FloorLab(), MemoryJournal()
    first = on_meter("first", lab, journal)
    with pytest.raises(CampaignError, match="different laboratories"):
        sdl.run_together(first, on_meter("second", FloorLab(), journal))
    with pytest.raises(CampaignError, match="different journals"):
        sdl.run_together(first, on_meter("second", lab, MemoryJournal()))
    with pytest.raises(CampaignError, match="one name"):
        sdl.run_together(first, on_meter("first", lab, journal))


def test_aborting_one_aborts_all() -> None:
    lab, journal = FloorLab(), MemoryJournal()

    class Aborter:
        def notify(self, event: Any, view: Any) -> None:
            if event.kind == "trial.completed" and event.trial == 2:
                first.abort("smoke")

        def close(self, view: Any) -> None:
            pass

    first = on_meter("first", lab, journal, progress=Aborter())
    second = on_meter("second", lab, journal)
    ended = sdl.run_together(first, second)
    assert [(each.status, each.reason) for each in ended] == [("aborted", "smoke")] * 2
    assert all(trial.state.value in {"completed", "failed", "proposed"} for trial in second.trials)


def test_an_error_of_one_closes_the_sessions_of_all() -> None:
    lab, journal = FloorLab(), MemoryJournal()

    class Wrong:
        def notify(self, event: Any, view: Any) -> None:
            if event.kind == "trial.completed":
                raise RuntimeError("an observer that is wrong")

        def close(self, view: Any) -> None:
            pass

    first, second = on_meter("first", lab, journal), on_meter("second", lab, journal, progress=Wrong())
    with pytest.raises(RuntimeError, match="an observer"):
        sdl.run_together(first, second)
    assert [campaign.view.ended and campaign.view.ended.status for campaign in (first, second)] == ["error"] * 2


# --- determinism ------------------------------------------------------------------------------------------------------


@contextmanager
def a_busy_machine(n_threads: int = 2) -> Generator[None]:
    """Burn processor time in threads meanwhile."""
    is_over = threading.Event()

    def burn() -> None:
        x = 1
        while not is_over.is_set():
            x = (x * 1103515245 + 12345) % 2**31

    threads = [threading.Thread(target=burn) for _ in range(n_threads)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        is_over.set()
        for thread in threads:
            thread.join()


def whole_laboratory(n_trials: int) -> list[str]:
    """Run two campaigns on all stations; return what the journal says, without what names the run."""

    def load(lab: Any, s: sdl.Settings) -> Plan:
        yield from lasting(60 + 10 * s.trial % 7)(lab, s)

    lab = FloorLab(calendars={"meter": sdl.Calendar(hours=("06:00-22:00",))})
    journal = MemoryJournal(boot_id="one", version="one", time_source=lab.clock)
    steps = (
        Step("load", load, station="robot", keeps="robot"),
        Step("coat", lasting(600), station="coater", needs="robot"),
        Step("anneal", batch_lasting(HOUR), station="furnace", batch=Batch(3, shared="temperature", patience="40 min")),
        Step("quick", measuring(60), station="meter", within={"anneal": "20 h"}),
        Step("slow", measuring(900), station="meter", when=lambda s: s.results["quick"]["signal"].value < 0.2),
    )
    campaigns = [
        floor_campaign(*steps, lab=lab, journal=journal, name=name, in_flight=6, planner=TwoTemperatures(each=2))
        for name in ("a", "b")
    ]
    sdl.run_together(*campaigns, trials=n_trials)
    assert all(trial.state.value == "completed" for campaign in campaigns for trial in campaign.trials)
    lab.close()
    return described(journal)


def described(journal: MemoryJournal) -> list[str]:
    """Return every event but the documents, without the ids that bluesky draws anew."""
    runs: dict[str, str] = {}
    for event in journal.read(kinds=("step.ended",)):
        assert isinstance(event.body, StepEnded)
        for run in event.body.runs:
            runs.setdefault(run, f"run {len(runs)}")
    lines: list[str] = []
    for event in journal.read():
        if event.kind in {"document", "session.started"}:
            continue
        text = event.text
        for run, name in runs.items():
            text = text.replace(run, name) if run in text else text
        lines.append(f"{event.timestamp} {event.campaign} {event.trial} {text}")
    return lines


def test_one_seed_one_journal_whatever_the_machine_does() -> None:
    first = whole_laboratory(4)
    with a_busy_machine(1):
        assert whole_laboratory(4) == first
