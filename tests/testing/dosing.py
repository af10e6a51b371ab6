"""A campaign to be killed: a pump that cannot take back what it gave, then a measurement. Everything in one folder."""

from __future__ import annotations

import asyncio
import datetime as dt
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any, ClassVar, Literal

import bluesky.plan_stubs as bps

import sdl
from sdl import Plate, Reagent, Stock, Use
from sdl.campaign.fallback import SpaceFillingFallback
from sdl.errors import JournalLocked
from sdl.journal import open_journal
from sdl.journal.records import Event
from sdl.lab import Interlock, Ledger
from sdl.lab.clock import Clock, current_time
from sdl.problem import Amount
from sdl.testing import Acknowledgements, TruthJournal

N_TRIALS = 2


class Pump:
    """Gives a volume when triggered, and notes it in the truth journal at that moment."""

    parent = None
    action_classes: ClassVar[dict[str, str]] = {"trigger": "cumulative", "set": "set_absolute"}
    safe_action = "stop_now"

    def __init__(self, truth: TruthJournal) -> None:
        self.name = "pump"
        self.truth = truth
        self.sample = "0.0"
        self.volume = 0.0

    def set(self, value: float) -> Ended:
        self.volume = value
        return Ended(asyncio.sleep(1.0))

    def stop(self, *, success: bool = False) -> None:
        """It stops by itself."""

    def trigger(self) -> Ended:
        return Ended(self._give())

    async def _give(self) -> None:
        await asyncio.sleep(2.0)
        self.truth.write("dispense", self.sample, volume=self.volume)
        await asyncio.sleep(2.0)

    def read(self) -> dict[str, Any]:
        return {"pump": {"value": self.volume, "timestamp": current_time()}}

    def describe(self) -> dict[str, Any]:
        return {"pump": {"source": "sim", "dtype": "number", "shape": []}}


class Balance:
    """Weighs; reading it as often as one likes changes nothing."""

    parent = None
    action_classes: ClassVar[dict[str, str]] = {"trigger": "read"}

    def __init__(self, pump: Pump) -> None:
        self.name = "balance"
        self._pump = pump

    def trigger(self) -> Ended:
        return Ended(asyncio.sleep(5.0))

    def read(self) -> dict[str, Any]:
        return {"balance": {"value": (self._pump.volume - 0.3) ** 2, "timestamp": current_time()}}

    def describe(self) -> dict[str, Any]:
        return {"balance": {"source": "sim", "dtype": "number", "shape": [], "units": "g"}}


class Ended:
    """A bluesky status that ends with a coroutine."""

    def __init__(self, coroutine: Any) -> None:
        self._task: asyncio.Task[None] = asyncio.get_running_loop().create_task(coroutine)

    def add_callback(self, callback: Any) -> None:
        self._task.add_done_callback(lambda _: callback(self))

    def exception(self, timeout: float | None = 0.0) -> BaseException | None:
        return self._task.exception()

    @property
    def done(self) -> bool:
        return self._task.done()

    @property
    def success(self) -> bool:
        return self._task.done() and not self._task.cancelled() and self._task.exception() is None


class DosingLab(sdl.Lab):
    """A pump and a balance."""

    is_simulated = True

    def __init__(self, truth: TruthJournal, clock: Clock | None = None) -> None:
        pump = Pump(truth)
        super().__init__(
            "dosing",
            clock=clock or sdl.VirtualClock(),
            interlocks=[Interlock("tray", when="pump.setpoint > 0.01", require="balance < 10 g", max_age="60 s")],
            stock=Stock(Reagent("liquid", "500 mL", lot="A", tolerance="1 %"), Plate("tray")),
            pump=pump,
            balance=Balance(pump),
        )

    def prepare(self, trial: int, attempt: int) -> None:
        self.devices["pump"].sample = f"{trial}.{attempt}"


Plan = Generator[Any, Any, Any]


def dose(lab: Any, s: sdl.Settings) -> Plan:
    yield from bps.mv(lab.pump, s["volume"])
    yield from bps.trigger(lab.pump, wait=True)
    return {}


def weigh(lab: Any, s: sdl.Settings) -> Plan:
    yield from bps.open_run()
    yield from bps.trigger_and_read([lab.balance])
    reading = yield from bps.rd(lab.balance)
    yield from bps.close_run()
    return {"mass": sdl.Measurement(reading, "g"), "spectrum": f"{reading:.6f} " * 8_000}  # too long for a row


def outcomes(results: Any, s: sdl.Settings) -> Any:
    return {"mass": results["weigh"]["mass"]}


def campaign(folder: Path, on_unknown: Literal["ask", "failed", "redo"], **changes: Any) -> sdl.Campaign:
    options: dict[str, Any] = {
        "space": sdl.SearchSpace(volume=sdl.Continuous(0.0, 1.0)),
        "objective": sdl.Minimize("mass", unit="g"),
        "planner": SpaceFillingFallback(),
        "experiment": sdl.Experiment(
            sdl.Step("dose", dose, uses=lambda s: [Use("liquid", f"{s['volume']} mL")], needs_position="tray"),
            sdl.Step("weigh", weigh),
            evaluate=outcomes,
        ),
        "seed": 11,
        "journal": folder / "store.sdl",
        "progress": Started(folder / "acknowledged.jsonl"),
        "on_unknown": on_unknown,
    } | changes
    if "lab" not in options:
        options["lab"] = DosingLab(TruthJournal(folder / "truth.jsonl"))
    return sdl.Campaign("dosing", **options)


CARELESS = "careless"


def main(folder: str) -> None:
    """Give up whatever a crash cut off; do it again where a file says so, which the checker must find.

    Waits as long as another engine has the store.
    """
    while True:
        try:
            run(Path(folder), "redo" if (Path(folder) / CARELESS).exists() else "failed")
        except JournalLocked:
            time.sleep(0.002)
        else:
            return


def liquid_booked(store: Path) -> Amount:
    """Return how much the ledger says was given."""
    with open_journal(store, "read") as journal:
        return Ledger.of(journal).balance("liquid", dt.date(2026, 1, 1)).consumed


def liquid_given(truth: TruthJournal) -> float:
    """Return how much was given."""
    return sum(float(str(act.facts["volume"])) for act in truth.read())


class Started(Acknowledgements):
    """Notes as well when a session began, by the machine's monotonic clock."""

    def notify(self, event: Event, view: object) -> None:
        super().notify(event, view)
        if event.kind == "session.started":
            with self.path.with_name("started.txt").open("a", encoding="utf-8") as file:
                file.write(f"{time.monotonic()}\n")


def run(folder: Path, on_unknown: Literal["ask", "failed", "redo"]) -> None:
    made = campaign(folder, on_unknown)
    try:
        ended = made.run(trials=N_TRIALS)
    finally:
        made.lab.close()
    if ended.status != "finished":
        raise SystemExit(str(ended))
