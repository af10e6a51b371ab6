"""``sdl stock``: what a person reads of the account, and books in it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from door import is_one_line, sdl

from sdl.campaign.identity import signed
from sdl.commands.border import ExitCode
from sdl.journal import Entry, open_journal, verify
from sdl.journal.materials import (
    MaterialAdded,
    MaterialConsumed,
    MaterialCounted,
    MaterialReserved,
    PositionHeld,
    RackAdded,
    SampleMade,
    SampleMarked,
    SampleState,
    StepWaiting,
)
from sdl.lab import Ledger
from sdl.problem import Amount


@pytest.fixture
def inks(here: Path) -> Path:
    """A store with two lots of ink, vials, a rack and a suspect sample; trial 4 waits for vials."""
    path = here / "inks.sdl"
    dose = Amount(4.9, 5.1, "mL")
    with open_journal(path) as journal:
        for trial, body in (
            (None, MaterialAdded(material="ink", lot="A1", form="reagent", amount=Amount(50.0, 50.0, "mL"))),
            (
                None,
                MaterialAdded(
                    material="ink", lot="A0", form="reagent", amount=Amount(7.0, 7.0, "mL"), expires="2020-01-31"
                ),
            ),
            (None, MaterialAdded(material="vial", form="consumable", amount=Amount(1.0, 1.0))),
            (None, RackAdded(rack="hotel", positions=("1", "2", "3"))),
            (3, SampleMade(sample="inks/3.1", step="give")),
            (3, PositionHeld(sample="inks/3.1", position="hotel/1")),
            (3, MaterialReserved(material="ink", lot="A1", step="give", amount=dose)),
            (
                3,
                MaterialConsumed(material="ink", lot="A1", step="give", amount=Amount(0.0, 5.1, "mL"), how="failed"),
            ),
            (3, SampleMarked(sample="inks/3.1", state=SampleState.SUSPECT, because="the line is clogged")),
            (4, StepWaiting(step="give", missing=("2 of vial: 1 is free",))),
        ):
            journal.append(Entry(body, "inks", trial))
    return path


def ledger_of(path: Path) -> Ledger:
    with open_journal(path, mode="read") as journal:
        return Ledger.of(journal)


def test_it_shows_what_is_left_and_what_is_in_doubt(inks: Path) -> None:
    done = sdl("stock")
    assert done.exit_code == 0
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert "ink 51.9 to 57 mL 0 to 5.1 mL A0 (7 mL, expired 2020-01-31), A1 (44.9 to 50 mL)" in lines
    assert "vial 1" in lines
    assert "hotel: 2 of 3 positions are free" in lines
    assert "sample inks/3.1 at hotel/1 is suspect: the line is clogged" in lines


def test_programs_get_the_same_as_data(inks: Path) -> None:
    found: dict[str, Any] = json.loads(sdl("stock", inks, "--json").stdout)
    ink, vial = found["materials"]
    assert ink["left"] == {"least": 51.9, "most": 57.0, "unit": "mL"}
    assert ink["usable"] == {"least": 44.9, "most": 50.0, "unit": "mL"}
    assert (vial["material"], vial["left"]["least"]) == ("vial", 1.0)
    assert found["racks"]["hotel"]["taken"] == {"1": "inks/3.1"}
    assert found["samples"][0]["state"] == "suspect"


def test_a_count_stands_in_the_journal_with_who_and_why(inks: Path) -> None:
    said = ("--by", "Ann", "--because", "weighed", "--tolerance", "1 mL")
    done = sdl("stock", inks, "count", "ink", "0.047 L", "--lot", "A1", *said)
    assert done.exit_code == 0, done.output
    with open_journal(inks, mode="read") as journal:
        *_, event = journal.read()
        assert not verify(inks).problems
    assert (event.actor, event.trial, event.campaign) == (signed("Ann"), None, "")
    counted = MaterialCounted(material="ink", lot="A1", amount=Amount(46.0, 48.0, "mL"), because="weighed")
    assert event.body == counted
    assert "A1 (46 to 48 mL)" in done.stdout


def test_what_comes_in_is_added_as_more_or_as_a_new_lot_or_a_new_material(inks: Path) -> None:
    assert sdl("stock", inks, "add", "ink", "10 mL", "--lot", "A1", "--by", "Ann").exit_code == 0
    assert (
        sdl("stock", inks, "add", "ink", "1 L", "--lot", "B", "--expires", "2099-01-01", "--by", "Ann").exit_code == 0
    )
    assert sdl("stock", inks, "add", "tip", "96", "--by", "Ann").exit_code == 0
    ledger = ledger_of(inks)
    assert [(lot.name, lot.left.most) for lot in ledger.lots("ink")] == [("A0", 7.0), ("B", 1000.0), ("A1", 60.0)]
    assert ledger.form("tip") == "consumable"


def test_a_person_clears_positions_and_marks_samples(inks: Path) -> None:
    assert sdl("stock", inks, "mark", "inks/3.1", "measured", "--by", "Ann", "--because", "it is fine").exit_code == 0
    assert ledger_of(inks).sample("inks/3.1").state is SampleState.MEASURED
    assert sdl("stock", inks, "clear", "hotel/1", "--by", "Ann", "--because", "archived").exit_code == 0
    assert ledger_of(inks).racks["hotel"].free == ["1", "2", "3"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["count", "ink", "3 mL"], "--by NAME"),
        (["count", "ink", "3 mL", "--by", "Ann"], "--because"),
        (["count", "ink", "3 mL", "--by", "Ann", "--because", "x"], "2 lots of ink"),
        (["count", "ink", "3 mL", "--lot", "Z", "--by", "Ann", "--because", "x"], "no lot 'Z'"),
        (["count", "ink", "3 g", "--lot", "A1", "--by", "Ann", "--because", "x"], "does not convert"),
        (["count", "vial", "1.5", "--by", "Ann", "--because", "x"], "no whole number"),
        (["count", "inc", "1 mL", "--by", "Ann", "--because", "x"], "no 'inc'"),
        (["count", "ink"], "MATERIAL and AMOUNT"),
        (["clear", "hotel/2", "--by", "Ann", "--because", "x"], "no sample in hotel/2"),
        (["clear", "motel", "--by", "Ann", "--because", "x"], "no rack 'motel'"),
        (["mark", "inks/3.1", "odd", "--by", "Ann", "--because", "x"], "fresh, in process"),
        (["mark", "inks/9.1", "fresh", "--by", "Ann", "--because", "x"], "no sample 'inks/9.1'"),
        (["burn"], "does not know 'burn'"),
    ],
)
def test_what_cannot_be_booked_is_said_in_one_line_and_nothing_is_written(
    inks: Path, words: list[str], message: str
) -> None:
    before = ledger_of(inks).sequence
    done = sdl("stock", inks, *words)
    assert done.exit_code != 0
    assert is_one_line(done.stderr), done.stderr
    assert message in done.stderr
    with open_journal(inks, mode="read") as journal:
        assert journal.head[0] == before


def test_while_a_campaign_runs_it_is_read_and_not_written(inks: Path) -> None:
    with open_journal(inks):
        assert sdl("stock", inks).exit_code == 0
        done = sdl("stock", inks, "add", "ink", "1 mL", "--by", "Ann")
    assert done.exit_code == ExitCode.LOCKED


def test_status_says_which_trial_waits_for_what(films: Path) -> None:
    with open_journal(films) as journal:
        journal.append(Entry(StepWaiting(step="deposit", missing=("1 of substrate: 0 is free",)), "films", 5))
    assert "trial 5 of films waits with step 'deposit' for 1 of substrate: 0 is free" in sdl("status", films).stdout
    found = json.loads(sdl("status", films, "--json").stdout)
    assert found["campaigns"][0]["waiting"] == {"5": {"step": "deposit", "missing": ["1 of substrate: 0 is free"]}}


def test_a_store_without_a_stock_says_how_to_have_one(films: Path) -> None:
    assert "Lab(..., stock=Stock(...))" in sdl("stock").stdout
