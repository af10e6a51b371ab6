"""A person as a device: on the terminal, and in simulation."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

import sdl
from sdl.errors import DeviceError, LabError
from sdl.lab import ActionClass, ActRecord, Person, SimulatedPerson
from sdl.lab.messages import message

Plan = Generator[Any, Any, Any]


def load(lab: Any, s: sdl.Settings) -> Plan:
    return (yield from lab.kim.do("Put the vials into the furnace", expected="10 min"))


def test_a_person_is_asked_and_says_that_it_is_done() -> None:
    asked: list[str] = []

    def ask(text: str) -> str:
        asked.append(text)
        return "vial 3 is chipped"

    with sdl.Lab("bench", kim=Person("kim", ask=ask)) as lab:
        assert lab.run(load) == "vial 3 is chipped"
        assert "Put the vials into the furnace" in asked[0]
        assert lab.kim.read()["kim"]["value"] == "vial 3 is chipped"


def test_a_person_may_say_that_it_failed() -> None:
    kim = Person("kim", ask=lambda _: "failed: the vial broke")
    with sdl.Lab("bench", kim=kim) as lab, pytest.raises(DeviceError, match="could not do it: the vial broke"):
        lab.run(load)


def test_without_a_terminal_nobody_is_asked() -> None:
    with (
        sdl.Lab("bench", kim=Person("kim")) as lab,
        pytest.raises((DeviceError, LabError), match="nobody can be asked"),
    ):
        lab.run(load)


def test_a_simulated_person_works_in_working_hours() -> None:
    hours = sdl.Calendar(hours=("Mon-Fri 08:00-18:00",))
    times: list[float] = []
    for _ in range(2):
        kim = SimulatedPerson("kim", hours=hours, seed=3)
        with sdl.Lab("bench", clock=sdl.VirtualClock(), kim=kim) as lab:  # at midnight, on a Thursday
            before = lab.clock.time()
            lab.run(load)
            times.append(lab.clock.time() - before)
    assert times[0] == times[1]
    assert 8 * 3600 + 120 < times[0] < 8 * 3600 + 3000


def test_after_a_crash_the_person_is_asked_whether_it_was_done() -> None:
    act = ActRecord(
        act="1.1.load.1",
        trial=1,
        attempt=1,
        step="load",
        station="bench",
        device="kim",
        verb="set",
        action_class=ActionClass.IRREVERSIBLE,
        arguments={"args": ["Put the vials into the furnace"]},
        intended_at=0.0,
    )

    def was_it(lab: Any, s: sdl.Settings) -> Plan:
        done = yield message("wait_for", None, [lambda: lab.kim.reconcile(act)])
        return done[0].result()

    for said, answer in (("yes", "happened"), ("no", "did_not_happen"), ("", "cannot_tell")):
        with sdl.Lab("bench", kim=Person("kim", ask=lambda _, said=said: said)) as lab:  # type: ignore[misc] # bound now
            assert lab.run(was_it).answer == answer
