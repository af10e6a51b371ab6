"""What rests on a step that failed, or that nobody knows the end of, never starts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from typing import Any, ClassVar, Literal

import bluesky.plan_stubs as bps
from hypothesis import given, settings
from hypothesis import strategies as st
from toy import LinePlanner, Status

import sdl
from sdl.errors import DeviceError, DeviceTimeout
from sdl.journal import MemoryJournal
from sdl.journal.records import StepEnded, StepStarted

Plan = Generator[Any, Any, Any]
Fault = Literal["device", "timeout", "plan"]
STATIONS: tuple[str, ...] = ("robot", "oven", "meter")


class Hand:
    """Does what cannot be taken back; says for one trial that it failed, or nothing at all."""

    parent = None
    action_classes: ClassVar = {"set": "irreversible"}
    safe_action = "stop_now"

    def __init__(self, name: str) -> None:
        self.name = name
        self.error: Exception | None = None
        self.done: list[str] = []

    def set(self, what: str) -> Status:
        self.done.append(what)
        return Status(asyncio.get_running_loop().create_task(self._work()))

    async def _work(self) -> None:
        await asyncio.sleep(5.0)
        if self.error is not None:
            error, self.error = self.error, None
            raise error


def plan_of(number: int, place: str, bad: Callable[[sdl.Settings], Fault | None]) -> Callable[..., Plan]:
    """Return the plan of the step of that number, which goes wrong where *bad* says so."""

    def act(lab: Any, s: sdl.Settings) -> Plan:
        fault = bad(s)
        hand = lab.devices[f"{place}_hand"]
        if fault in {"device", "timeout"}:
            hand.error = DeviceError("it slipped") if fault == "device" else DeviceTimeout("no answer")
        yield from bps.mv(hand, f"{s.trial}.{number}")
        if fault == "plan":
            raise ValueError("the tip is still on")
        return {"signal": sdl.Measurement(1.0, "V")}

    return act


@settings(max_examples=3)
@given(data=st.data())
def test_what_comes_after_a_step_that_went_wrong_never_starts(data: st.DataObject) -> None:
    places = data.draw(st.lists(st.sampled_from(STATIONS), min_size=2, max_size=3), label="stations of the steps")
    fault: Fault = data.draw(st.sampled_from(("device", "timeout", "plan")), label="fault")
    on_unknown: Any = data.draw(st.sampled_from(("ask", "failed")), label="on_unknown")
    in_flight = data.draw(st.integers(1, 3), label="in flight")
    for broken in range(len(places)):
        _one(places, broken, fault, on_unknown, in_flight)


def _one(places: list[str], broken: int, fault: Fault, on_unknown: Any, in_flight: int) -> None:
    """The second trial goes wrong in the step *broken*; the others go their way."""

    def bad(number: int) -> Callable[[sdl.Settings], Fault | None]:
        return lambda s: fault if (s.trial, number) == (2, broken) else None

    hands: dict[str, Any] = {f"{name}_hand": Hand(f"{name}_hand") for name in STATIONS}
    journal = MemoryJournal()
    with sdl.Lab(
        "hands", clock=sdl.VirtualClock(), stations={name: [f"{name}_hand"] for name in STATIONS}, **hands
    ) as lab:
        campaign = sdl.Campaign(
            "hands",
            space=sdl.SearchSpace(x=sdl.Continuous(0.0, 1.0)),
            objective=sdl.Minimize("signal", unit="V"),
            planner=LinePlanner(),
            experiment=sdl.Experiment(
                *(
                    sdl.Step(f"s{number}", plan_of(number, place, bad(number)), station=place)
                    for number, place in enumerate(places)
                ),
                evaluate=lambda results, _: next(iter(results.values())),
            ),
            lab=lab,
            journal=journal,
            in_flight=in_flight,
            on_unknown=on_unknown,
            progress=False,
        )
        campaign.run(trials=3)
        states = {trial.number: trial.state.value for trial in campaign.trials}
    begun = [(event.trial, event.body.step) for event in journal.read() if isinstance(event.body, StepStarted)]
    ended = [
        (event.trial, event.body.step)
        for event in journal.read()
        if isinstance(event.body, StepEnded) and event.body.is_success
    ]
    done = [what for hand in hands.values() for what in hand.done]
    assert [step for trial, step in begun if trial == 2] == [f"s{number}" for number in range(broken + 1)]
    assert [step for trial, step in ended if trial == 2] == [f"s{number}" for number in range(broken)]
    assert sorted(what for what in done if what.startswith("2.")) == [f"2.{number}" for number in range(broken + 1)]
    assert states[2] in {"failed", "unknown"}
    if fault == "timeout":
        assert states[2] == {"ask": "unknown", "failed": "failed"}[on_unknown]
    for trial in (1, 3):
        assert states[trial] == "completed"
        assert [step for number, step in ended if number == trial] == [f"s{number}" for number in range(len(places))]
