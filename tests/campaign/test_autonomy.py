"""Who has to agree before a trial begins: levels, envelopes, approvals, refusals; and campaigns that come and go."""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import pytest
from toy import LinePlanner, ToyLab, bodies, toy_campaign

import sdl
from sdl.campaign.autonomy import answer_bodies, open_requests
from sdl.campaign.hosting import Host
from sdl.errors import CampaignError
from sdl.journal import Entry, MemoryJournal
from sdl.journal.orders import ApprovalAsked, AutonomySet
from sdl.journal.records import SessionEnded, StepStarted, TrialAbandoned


def answer(campaign: sdl.Campaign, journal: MemoryJournal, word: Any, because: str = "looked at it") -> None:
    """Answer the oldest request, as a person does while nothing runs."""
    campaign.refresh()
    request = open_requests(campaign.view)[0].request
    said = answer_bodies(campaign.view, request, word, by="sato", because=because)
    journal.append(*(Entry(body, campaign.name, trial, actor="sato") for trial, some in said for body in some))


def n_begun(journal: MemoryJournal) -> int:
    return len(bodies(journal, StepStarted))


def test_level_0_suggests_and_executes_nothing() -> None:
    journal = MemoryJournal()
    ended = toy_campaign(journal=journal, autonomy=sdl.Autonomy(0), in_flight=3).run(trials=5)
    assert ended.status == "paused"
    assert "level 0" in ended.reason
    assert n_begun(journal) == 0
    assert not bodies(journal, ApprovalAsked)


def test_level_1_asks_for_each_trial_and_goes_on_when_it_is_approved() -> None:
    journal = MemoryJournal()
    campaign = toy_campaign(journal=journal, autonomy=sdl.Autonomy(1))
    for n in range(3):
        ended = campaign.run(trials=3)
        assert ended.status == "paused"
        assert "sdl approve" in ended.reason
        assert n_begun(journal) == n
        answer(campaign, journal, "approved")
    assert campaign.run(trials=3).status == "finished"
    assert [trial.state for trial in campaign.trials] == ["completed"] * 3
    assert [each.by for each in campaign.view.approvals.requests.values()] == ["sato"] * 3


def test_level_2_asks_once_for_what_was_suggested_together() -> None:
    journal = MemoryJournal()
    campaign = toy_campaign(journal=journal, autonomy=sdl.Autonomy(2), in_flight=4, lab=ToyLab(n_cells=1))
    campaign.run(trials=4)
    assert [asked.trials for asked in bodies(journal, ApprovalAsked)] == [(1, 2, 3, 4)]
    answer(campaign, journal, "approved")
    assert campaign.run(trials=4).status == "finished"


def test_level_3_asks_for_what_lies_outside_the_envelope_and_beyond_the_budget() -> None:
    journal = MemoryJournal()
    autonomy = sdl.Autonomy(3, envelope={"x": (0.0, 0.12)}, budget=sdl.Budget(trials=5))
    campaign = toy_campaign(journal=journal, autonomy=autonomy, planner=LinePlanner())
    campaign.run(trials=8)  # 0.05, 0.10, and 0.15 is outside
    assert n_begun(journal) == 2
    assert "x = 0.15 is outside 0.0, 0.12" in bodies(journal, ApprovalAsked)[0].because
    wide = autonomy.replace(envelope={})
    journal.append(Entry(AutonomySet(autonomy=wide.model_dump(mode="json")), campaign.name, actor="lee"))
    campaign.run(trials=8)
    assert n_begun(journal) == 5
    assert "the first 5 trials need no approval" in bodies(journal, ApprovalAsked)[-1].because


def test_level_4_asks_nobody() -> None:
    journal = MemoryJournal()
    assert toy_campaign(journal=journal, autonomy=sdl.Autonomy(4), in_flight=3).run(trials=5).status == "finished"
    assert n_begun(journal) == 5
    assert not bodies(journal, ApprovalAsked)


def test_a_refused_trial_is_abandoned_and_another_one_is_proposed() -> None:
    journal = MemoryJournal()
    campaign = toy_campaign(journal=journal, autonomy=sdl.Autonomy(1))
    campaign.run(trials=1)
    with pytest.raises(CampaignError, match="needs a reason"):
        answer(campaign, journal, "refused", because=" ")
    answer(campaign, journal, "refused", because="too hot")
    assert bodies(journal, TrialAbandoned)[0].reason == "refused by sato: too hot"
    campaign.run(trials=1)
    assert n_begun(journal) == 0
    assert campaign.view.n_proposed == 2


def test_a_script_that_is_run_again_does_not_undo_what_a_person_has_said() -> None:
    lab, journal = ToyLab(), MemoryJournal()
    campaign = toy_campaign(lab, journal=journal, autonomy=sdl.Autonomy(1))
    campaign.run(trials=2)
    free = sdl.Autonomy(4).model_dump(mode="json")
    journal.append(Entry(AutonomySet(autonomy=free), campaign.name, actor="lee"))
    assert toy_campaign(journal=journal, autonomy=sdl.Autonomy(1), lab=lab).run(trials=2).status == "finished"


@pytest.mark.parametrize(
    "envelope", [{"y": (0.0, 1.0)}, {"x": ("a",)}, {"x": (1.0, 0.0)}], ids=["stranger", "text", "wrong way"]
)
def test_an_envelope_fits_the_space(envelope: dict[str, Any]) -> None:
    with pytest.raises(CampaignError, match="envelope"):
        toy_campaign(autonomy=sdl.Autonomy(3, envelope=envelope))


def test_a_level_3_that_bounds_nothing_is_refused() -> None:
    with pytest.raises(CampaignError, match="neither an envelope nor a budget"):
        toy_campaign(autonomy=sdl.Autonomy(3))


# --- campaigns that come and go ---------------------------------------------------------------------------------------


@contextmanager
def hosting(lab: ToyLab, journal: MemoryJournal) -> Generator[Host]:
    host = Host(lab, journal)
    thread = threading.Thread(target=host.run, daemon=True)
    thread.start()
    try:
        yield host
    finally:
        for name in host.running:
            loop = host.loop_of(name)
            assert loop is not None
            loop.stop("the test is over")
        host.close()
        thread.join(30)
        assert not thread.is_alive()


class Waiting:
    """Hears when a campaign has ended."""

    def __init__(self) -> None:
        self.is_over = threading.Event()
        self.ended = ("", "")

    def __call__(self, status: str, reason: str) -> None:
        self.ended = (status, reason)
        self.is_over.set()

    def wait(self) -> tuple[str, str]:
        assert self.is_over.wait(60)
        return self.ended


def named(name: str, lab: ToyLab, journal: MemoryJournal, **changes: Any) -> sdl.Campaign:
    campaign = toy_campaign(lab, journal=journal, budget=sdl.Budget(trials=3), **changes)
    campaign.name = campaign.view.name = name
    return campaign


def test_campaigns_come_and_go_while_another_waits_for_approval() -> None:
    lab, journal = ToyLab(n_cells=2), MemoryJournal()
    first, second = Waiting(), Waiting()
    with hosting(lab, journal) as host:
        host.start(named("asks", lab, journal, autonomy=sdl.Autonomy(2), in_flight=3), first)
        host.start(named("free", lab, journal), second)
        assert second.wait()[0] == "finished"
        assert host.running == ("asks",)

        def approve() -> None:
            loop = host.loop_of("asks")
            assert loop is not None
            request = open_requests(loop.view)[0].request
            loop.tell(answer_bodies(loop.view, request, "approved", by="sato", because=""), by="sato")

        host.call(approve)
        assert first.wait()[0] == "finished"
    ends = [event.campaign for event in journal.read() if isinstance(event.body, SessionEnded)]
    assert ends == ["free", "asks"]


def test_what_one_campaign_aborts_is_its_own() -> None:
    lab, journal = ToyLab(n_cells=2), MemoryJournal()
    waiting = [Waiting(), Waiting()]
    gate = threading.Event()

    def blocking(lab: ToyLab, s: sdl.Settings) -> Generator[Any, Any, Any]:
        import bluesky.plan_stubs as bps

        while not gate.is_set():
            yield from bps.sleep(1.0)
        yield from bps.null()
        return {"signal": sdl.Measurement(1.0, "V")}

    steps = [sdl.Experiment(sdl.Step("wait", blocking, station=f"cell{n}")) for n in range(2)]
    with hosting(lab, journal) as host:
        for n in range(2):
            campaign = named(f"c{n}", lab, journal, experiment=steps[n])
            campaign.budget = sdl.Budget(trials=1)
            host.start(campaign, waiting[n])
        loop = host.loop_of("c0")
        assert loop is not None
        loop.abort_own("aborted by sato")
        assert waiting[0].wait() == ("aborted", "aborted by sato")
        assert host.running == ("c1",)
        gate.set()
        assert waiting[1].wait()[0] == "finished"


def test_an_abort_reaches_a_campaign_that_is_being_opened_and_what_has_begun_is_waited_for(monkeypatch: Any) -> None:
    lab, journal = ToyLab(), MemoryJournal()
    waiting, begun = Waiting(), threading.Event()
    with hosting(lab, journal) as host:
        campaign = named("c", lab, journal)
        hosted = campaign.hosted

        def opening(*given: Any) -> Any:
            host.abort("at once")
            return hosted(*given)

        def slow() -> str:
            begun.wait(60)
            return "done"

        monkeypatch.setattr(campaign, "hosted", opening)
        host.start(campaign, waiting)
        assert waiting.wait() == ("aborted", "at once")
        threading.Timer(1.0, begun.set).start()
        assert host.call(slow, 0.5) == "done"
