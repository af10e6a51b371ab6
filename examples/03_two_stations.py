"""Two steps on two stations, two trials in flight: while one sample is measured, the next one is made.

The instruments are plain classes with bluesky's verbs. Their times are simulated, in virtual time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from typing import Any, ClassVar

import bluesky.plan_stubs as bps

import sdl
from sdl.lab import current_time
from sdl.planners import SobolPlanner


class Task:
    """The status of something that ends by itself."""

    def __init__(self, seconds: float) -> None:
        self._task = asyncio.get_running_loop().create_task(asyncio.sleep(seconds))

    def add_callback(self, callback: Callable[[Any], None]) -> None:
        self._task.add_done_callback(lambda _: callback(self))

    def exception(self, timeout: float | None = 0.0) -> BaseException | None:  # noqa: ARG002 # bluesky's signature
        return None

    @property
    def done(self) -> bool:
        return self._task.done()

    @property
    def success(self) -> bool:
        return self._task.done()


class Mixer:
    """Mixes for twenty minutes."""

    name, parent = "mixer", None
    action_classes: ClassVar = {"set": "irreversible"}  # what is mixed is used up

    def __init__(self) -> None:
        self.mixed = 0.0

    def set(self, value: float) -> Task:
        self.mixed = value
        return Task(1200)


class Holder:
    """Puts the sample with so much of the one component under the camera, in a minute."""

    name, parent = "holder", None
    action_classes: ClassVar = {"set": "transfer"}

    def __init__(self) -> None:
        self.fraction = 0.0

    def set(self, value: float) -> Task:
        self.fraction = value
        return Task(60)


class Camera:
    """Looks for fifteen minutes at what lies in the holder."""

    name, parent = "camera", None
    action_classes: ClassVar = {"trigger": "read"}

    def __init__(self, holder: Holder) -> None:
        self.holder = holder

    def trigger(self) -> Task:
        return Task(900)

    def read(self) -> dict[str, Any]:
        return {"camera": {"value": 1 - (self.holder.fraction - 0.6) ** 2, "timestamp": current_time()}}

    def describe(self) -> dict[str, Any]:
        return {"camera": {"source": "simulated", "dtype": "number", "shape": []}}


Plan = Generator[Any, Any, Any]


def mix(lab: Any, s: sdl.Settings) -> Plan:
    yield from bps.mv(lab.mixer, s["fraction"])
    return {"fraction_mixed": s["fraction"]}


def look(lab: Any, s: sdl.Settings) -> Plan:
    yield from bps.mv(lab.holder, s["fraction"])
    reading = yield from bps.trigger_and_read([lab.camera])
    return {"brightness": reading["camera"]["value"] if reading else 0.0}


def main() -> None:
    """Compare the laboratory time with one and with two trials in flight."""
    for in_flight in (1, 2):
        holder = Holder()
        devices: dict[str, Any] = {"mixer": Mixer(), "holder": holder, "camera": Camera(holder)}
        stations = {"mixing": ["mixer"], "looking": ["holder", "camera"]}
        with sdl.Lab("two-stations", stations=stations, clock=sdl.VirtualClock(), **devices) as lab:
            campaign = sdl.Campaign(
                f"in-flight-{in_flight}",
                space=sdl.SearchSpace(fraction=sdl.Continuous(0, 1)),
                objective=sdl.Maximize("brightness"),
                planner=SobolPlanner(seed=1),
                experiment=sdl.Experiment(
                    sdl.Step("mix", mix, station="mixing"), sdl.Step("look", look, station="looking")
                ),
                lab=lab,
                in_flight=in_flight,
                progress=False,
            )
            campaign.run(trials=12)
        print(f"{in_flight} in flight: 12 trials in {campaign.view.lab_seconds / 3600:.2f} h, {campaign.best}")


if __name__ == "__main__":
    main()
