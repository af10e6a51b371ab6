"""The fold: fast, and the same however the events come in."""

from __future__ import annotations

import io
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toy import SPACE, LinePlanner, ToyLab, toy_campaign

import sdl
from sdl.campaign import CampaignView, History
from sdl.campaign.budget import Budget
from sdl.campaign.progress import LivePanel, PlainLines, ask_on_terminal, duration
from sdl.errors import CampaignError
from sdl.journal import Journal, MemoryJournal, open_journal
from sdl.journal.records import (
    CampaignOpened,
    Decision,
    Entry,
    Observation,
    TrialCompleted,
    TrialProposed,
    TrialsCompared,
    TrialStarted,
)
from sdl.journal.trust import Quality, TrialJudged, Verdict


def recorded() -> MemoryJournal:
    journal = MemoryJournal()
    lab = ToyLab()
    toy_campaign(lab, planner=LinePlanner(), journal=journal).run(trials=8)
    lab.close()
    return journal


def doubted(journal: MemoryJournal) -> MemoryJournal:
    """Return *journal* with what a person says of its trials afterwards."""
    judged = (
        (2, Quality.SUSPECT),
        (3, Quality.INVALID),
        (5, Quality.SUSPECT),
        (2, Quality.VALID),
        (3, Quality.SUSPECT),
    )
    for number, quality in judged:
        journal.append(Entry(TrialJudged(verdict=Verdict(quality=quality)), "toy", number, actor="ana"))
    journal.append(Entry(TrialsCompared(better=2, worse=4, by="ana"), "toy", actor="ana"))
    return journal


JOURNAL = recorded()
EVENTS = list(JOURNAL.read())


DOUBTED = list(doubted(recorded()).read())


@settings(max_examples=30)
@given(st.lists(st.integers(1, len(DOUBTED)), max_size=6))
def test_a_history_that_is_kept_up_to_date_is_the_one_that_is_made_anew(cuts: list[int]) -> None:
    kept = CampaignView("toy")
    for cut in [*sorted(cuts), len(DOUBTED)]:
        anew = CampaignView("toy")
        for event in DOUBTED[:cut]:
            kept.apply(event)
            anew.apply(event)
        given_now = History.from_json(anew.history.to_json())  # its parts worked out from the entries
        assert kept.history == given_now
        assert kept.history.pending == given_now.pending
        assert kept.history.completed == given_now.completed
    assert [entry.trial for entry in kept.history.entries] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert [entry.trial for entry in kept.history.pending] == [3, 5]


def test_a_history_is_made_anew_only_where_something_has_changed() -> None:
    view = CampaignView.of(JOURNAL)
    before = view.history
    assert view.history is before
    number = view.n_proposed + 1
    decision = Decision(planner="line", version="1", seed=0, n_observed=8, n_pending=0)
    text = TrialProposed(values={"x": 0.5}, decision=decision).to_json()
    view.apply(EVENTS[-1]._replace(sequence=view.sequence + 1, kind="trial.proposed", trial=number, text=text))
    assert [entry.trial for entry in view.history.pending] == [number]
    assert all(one is two for one, two in zip(before.entries, view.history.entries, strict=False))


@given(st.lists(st.integers(0, len(EVENTS)), max_size=6))
def test_the_fold_does_not_depend_on_where_it_was_interrupted(cuts: list[int]) -> None:
    whole = CampaignView.of(JOURNAL)
    pieces = CampaignView("toy")
    for cut in [*sorted(cuts), len(EVENTS)]:
        for event in EVENTS[:cut]:
            pieces.apply(event)  # what it has seen already it passes over
    assert pieces.trials == whole.trials
    assert pieces.history == whole.history
    assert pieces.best == whole.best
    assert pieces.lab_seconds == whole.lab_seconds


def fill(journal: Journal, n: int) -> None:
    problem = sdl.Problem(SPACE, sdl.Minimize("signal", unit="V"))
    opened = CampaignOpened(problem=problem, problem_digest=problem.digest, planner={}, lab={}, seed=0)
    journal.append(Entry(opened, "big"))
    decision = Decision(planner="line", version="1", seed=0, n_observed=0, n_pending=0, note="x" * 200)
    for start in range(1, n + 1, 500):
        entries: list[Entry] = []
        for i in range(start, min(start + 500, n + 1)):
            x = (i % 997) / 997
            observation = Observation(outcomes={"signal": sdl.Measurement(x, "V")}, runs=("a" * 36,))
            entries += [
                Entry(TrialProposed(values={"x": x}, decision=decision), "big", i),
                Entry(TrialStarted(attempt=1), "big", i),
                Entry(TrialCompleted(observation=observation), "big", i),
            ]
        journal.append(*entries)


def test_folding_takes_at_most_ten_seconds_for_100_000_trials(tmp_path: Path) -> None:
    n = 4_000
    store = tmp_path / "big.sdl"
    journal = open_journal(store)
    fill(journal, n)
    journal.close()
    reader = open_journal(store, mode="read")
    seconds: list[float] = []
    for _ in range(3):
        began = time.process_time()
        assert CampaignView.of(reader).n_proposed == n
        seconds.append(time.process_time() - began)
    reader.close()
    assert min(seconds) <= 2 * 10.0 * n / 100_000  # twice, because other programs run beside the tests


def test_a_journal_without_the_campaign_is_refused_by_name() -> None:
    with pytest.raises(CampaignError, match=r"no campaign 'other'.*it holds toy"):
        CampaignView.of(JOURNAL, "other")
    with pytest.raises(CampaignError, match=r"no trial 9.*1 to 8"):
        CampaignView.of(JOURNAL).trial(9)


def test_the_problem_may_not_change_under_a_campaign() -> None:
    with pytest.raises(CampaignError, match="parameters differ in x"):
        toy_campaign(space=sdl.SearchSpace(x=sdl.Continuous(0.0, 2.0)), journal=JOURNAL).run(trials=9)
    with pytest.raises(CampaignError, match="seed 0, not 1"):
        toy_campaign(seed=1, journal=JOURNAL).run(trials=9)


def test_what_a_person_reads_of_a_trial() -> None:
    space = sdl.SearchSpace({"O2": sdl.Continuous(0.0, 1.0, unit="Pa"), "gas": sdl.Categorical(["Ar", "N2"])})
    problem = sdl.Problem(space, sdl.Minimize("resistance", unit="ohm"))
    journal = MemoryJournal()
    opened = CampaignOpened(problem=problem, problem_digest=problem.digest, planner={}, lab={}, seed=0)
    decision = Decision(planner="line", version="1", seed=0, n_observed=0, n_pending=0)
    observation = Observation(outcomes={"resistance": sdl.Measurement(12.3456789, "ohm", standard_error=0.2)})
    journal.append(
        Entry(opened, "c"),
        Entry(TrialProposed(values={"O2": 0.1, "gas": "Ar"}, decision=decision), "c", 1),
        Entry(TrialStarted(attempt=1), "c", 1),
        Entry(TrialCompleted(observation=observation), "c", 1),
    )
    assert str(CampaignView.of(journal).best) == (
        "trial 1 (completed): resistance = 12.35 ± 0.20 Ω at O2 = 0.1 Pa, gas = Ar"
    )


def test_plain_lines_name_every_trial_the_best_and_the_end() -> None:
    stream = io.StringIO()
    budget = Budget(trials=3)
    toy_campaign(ToyLab(seconds=3590), planner=LinePlanner(), progress=PlainLines(budget, stream)).run(trials=3)
    lines = stream.getvalue().splitlines()
    assert lines[0] == "campaign toy begins"
    assert lines[1].startswith("[1/3] trial 1 (completed): signal = 0.0625 V at x = 0.05 | best signal = 0.0625 V")
    assert lines[3].endswith("3 h of laboratory time")
    assert lines[4].startswith("finished: 3 trials")


def test_the_panel_shows_counts_best_time_and_stations() -> None:
    stream = io.StringIO()
    toy_campaign(planner=LinePlanner(), progress=LivePanel(Budget(trials=2), stream)).run(trials=2)
    text = stream.getvalue()
    for part in ("2 of 2 done, 0 running", "signal = 0.04 V (trial 2)", "of laboratory time", "station cell0", "idle"):
        assert part in text


@given(st.floats(0, 1e8))
@settings(max_examples=50)
def test_durations_are_short_and_not_far_off(seconds: float) -> None:
    number, unit = duration(seconds).split()
    size = {"s": 1, "min": 60, "h": 3600, "days": 86_400}[unit]
    assert float(number) * size == pytest.approx(seconds, rel=0.01)
    assert len(duration(seconds)) <= 13


def test_a_person_is_asked_until_he_answers(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = iter(["maybe", "F"])
    monkeypatch.setattr("builtins.input", lambda _: next(answers))
    assert ask_on_terminal(CampaignView.of(JOURNAL).trial(1)) == "failed"
    assert "Nobody knows" in capsys.readouterr().out


def test_what_a_person_likes_better_is_part_of_the_history() -> None:
    campaign = toy_campaign()
    campaign.run(trials=3)
    campaign.compare(2, 1, by="Ada")
    campaign.compare(3, 1, by="Ada")
    assert [(each.better, each.worse) for each in campaign.view.history.comparisons] == [(2, 1), (3, 1)]
    for better, worse, by in ((2, 2, "Ada"), (2, 9, "Ada"), (2, 1, " ")):
        with pytest.raises(CampaignError):
            campaign.compare(better, worse, by=by)
