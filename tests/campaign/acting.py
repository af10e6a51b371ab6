"""A campaign whose instruments note in a file of their own whatever they do, and which is killed again and again.

``acting.py FOLDER`` reads cases as JSON from standard input, and prints what came of each. Every session runs in a
process of its own, which is forked from this one so that nothing has to be imported anew.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import json
import os
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any, ClassVar

import bluesky.plan_stubs as bps
from toy import Motor, Status

import sdl
from sdl import failpoints
from sdl.campaign import OnUnknown
from sdl.campaign.fallback import SpaceFillingFallback
from sdl.lab import ActRecord, Evidence
from sdl.problem import units

Plan = Generator[Any, Any, Any]
TRIALS = 2


class Instrument:
    """Does something that cannot be undone, and writes down that it does; its own memory survives every crash."""

    parent = None

    def __init__(self, name: str, truth: Path, *, has_probe: bool) -> None:
        self.name = name
        self.truth = truth
        self.trial = (0, 0)
        if has_probe:
            self.reconcile = self._look

    def act(self, value: float) -> Status:
        """Begin; it takes half a minute."""
        line = json.dumps({"device": self.name, "trial": self.trial[0], "attempt": self.trial[1], "value": value})
        file = os.open(self.truth, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        os.write(file, f"{line}\n".encode())
        os.close(file)
        return Status(asyncio.get_running_loop().create_task(asyncio.sleep(30)))

    async def _look(self, act: ActRecord) -> Evidence:
        await asyncio.sleep(1)
        found = [line for line in truth_of(self.truth) if (line["device"], line["trial"]) == (act.device, act.trial)]
        return Evidence("happened" if found else "did_not_happen", f"the balance shows {len(found)} doses", 0.001)


class Doser(Instrument):
    """Adds so many millilitres."""

    action_classes: ClassVar = {"set": "cumulative"}

    def set(self, value: float) -> Status:
        return self.act(value)


class Burner(Instrument):
    """Burns the sample, and measures how it burns."""

    action_classes: ClassVar = {"trigger": "irreversible"}

    def trigger(self) -> Status:
        return self.act(0.0)

    def read(self) -> dict[str, Any]:
        return {self.name: {"value": 1.0, "timestamp": 0.0}}

    def describe(self) -> dict[str, Any]:
        return {self.name: {"source": "toy", "dtype": "number", "shape": []}}


class ActingLab(sdl.Lab):
    """Simulated instruments that are as the dead process left them."""

    is_simulated = True

    def __init__(self, truth: Path, *, has_probe: bool) -> None:
        doser, burner = Doser("doser", truth, has_probe=has_probe), Burner("burner", truth, has_probe=has_probe)
        super().__init__("acting", clock=sdl.VirtualClock(), stage=Motor("stage", 20.0), doser=doser, burner=burner)

    @property
    def keeps_state(self) -> bool:
        return True

    def prepare(self, trial: int, attempt: int) -> None:
        self.doser.trial = self.burner.trial = (trial, attempt)


def dose(lab: ActingLab, s: sdl.Settings) -> Plan:
    yield from bps.mv(lab.stage, s["x"])
    yield from bps.mv(lab.doser, s.number("x"))
    return (yield from rest_of_dose(lab, s))


def rest_of_dose(lab: ActingLab, s: sdl.Settings) -> Plan:
    yield from bps.mv(lab.stage, 0.0)
    return {"dosed": sdl.Measurement(s.number("x"), "mL", standard_error=0.01)}


def burn(lab: ActingLab, s: sdl.Settings) -> Plan:
    yield from bps.trigger(lab.burner, wait=True)
    return (yield from rest_of_burn(lab, s))


def rest_of_burn(lab: ActingLab, s: sdl.Settings) -> Plan:
    yield from bps.null()
    dosed = s.results["dose"]["dosed"]
    assert isinstance(dosed, sdl.Measurement)
    return {"signal": sdl.Measurement((dosed.value - 0.3) ** 2, "V")}


POLICIES: dict[str, Any] = {
    "failed": "failed",
    "ask": "ask",
    "redo": OnUnknown(
        cumulative="redo", irreversible="redo", transfer="redo", consent="Kim: every attempt has a new vial"
    ),
}


def session(folder: Path, case: dict[str, Any]) -> str:
    """Run one session; return how it ended."""
    goes_on = bool(case.get("resume"))
    with ActingLab(folder / "truth", has_probe=bool(case.get("probe"))) as lab:
        campaign = sdl.Campaign(
            "acting",
            space=sdl.SearchSpace(x=sdl.Continuous(0.0, 1.0)),
            objective=sdl.Minimize("signal", unit="V"),
            planner=SpaceFillingFallback(),
            experiment=sdl.Experiment(
                sdl.Step("dose", dose, resume=rest_of_dose if goes_on else None),
                sdl.Step("burn", burn, resume=rest_of_burn if goes_on else None),
                evaluate=lambda results, _: results["burn"],
            ),
            lab=lab,
            journal=folder / "store.sdl",
            on_unknown=POLICIES[case["policy"]],
            progress=False,
        )
        return campaign.run(trials=TRIALS).status


def truth_of(path: Path) -> list[dict[str, Any]]:
    """Read what the instruments really did."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


class Names(failpoints.Hook):
    """Collects the places that are passed."""

    def __init__(self) -> None:
        self.names: dict[str, int] = {}

    def passed(self, name: str) -> None:
        self.names[name] = self.names.get(name, 0) + 1


def forked(folder: Path, case: dict[str, Any], point: str | None) -> tuple[int, dict[str, int]]:
    """Run one session in a process of its own that dies at *point*; return its exit code, and what it passed."""
    names = folder / "names"
    names.unlink(missing_ok=True)
    child = os.fork()
    if child == 0:
        code = 1
        with contextlib.suppress(BaseException):
            counter = Names()
            failpoints.hooks[:] = [counter] if point is None else [failpoints.Kill.parse(point)]
            code = 0 if session(folder, case) == "finished" else 2
            names.write_text(json.dumps(counter.names))
        os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return code, json.loads(names.read_text()) if names.exists() else {}


def import_everything() -> None:
    """Import here what a session imports when it first needs it."""
    for module in ("sdl.lab.engine", "ophyd", "ophyd_async.core", "scipy.stats.qmc"):
        importlib.import_module(module)
    units.registry()


def main(folder: str) -> None:
    """Run every case: one session for each point at which it is to die, and then one to the end."""
    import_everything()
    for number, case in enumerate(json.load(sys.stdin)):
        place = Path(folder) / str(number)
        place.mkdir()
        codes = [forked(place, case, point)[0] for point in case["points"]]
        code, names = forked(place, case, None)
        print(json.dumps({**case, "folder": str(place), "codes": codes, "code": code, "names": names}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
