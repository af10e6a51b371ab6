"""A stage that moves 10 mm a second between 0 and 100 mm, and what can be the matter with it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import sdl
from sdl.devices import Action
from sdl.errors import DeviceError, LimitError
from sdl.lab.clock import current_time
from sdl.simulators import SimulatedTransport

SPEED = 10.0


class SimulatedStage:
    """Understands ``GO 12.5``, ``POS?`` and ``STOP``."""

    def __init__(self) -> None:
        self._from = self._to = self._since = 0.0

    def answer(self, line: str) -> str:
        match line.split():
            case ["GO", value]:
                self._from, self._to, self._since = self._now(), float(value), asyncio.get_running_loop().time()
            case ["STOP"]:
                self.answer(f"GO {self._now()}")
            case ["POS?"]:
                return f"{self._now():.6f}"
            case _:
                return "ERR"
        return "OK"

    def _now(self) -> float:
        way = SPEED * (asyncio.get_running_loop().time() - self._since)
        left = self._to - self._from
        return self._to if abs(left) <= way else self._from + way * (1 if left > 0 else -1)


class Stage:
    """A driver written without the parts of sdl; ``wrong`` says what is the matter with it."""

    parent = None
    timeout_s = 30.0

    def __init__(self, wrong: str = "") -> None:
        self.name = "stage"
        self.wrong = wrong
        self.line = SimulatedTransport(SimulatedStage(), name="stage")
        self.tolerance = 1e9 if wrong == "trusts itself" else 0.01
        self.safe_action = {"no safe action": None, "unknown safe action": "run away"}.get(wrong, "stop_now")
        self.action_classes = {"set": "read" if wrong == "set is a reading" else "set_absolute"}
        if wrong == "declares too much":
            self.action_classes["trigger"] = "read"
        self._known = 0.0
        self._is_lost = False
        self._stopped = asyncio.Event()

    def set(self, value: float) -> Action:
        if self.wrong != "takes anything" and not -0.005 <= value <= 100.005:
            if self.wrong == "moves before it refuses":
                self._known = 50.0
                return Action(self._refuse(), "stage")
            raise LimitError(f"{value} mm is outside 0 to 100 mm")
        self._stopped = asyncio.Event()
        return Action(self._go(float(value)), "stage")

    async def _refuse(self) -> None:
        await self.line.request("GO 50")
        raise LimitError("that was too far")

    async def _go(self, value: float) -> None:
        sent = value / 2 if self.wrong == "half way" else value
        try:
            await self._ask(f"GO {sent}")
            if self.wrong == "too slow":
                await asyncio.sleep(31.0)
            while abs(float(await self._ask("POS?")) - sent) > 1e-3:
                if self._stopped.is_set() and self.wrong != "a stopped move goes on":
                    raise DeviceError("the stage was stopped")
                await asyncio.sleep(0.05)
        except sdl.SdlError:
            if self.wrong == "succeeds in silence":
                return
            if self.wrong == "hangs in silence":
                await asyncio.sleep(1e6)
            raise

    async def _ask(self, line: str) -> str:
        try:
            if self._is_lost:
                raise DeviceError("the stage is lost")
            return await self.line.request(line)
        except sdl.SdlError:
            self._is_lost = self.wrong == "stays lost"
            raise

    async def stop(self, *, success: bool = True) -> None:
        self._stopped.set()
        if self.wrong != "does not stop":
            await self._ask("STOP")

    async def read(self) -> dict[str, Any]:
        try:
            self._known = float(await self._ask("POS?"))
        except sdl.SdlError:
            if self.wrong != "shows what it knew":
                raise
        value: object = {"reads text": "3.5", "reads NaN": float("nan")}.get(self.wrong, self._known)
        stamps = {"stale": current_time() - 1e6, "other clock": time.time() + 1e8, "no timestamp": None}
        return {"stage": {"value": value, "timestamp": stamps.get(self.wrong, current_time())}}

    def describe(self) -> dict[str, Any]:
        units = {"no unit": {}, "unknown unit": {"units": "furlongish"}}.get(self.wrong, {"units": "mm"})
        key = "other" if self.wrong == "describes something else" else "stage"
        return {key: {"source": "sim", "dtype": "number", "shape": [], **units}}

    async def self_test(self) -> str:
        if self.wrong == "out of order":
            raise DeviceError("the stage has no air")
        return f"stands at {await self._ask('POS?')} mm"


@contextmanager
def bench(wrong: str = "") -> Generator[sdl.Lab]:
    """A laboratory with a stage, in virtual time."""
    with sdl.Lab("bench", clock=sdl.VirtualClock(), stage=Stage(wrong)) as lab:
        yield lab
