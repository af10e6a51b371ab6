"""Planners that are asked again answer what they answered then, or the difference is found and put on record."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any, ClassVar

import pytest
from toy import LinePlanner, ToyLab, toy_campaign
from typer.testing import CliRunner

import sdl
from sdl.campaign.replay import replay_proposals, requests
from sdl.commands.app import app
from sdl.journal import MemoryJournal, open_journal
from sdl.journal.records import ProposalsReplayed
from sdl.planners import BayesianPlanner, SobolPlanner
from sdl.testing import AdversarialPlanner


class Moody(LinePlanner):
    """Says something else each time: no function of its arguments."""

    count: ClassVar[Any] = itertools.count(1)

    def suggest(self, *args: Any, **kwargs: Any) -> Any:
        answer = super().suggest(*args, **kwargs)
        return [each.replace(values={"x": (each.values["x"] + 1e-12 * next(self.count)) % 1.0}) for each in answer]


@pytest.mark.parametrize(
    ("planner", "in_flight"), [(BayesianPlanner(n_initial=2), 1), (SobolPlanner(seed=3), 2), (LinePlanner(), 3)]
)
def test_a_stored_log_gives_the_same_proposals_bit_for_bit(planner: Any, in_flight: int) -> None:
    """Over two sessions, with several trials under way that the planner must be told of as pending."""
    journal = MemoryJournal()
    for trials in (3, 5):
        lab = ToyLab(n_cells=in_flight)
        toy_campaign(lab, planner=planner, journal=journal, in_flight=in_flight, seed=4).run(trials=trials)
        lab.close()
    replayed = replay_proposals(journal, modules=("sdl", "toy"))
    assert (replayed.n_same, replayed.divergences, dict(replayed.left_out)) == (5, (), {})


def test_what_a_planner_was_given_is_in_the_journal() -> None:
    """Every request that the loop made is found again, pending trials and all."""
    given: list[Any] = []

    class Witness(LinePlanner):
        def suggest(self, problem: Any, history: Any, n: int, *, situation: Any, seed: int) -> Any:
            given.append((problem, history, n, situation, seed))
            return super().suggest(problem, history, n, situation=situation, seed=seed)

    journal = MemoryJournal()
    lab = ToyLab(n_cells=2)
    toy_campaign(lab, planner=Witness(), journal=journal, in_flight=2).run(trials=6)
    found = [asked.request for asked in requests(journal)]
    assert [(r.problem, r.history, r.n, r.situation, r.seed) for r in found] == given


def test_a_planner_with_moods_is_found_out_and_the_divergence_is_on_record(tmp_path: Path) -> None:
    toy_campaign(planner=Moody(), journal=tmp_path / "toy.sdl").run(trials=3)
    command = ["replay", str(tmp_path / "toy.sdl"), "--module", "test_replay"]
    said = CliRunner().invoke(app, command)
    assert said.exit_code == 1
    assert "differently" in said.stdout
    with open_journal(tmp_path / "toy.sdl", "read") as journal:
        (found,) = [event.body for event in journal.read() if isinstance(event.body, ProposalsReplayed)]
    assert [each.trial for each in found.divergences] == [1, 2, 3]
    assert found.divergences[0].replayed is not None
    assert found.versions["sdl"]


def test_a_planner_that_the_journal_names_is_not_imported_unasked() -> None:
    journal = MemoryJournal()
    toy_campaign(planner=LinePlanner(), journal=journal).run(trials=2)
    replayed = replay_proposals(journal)
    assert (replayed.n_same, len(replayed.left_out)) == (0, 2)
    assert "not among" in replayed.left_out["1"]
    assert replay_proposals(journal, planner=LinePlanner()).n_same == 2


def test_what_the_fallback_proposed_is_asked_of_the_fallback() -> None:
    journal = MemoryJournal()
    toy_campaign(planner=AdversarialPlanner(), journal=journal, seed=sdl.__version__.count("z")).run(trials=3)
    replayed = replay_proposals(journal)
    assert replayed.n_same + len(replayed.left_out) == 3
    assert not replayed.divergences
