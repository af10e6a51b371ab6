"""What the loop does when steps use things up: it asks first, books what was used, and waits or pauses for want."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Sequence
from typing import Any, ClassVar

import bluesky.plan_stubs as bps
import numpy as np
import pytest
from toy import SPACE, LinePlanner, Status, bodies

import sdl
from sdl import Consumable, Plate, Rack, Reagent, Stock, Use
from sdl.campaign import CampaignView, FailurePolicy
from sdl.errors import CampaignError, LabError
from sdl.journal import Entry, MemoryJournal
from sdl.journal.materials import (
    MaterialAdded,
    MaterialConsumed,
    MaterialCounted,
    MaterialReleased,
    SampleMarked,
    SampleMoved,
    StepWaiting,
)
from sdl.journal.records import Event, FailureCategory
from sdl.lab import Ledger, SampleState
from sdl.problem import Amount

DAY = dt.date(2026, 1, 1)  # when the virtual clock begins


class Dispenser:
    """Gives volumes in mL, a little off, and sometimes stops on the way; ``given`` is the truth."""

    parent = None
    action_classes: ClassVar[dict[str, str]] = {"set": "cumulative"}

    def __init__(self, name: str = "dispenser", *, seed: int = 0) -> None:
        self.name = name
        self.rng = np.random.default_rng(seed)
        self.fault_rate = 0.0
        self.off_by = 0.02
        self.given: list[float] = []

    @property
    def total(self) -> float:
        return sum(self.given)

    def set(self, volume: float) -> Status:
        return Status(asyncio.get_running_loop().create_task(self._give(volume)))

    async def _give(self, volume: float) -> None:
        await asyncio.sleep(5.0)
        real = volume * (1 + self.off_by * self.rng.uniform(-1, 1))
        is_failing = self.rng.random() < self.fault_rate
        self.given.append(real * self.rng.random() if is_failing else real)
        await asyncio.sleep(5.0)
        if is_failing:
            raise RuntimeError("the line is clogged")


class InkLab(sdl.Lab):
    """A dispenser and a reader, each with a station of its own."""

    is_simulated = True

    def __init__(self, *items: Any, seed: int = 0) -> None:
        dispenser, reader = Dispenser(seed=seed), Dispenser("reader")
        stations = {"wet": ["dispenser"], "dry": ["reader"]}
        clock = sdl.VirtualClock()
        super().__init__("ink", stations=stations, clock=clock, stock=Stock(*items), dispenser=dispenser, reader=reader)


def give(lab: InkLab, s: sdl.Settings) -> Any:
    yield from bps.mv(lab.dispenser, 10 * s.number("x"))


def look(lab: InkLab, s: sdl.Settings) -> Any:
    yield from bps.sleep(30.0)
    return {"signal": sdl.Measurement(s.number("x"), "V")}


def break_off(lab: InkLab, s: sdl.Settings) -> Any:
    yield from look(lab, s)
    raise OSError("the needle is bent")


def dose(s: sdl.Settings) -> list[Use]:
    return [Use("ink", f"{10 * s.number('x')} mL"), Use("vial")]


INK = Reagent("ink", "500 mL", lot="A1", tolerance="2 %")
VIALS = Consumable("vial", 40)


def steps(*, uses: Any = dose, **second: Any) -> sdl.Experiment:
    return sdl.Experiment(
        sdl.Step("give", give, station="wet", uses=uses), sdl.Step("look", look, station="dry", **second)
    )


def ink_campaign(lab: sdl.Lab, journal: Any = None, **changes: Any) -> sdl.Campaign:
    options: dict[str, Any] = {
        "space": SPACE,
        "objective": sdl.Minimize("signal", unit="V"),
        "planner": LinePlanner(),
        "experiment": steps(),
        "lab": lab,
        "journal": MemoryJournal() if journal is None else journal,
        "on_failure": FailurePolicy(max_in_a_row=10_000),
        "progress": False,
    }
    return sdl.Campaign("ink", **(options | changes))


def kinds_of(journal: MemoryJournal, trial: int) -> list[str]:
    return [event.kind for event in journal.read(trial=trial) if not event.kind.startswith(("document", "act."))]


# --- what is booked ---------------------------------------------------------------------------------------------------


def test_a_trial_is_booked_with_what_it_does() -> None:
    journal = MemoryJournal()
    with InkLab(INK, VIALS) as lab:
        ink_campaign(lab, journal).run(trials=2)
    assert kinds_of(journal, 1) == [
        "trial.proposed",
        "trial.started",
        "sample.made",
        "material.reserved",
        "material.reserved",
        "step.started",
        "step.ended",
        "material.consumed",
        "material.consumed",
        "step.started",
        "step.ended",
        "trial.completed",
    ]
    ledger = Ledger.of(journal)
    assert ledger.balance("ink", DAY).consumed == Amount(0.98 * 1.5, 1.02 * 1.5, "mL")
    assert ledger.balance("vial", DAY).left == Amount(38.0, 38.0)
    sample = ledger.sample_of("ink", 2)
    assert sample is not None
    assert (sample.name, sample.state) == ("ink/2.1", SampleState.MEASURED)
    assert [(used.material, used.lot) for used in sample.made_of] == [("ink", "A1"), ("vial", "")]


def test_a_campaign_without_needs_has_a_journal_without_a_ledger() -> None:
    journal = MemoryJournal()
    with InkLab() as lab:
        ink_campaign(lab, journal, experiment=steps(uses=())).run(trials=2)
    assert not [event.kind for event in journal.read() if event.kind.startswith(("material", "sample", "rack"))]
    assert "stock" not in CampaignView.of(journal).lab


def test_whatever_a_failing_dispenser_gave_lies_within_what_is_booked() -> None:
    """A6: 500 doses, nearly half of which stop after a random share of the volume."""
    journal = MemoryJournal()
    with InkLab(Reagent("ink", "20 L", tolerance="2 %"), seed=6) as lab:
        lab.dispenser.fault_rate = 0.45
        experiment = sdl.Experiment(sdl.Step("give", give_and_look, uses=ink_only))
        ink_campaign(lab, journal, experiment=experiment).run(trials=500)
        given = [volume / 1000 for volume in lab.dispenser.given]  # in L, as the account is kept
    booked = [body.amount for body in bodies(journal, MaterialConsumed)]
    assert len(given) == len(booked) == 500
    assert all(amount.contains(volume) for amount, volume in zip(booked, given, strict=True))
    how = [body.how for body in bodies(journal, MaterialConsumed)]
    assert 150 < how.count("failed") < 300
    ledger = Ledger.of(journal)
    assert ledger.balance("ink", DAY).left.contains(20.0 - sum(given))
    suspects = [sample for sample in ledger.samples if sample.state is SampleState.SUSPECT]
    assert len(suspects) == how.count("failed")


def give_and_look(lab: InkLab, s: sdl.Settings) -> Any:
    yield from bps.mv(lab.dispenser, 1 + 10 * s.number("x"))
    return {"signal": sdl.Measurement(s.number("x"), "V")}


def ink_only(s: sdl.Settings) -> list[Use]:
    return [Use("ink", f"{1 + 10 * s.number('x')} mL")]


def test_another_attempt_has_another_sample_and_pays_again() -> None:
    journal = MemoryJournal()
    with InkLab(INK, VIALS) as lab:
        lab.dispenser.fault_rate = 1.0
        policy = FailurePolicy(retries=2, retry_on=tuple(FailureCategory))
        consent = sdl.OnUnknown(cumulative="redo", redos=2, consent="Kim: every attempt has a new vial")
        ink_campaign(lab, journal, on_failure=policy, on_unknown=consent).run(trials=1)
    ledger = Ledger.of(journal)
    assert [sample.name for sample in ledger.samples] == ["ink/1.1", "ink/1.2", "ink/1.3"]
    assert ledger.balance("vial", DAY).left == Amount(37.0, 40.0)
    assert not ledger.open_reservations("ink")


def test_what_later_steps_would_have_used_is_free_again_when_a_trial_fails() -> None:
    journal = MemoryJournal()
    with InkLab(INK, VIALS) as lab:
        lab.dispenser.fault_rate = 1.0
        ink_campaign(lab, journal, experiment=steps_with_late_vial()).run(trials=1)
    assert Ledger.of(journal).balance("vial", DAY).usable == Amount(40.0, 40.0)
    assert "material.released" in kinds_of(journal, 1)


def steps_with_late_vial() -> sdl.Experiment:
    return sdl.Experiment(
        sdl.Step("give", give, station="wet", uses=[Use("ink", "1 mL")]),
        sdl.Step("look", look, station="dry", uses=[Use("vial")]),
    )


# --- what is lacking --------------------------------------------------------------------------------------------------


def test_a_campaign_that_runs_out_pauses_says_what_is_missing_and_goes_on_when_it_is_there() -> None:
    journal = MemoryJournal()
    with InkLab(INK, Consumable("vial", 2)) as lab:
        ended = ink_campaign(lab, journal).run(trials=4)
        assert ended.status == "paused"
        assert "trial 3 lacks 1 of vial: 0 is free" in ended.reason
        assert "sdl stock" in ended.reason
        (waiting,) = bodies(journal, StepWaiting)
        assert (waiting.step, waiting.missing) == ("give", ("1 of vial: 0 is free",))
        assert Ledger.of(journal).waiting("ink") == {3: waiting}
        added = MaterialAdded(material="vial", form="consumable", amount=Amount(10.0, 10.0), because="a new box")
        journal.append(Entry(added, "", actor="Ann"))
        campaign = ink_campaign(lab, journal)
        assert campaign.run(trials=4).status == "finished"
    assert [trial.attempts for trial in campaign.trials] == [1, 1, 1, 1]
    assert not Ledger.of(journal).waiting("ink")


def test_what_a_failed_step_may_have_used_is_not_planned_with_until_somebody_has_counted() -> None:
    journal = MemoryJournal()
    with InkLab(INK, Consumable("vial", 1)) as lab:
        lab.dispenser.fault_rate = 1.0
        ended = ink_campaign(lab, journal).run(trials=2)
        assert "trial 2 lacks 1 of vial: 0 to 1 is free" in ended.reason
        counted = MaterialCounted(material="vial", amount=Amount(1.0, 1.0), because="it is still in its box")
        journal.append(Entry(counted, "", actor="Ann"))
        assert ink_campaign(lab, journal).run(trials=2).status == "finished"
    assert len(lab.dispenser.given) == 2


def test_a_trial_that_could_not_be_ended_is_not_begun() -> None:
    journal = MemoryJournal()
    with InkLab(INK, Consumable("vial", 1)) as lab:
        ended = ink_campaign(lab, journal, experiment=steps_with_late_vial()).run(trials=2)
        n_doses = len(lab.dispenser.given)
    assert ended.status == "paused"
    assert n_doses == 1


@pytest.mark.parametrize(
    ("items", "missing"),
    [
        ([INK], "1 of vial: the stock has ink"),
        ([VIALS], "0.5 mL of ink: the stock has vial"),
        ([INK.replace(expires=dt.date(2025, 12, 31)), VIALS], "0 mL is free, lot A1 expired on 2025-12-31"),
        ([INK.replace(amount="0.5 mL"), VIALS], "0.51 mL of ink: 0.5 mL is free"),
        (
            [INK.replace(amount="0.4 mL"), INK.replace(amount="0.4 mL", lot="B"), VIALS],
            "0.8 mL is free, a dose comes from one lot",
        ),
    ],
)
def test_it_says_in_words_what_it_lacks(items: Sequence[Any], missing: str) -> None:
    with InkLab(*items) as lab:
        ended = ink_campaign(lab).run(trials=1)
        assert not lab.dispenser.given
    assert ended.status == "paused"
    assert missing in ended.reason


def test_a_lot_that_expires_during_the_campaign_is_not_used_any_more() -> None:
    journal = MemoryJournal()
    lots = [INK.replace(expires=dt.date(2026, 1, 2)), INK.replace(lot="A2")]
    with InkLab(*lots, VIALS) as lab:
        ink_campaign(lab, journal).run(trials=1)
        lab.clock.advance_to(dt.datetime(2026, 1, 3, tzinfo=dt.UTC).timestamp())
        ink_campaign(lab, journal).run(trials=2)
    assert [body.lot for body in bodies(journal, MaterialConsumed) if body.material == "ink"] == ["A1", "A2"]


def test_what_expires_after_it_was_set_aside_is_not_used_either() -> None:
    journal = MemoryJournal()

    def wait_for_days(lab: InkLab, s: sdl.Settings) -> Any:
        yield from bps.sleep(3 * 86_400.0)

    experiment = sdl.Experiment(
        sdl.Step("wait", wait_for_days), sdl.Step("look", look, uses=[Use("vial"), Use("ink", "1 mL")])
    )
    lots = [INK.replace(expires=dt.date(2026, 1, 2)), INK.replace(lot="A2")]
    with InkLab(*lots, VIALS) as lab:
        assert ink_campaign(lab, journal, experiment=experiment).run(trials=1).status == "finished"
    assert [(used.material, used.lot) for used in Ledger.of(journal).consumed("ink", 1)] == [
        ("vial", ""),
        ("ink", "A2"),
    ]
    with InkLab(lots[0], VIALS) as lab:
        ended = ink_campaign(lab, journal2 := MemoryJournal(), experiment=experiment).run(trials=1)
    assert "0 mL is free" in ended.reason
    assert not Ledger.of(journal2).consumed("ink", 1)


def test_things_that_are_counted_may_come_from_two_boxes() -> None:
    journal = MemoryJournal()
    with InkLab(Consumable("vial", 2, lot="old"), Consumable("vial", 5, lot="new")) as lab:
        ink_campaign(lab, journal, experiment=steps(uses=[Use("vial", 3)])).run(trials=1)
    assert [(used.lot, used.amount.most) for used in Ledger.of(journal).consumed("ink", 1)] == [
        ("old", 2.0),
        ("new", 1.0),
    ]


def test_a_trial_waits_for_what_another_one_may_give_back() -> None:
    """Two trials in flight, one position: the second waits until the first sample has been used up."""
    journal = MemoryJournal()
    experiment = sdl.Experiment(
        sdl.Step("give", give, station="wet", needs_position="stage"),
        sdl.Step("look", look, station="dry", ends_sample=True),
    )
    with InkLab(Rack("stage", 1)) as lab:
        ended = ink_campaign(lab, journal, experiment=experiment, in_flight=2).run(trials=4)
    assert ended.status == "finished"
    waited = bodies(journal, StepWaiting)
    assert {body.missing for body in waited} == {("a free position in stage: 1 of 1 are taken",)}
    assert [sample.state for sample in Ledger.of(journal).samples] == [SampleState.CONSUMED] * 4


def test_a_full_hotel_pauses_the_campaign_and_clearing_it_lets_it_go_on() -> None:
    journal = MemoryJournal()
    seen: list[str] = []

    def place(lab: InkLab, s: sdl.Settings) -> Any:
        seen.append(s.positions["hotel"])
        yield from look(lab, s)
        return {"signal": sdl.Measurement(1.0, "V")}

    experiment = sdl.Experiment(sdl.Step("place", place, needs_position="hotel"))
    with InkLab(Rack("hotel", ["left", "right"])) as lab:
        ended = ink_campaign(lab, journal, experiment=experiment).run(trials=3)
        assert "a free position in hotel: 2 of 2 are taken" in ended.reason
        journal.append(Entry(SampleMoved(sample="ink/1.1", position=None, because="to the archive"), ""))
        assert ink_campaign(lab, journal, experiment=experiment).run(trials=3).status == "finished"
    assert seen == ["left", "right", "left"]


@pytest.mark.parametrize(
    ("plan", "state"), [(look, "0 of 2 are taken, 2 are used up"), (break_off, "2 of 2 are taken")]
)
def test_a_well_is_used_once(plan: Any, state: str) -> None:
    """And by a step that fails as well: what is in it now, nobody knows."""
    journal = MemoryJournal()
    experiment = sdl.Experiment(sdl.Step("look", plan, needs_position="plate", ends_sample=True))
    with InkLab(Plate("plate", rows=1, columns=2)) as lab:
        ended = ink_campaign(lab, journal, experiment=experiment).run(trials=3)
    assert state in ended.reason
    assert len(Ledger.of(journal).samples) == 2


# --- what is refused --------------------------------------------------------------------------------------------------


def test_the_declaration_is_the_opening_balance_and_no_more() -> None:
    journal = MemoryJournal()
    with InkLab(INK, VIALS) as lab:
        ink_campaign(lab, journal).run(trials=1)
        ink_campaign(lab, journal).run(trials=2)
    assert [body.amount for body in bodies(journal, MaterialAdded)] == [INK.amount, VIALS.amount]
    with InkLab(INK.replace(amount="1 L"), VIALS) as lab, pytest.raises(CampaignError, match="opened with 500 mL"):
        ink_campaign(lab, journal).run(trials=3)


def test_a_use_that_is_none_is_named() -> None:
    with InkLab(INK) as lab, pytest.raises(LabError, match="uses of step 'give'"):
        ink_campaign(lab, experiment=steps(uses=lambda s: ["ink"])).run(trials=1)


def test_a_sample_in_doubt_goes_no_further() -> None:
    """H4: between two steps somebody (or a fault) marks the sample; the second step does not start."""
    journal = MemoryJournal()

    class Doubting:
        def notify(self, event: Event, view: CampaignView) -> None:
            if event.kind == "step.ended" and event.trial == 1:
                marked = SampleMarked(sample="ink/1.1", state=SampleState.SUSPECT, because="it was dropped")
                journal.append(Entry(marked, "ink", 1))

        def close(self, view: CampaignView) -> None:
            pass

    with InkLab(INK, VIALS) as lab:
        campaign = ink_campaign(lab, journal, progress=Doubting())
        campaign.run(trials=2)
    first, second = campaign.trials
    assert first.failure is not None
    assert (first.failure.category, first.failure.step) == (FailureCategory.SAMPLE, "look")
    assert "ink/1.1 is suspect: it was dropped" in first.failure.reason
    assert second.observation is not None


# --- a crash anywhere -------------------------------------------------------------------------------------------------


class Witness(MemoryJournal):
    """Notes with every transaction how much had really been given."""

    lab: InkLab

    def __init__(self) -> None:
        super().__init__()
        self.moments: list[tuple[int, float]] = []

    def append(self, *entries: Entry) -> Sequence[Event]:
        events = super().append(*entries)
        self.moments.append((self.head[0], self.lab.dispenser.total))
        return events

    def until(self, sequence: int) -> MemoryJournal:
        copy = MemoryJournal()
        for event in self.read():
            if event.sequence <= sequence:
                copy.append(Entry(event.body, event.campaign, event.trial, actor=event.actor))
        return copy


class LastingLab(InkLab):
    """Its instruments outlive the process."""

    @property
    def keeps_state(self) -> bool:
        return True


@pytest.mark.parametrize("on_unknown", ["redo", "failed"])
@pytest.mark.parametrize("kind", [InkLab, LastingLab])
def test_killed_between_any_two_transactions_the_books_hold_the_truth(kind: type[InkLab], on_unknown: Any) -> None:
    items = (INK, VIALS, Rack("hotel", 9))
    experiment = steps(needs_position="hotel")
    whole = Witness()
    with kind(*items) as lab:
        whole.lab = lab
        ink_campaign(lab, whole, experiment=experiment, on_unknown=on_unknown).run(trials=2)
    for number, (sequence, before) in enumerate(whole.moments[1:-1], 1):
        after = whole.moments[number + 1][1]  # the kill came somewhere before the next transaction
        journal = whole.until(sequence)
        with kind(*items, seed=number) as lab:
            campaign = ink_campaign(lab, journal, experiment=experiment, on_unknown=on_unknown)
            assert campaign.run(trials=2).status == "finished", sequence
            given = lab.dispenser.total
        ledger = Ledger.of(journal)
        consumed = ledger.balance("ink", DAY).consumed
        assert consumed.least <= before + given + 1e-9, sequence
        assert after + given <= consumed.most + 1e-9, sequence
        assert not ledger.open_reservations("ink"), sequence
        assert not ledger.cut_off("ink")


def test_a_trial_that_lacks_a_place_half_way_goes_on_from_there() -> None:
    """The session pauses with the trial begun; the next one does not dose again."""
    journal = MemoryJournal()
    experiment = steps(needs_position="reader")
    items = (INK, VIALS, Rack("reader", 1))
    with LastingLab(*items) as lab:
        ended = ink_campaign(lab, journal, experiment=experiment).run(trials=2)
        assert ended.status == "paused"
        assert len(lab.dispenser.given) == 2
    journal.append(Entry(SampleMoved(sample="ink/1.1", position=None, because="archived"), "", actor="Ann"))
    with LastingLab(*items) as lab:
        campaign = ink_campaign(lab, journal, experiment=experiment)
        assert campaign.run(trials=2).status == "finished"
        assert not lab.dispenser.given
    assert [trial.attempts for trial in campaign.trials] == [1, 1]
    assert Ledger.of(journal).balance("vial", DAY).left == Amount(38.0, 38.0)


def test_a_step_that_resumes_after_its_dose_pays_for_it_once() -> None:
    whole = Witness()
    experiment = sdl.Experiment(sdl.Step("give", give_and_look, uses=ink_only, resume=look))
    with LastingLab(INK) as lab:
        whole.lab = lab
        ink_campaign(lab, whole, experiment=experiment).run(trials=1)
    (given,) = lab.dispenser.given
    ended = next(event.sequence for event in whole.read(kinds=("act.ended",)))
    journal = whole.until(ended)
    with LastingLab(INK) as lab:
        campaign = ink_campaign(lab, journal, experiment=experiment)
        campaign.run(trials=1)
        assert not lab.dispenser.given
    assert campaign.trials[0].attempts == 1
    assert campaign.trials[0].observation is not None
    (booked,) = bodies(journal, MaterialConsumed)
    assert (booked.how, booked.amount.contains(given)) == ("done", True)
    (sample,) = Ledger.of(journal).samples
    assert sample.state is SampleState.MEASURED


@pytest.mark.parametrize(("by", "is_measured"), [("engine", True), ("Ann", False)])
def test_a_trial_that_goes_on_vouches_for_its_sample_but_not_against_a_person(by: str, is_measured: bool) -> None:
    whole = Witness()
    with LastingLab(INK, VIALS) as lab:
        whole.lab = lab
        ink_campaign(lab, whole).run(trials=1)
    ended = next(event.sequence for event in whole.read(kinds=("step.ended",)))
    journal = whole.until(next(sequence for sequence, _ in whole.moments if sequence >= ended))
    doubt = SampleMarked(sample="ink/1.1", state=SampleState.SUSPECT, because="it looks odd")
    journal.append(Entry(doubt, "ink", 1, actor=by))
    with LastingLab(INK, VIALS) as lab:
        campaign = ink_campaign(lab, journal)
        campaign.run(trials=1)
    assert (campaign.trials[0].observation is not None) == is_measured
    assert Ledger.of(journal).samples[0].state is (SampleState.MEASURED if is_measured else SampleState.SUSPECT)


def test_a_step_that_is_refused_before_it_begins_uses_nothing_and_leaves_its_sample_in_order() -> None:
    """The dry walk finds a set-point outside the laboratory's limits: nothing was moved."""
    lab = sdl.Lab(
        "ink",
        stations={"wet": ["dispenser"], "dry": ["reader"]},
        clock=sdl.VirtualClock(),
        stock=Stock(INK, VIALS),
        limits={"dispenser": (0.0, 0.7)},
        dispenser=Dispenser(),
        reader=Dispenser("reader"),
    )
    journal = MemoryJournal()
    campaign = ink_campaign(lab, journal)
    campaign.run(trials=2)  # 0.5 mL, and 1 mL
    lab.close()
    assert campaign.trials[1].failure is not None
    assert campaign.trials[1].failure.category is FailureCategory.LIMIT
    ledger = Ledger.of(journal)
    assert not ledger.consumed("ink", 2)
    assert ledger.balance("ink", DAY).consumed == Amount(0.49, 0.51, "mL")
    sample = ledger.sample_of("ink", 2)
    assert sample is not None
    assert sample.state is not SampleState.SUSPECT


def test_what_the_last_trial_has_used_is_not_set_free_again_when_it_is_too_late_for_its_next_step() -> None:
    """The second trial waits for the reader for longer than it may; nobody looks at the account in between."""
    journal = MemoryJournal()
    experiment = sdl.Experiment(
        sdl.Step("give", give, station="wet", uses=dose, duration=10),
        sdl.Step("look", look, station="dry", within={"give": 5}, duration=1),
    )
    with InkLab(INK, VIALS) as lab:
        campaign = ink_campaign(lab, journal, experiment=experiment, in_flight=2)
        campaign.run(trials=2)
        assert [trial.failure and trial.failure.category for trial in campaign.trials] == [None, FailureCategory.LATE]
    assert len(bodies(journal, MaterialConsumed)) == 4
    assert not bodies(journal, MaterialReleased)
    assert Ledger.of(journal).balance("vial", DAY).left == Amount(38.0, 38.0)
