"""A furnace that anneals three samples in one run, which cannot be done twice, and is killed at chosen places.

``annealing.py FOLDER`` reads cases as JSON from standard input, and prints what came of each; see ``acting.py``.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any, ClassVar

import acting
import bluesky.plan_stubs as bps
from acting import Instrument
from toy import Motor, Status

import sdl
from sdl import Batch, Step
from sdl.campaign.fallback import SpaceFillingFallback

Plan = Generator[Any, Any, Any]
TRIALS = 3


class Oven(Instrument):
    """Heats what lies in it, once and for all, and notes what lay in it."""

    action_classes: ClassVar = {"trigger": "irreversible"}
    members: tuple[int, ...] = ()

    def trigger(self) -> Status:
        line = json.dumps({"device": self.name, "trials": self.members})
        file = os.open(self.truth, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        os.write(file, f"{line}\n".encode())
        os.close(file)
        return Status(bps_sleep(30))


def bps_sleep(seconds: float) -> Any:
    """Return a task that takes so long."""
    import asyncio  # a loop runs by now

    return asyncio.get_running_loop().create_task(asyncio.sleep(seconds))


class OvenLab(sdl.Lab):
    """An oven and a stage, as the dead process left them."""

    is_simulated = True

    def __init__(self, truth: Path) -> None:
        super().__init__(
            "oven", clock=sdl.VirtualClock(), stage=Motor("stage", 20.0), oven=Oven("oven", truth, has_probe=False)
        )

    @property
    def keeps_state(self) -> bool:
        return True


def anneal(lab: OvenLab, batch: tuple[sdl.Settings, ...]) -> Plan:
    yield from bps.mv(lab.stage, 1.0)
    lab.oven.members = tuple(s.trial for s in batch)
    yield from bps.trigger(lab.oven, wait=True)
    return (yield from rest_of_anneal(lab, batch))


def rest_of_anneal(lab: OvenLab, batch: tuple[sdl.Settings, ...]) -> Plan:
    yield from bps.mv(lab.stage, 0.0)
    return [{"of": len(batch), "x": s["x"]} for s in batch]


def measure(lab: OvenLab, s: sdl.Settings) -> Plan:
    yield from bps.mv(lab.stage, s["x"])
    return {"signal": sdl.Measurement(s.results["anneal"]["x"], "V")}


def session(folder: Path, case: dict[str, Any]) -> str:
    """Run one session; return how it ended."""
    resume = rest_of_anneal if case.get("resume") else None
    with OvenLab(folder / "truth") as lab:
        campaign = sdl.Campaign(
            "oven",
            space=sdl.SearchSpace(x=sdl.Continuous(0.0, 1.0)),
            objective=sdl.Minimize("signal", unit="V"),
            planner=SpaceFillingFallback(),
            experiment=sdl.Experiment(
                Step("anneal", anneal, batch=Batch(TRIALS), resume=resume),
                Step("measure", measure),
                evaluate=lambda results, _: results["measure"],
            ),
            lab=lab,
            in_flight=TRIALS,
            journal=folder / "store.sdl",
            on_unknown="failed",
            progress=False,
        )
        return campaign.run(trials=TRIALS).status


if __name__ == "__main__":
    acting.session = session
    acting.main(sys.argv[1])
