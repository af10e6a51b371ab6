"""A furnace that takes eight: weigh, coat, anneal eight at one temperature, look, and measure what is promising.

Six stations, one of them a person who works by day. Their times are simulated, in virtual time: a week in seconds.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Any

import bluesky.plan_stubs as bps

import sdl
from sdl.lab import SimulatedPerson, current_time
from sdl.planners import SobolPlanner

Plan = Generator[Any, Any, Any]
STATIONS = ("coater", "furnace1", "furnace2", "camera", "tester")


class Gauge:
    """Stands for the instruments of a station; what they would read follows from the settings."""

    parent = None

    def __init__(self, name: str) -> None:
        self.name = name

    def read(self) -> dict[str, Any]:
        return {self.name: {"value": 0.0, "timestamp": current_time()}}

    def describe(self) -> dict[str, Any]:
        return {self.name: {"source": "simulated", "dtype": "number", "shape": []}}


def weigh(lab: Any, s: sdl.Settings) -> Plan:
    yield from lab.kim.do(f"Weigh the precursors of sample {s.trial}", expected="6 min")


def rinse(_lab: Any, _s: sdl.Settings) -> Plan:
    yield from bps.sleep(300)


def coat(_lab: Any, _s: sdl.Settings) -> Plan:
    yield from bps.sleep(600)


def anneal(_lab: Any, batch: tuple[sdl.Settings, ...]) -> Plan:
    yield from bps.sleep(2 * 3600 + 30 * batch[0].number("temperature"))
    return [{"place": place} for place, _ in enumerate(batch)]


def quality(s: sdl.Settings) -> float:
    return 10 - ((s.number("temperature") - 460) / 40) ** 2 - 30 * (s.number("fraction") - 0.4) ** 2


def look(_lab: Any, s: sdl.Settings) -> Plan:
    yield from bps.sleep(120)
    return {"brightness": quality(s) - 0.5}


def measure(_lab: Any, s: sdl.Settings) -> Plan:
    yield from bps.sleep(3 * 3600)
    return {"figure": quality(s)}


def judge(results: Mapping[str, Any], _s: sdl.Settings) -> Mapping[str, Any]:
    """A sample that was not worth measuring counts with what the quick look says of it."""
    return results["measure"] if "measure" in results else {"figure": results["look"]["brightness"]}


EXPERIMENT = sdl.Experiment(
    sdl.Step("weigh", weigh, station="bench", duration="6 min"),
    sdl.Step(
        "coat",
        coat,
        station="coater",
        duration="10 min",
        setup=sdl.Changeover(key="solvent", plan=rinse, duration="5 min"),
    ),
    sdl.Step(
        "anneal",
        anneal,
        station="furnace",
        duration=lambda s: 2 * 3600 + 30 * s.number("temperature"),
        batch=sdl.Batch(8, shared="temperature", patience="3 h"),
        within={"coat": "12 h"},
    ),
    sdl.Step("look", look, station="camera", duration="2 min"),
    sdl.Step("measure", measure, station="tester", duration="3 h", when=lambda s: s.results["look"]["brightness"] > 5),
    evaluate=judge,
)
SPACE = sdl.SearchSpace(
    temperature=sdl.Discrete([400.0, 450.0, 500.0], unit="degC"),
    fraction=sdl.Continuous(0, 1),
    solvent=sdl.Categorical(["ethanol", "toluene"]),
)


def laboratory() -> sdl.Lab:
    """Return the laboratory: Kim works by day, everything else always."""
    devices: dict[str, Any] = {name: Gauge(name) for name in STATIONS}
    hours = sdl.Calendar(hours=("Mon-Fri 08:00-18:00",), timezone="Europe/Paris")
    return sdl.Lab(
        "furnace-of-eight",
        stations={"bench": ["kim"], **{name: [name] for name in STATIONS}},
        kinds={"furnace": ["furnace1", "furnace2"]},
        calendars={"bench": hours},
        clock=sdl.VirtualClock(),
        kim=SimulatedPerson("kim", hours=hours, seed=1),
        **devices,
    )


def main() -> None:
    """Compare one sample at a time with as many as the furnaces take."""
    for name, in_flight in (("one-at-a-time", 1), ("eight-at-a-time", None)):
        with laboratory() as lab:
            campaign = sdl.Campaign(
                name,
                space=SPACE,
                objective=sdl.Maximize("figure"),
                planner=SobolPlanner(seed=1),
                experiment=EXPERIMENT,
                lab=lab,
                in_flight=in_flight,
                progress=False,
            )
            campaign.run(trials=24)
        days = campaign.view.lab_seconds / 86400
        print(f"{campaign.in_flight} in flight: 24 trials in {days:.1f} days, {campaign.best}")


if __name__ == "__main__":
    main()
