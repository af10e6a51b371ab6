"""Who is at the other end: asked first, and asked again whenever the line was opened anew."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from sdl.devices import Identity, Instrument
from sdl.errors import DeviceError, DeviceTimeout, TransportError
from sdl.lab.connection import connect_all, disconnect_all
from sdl.simulators.transport import Reply, SimulatedTransport

Run = Callable[[Coroutine[Any, Any, Any]], Any]


class Meter:
    """Says who it is, and keeps what it was asked."""

    def __init__(self, name: str = "sdl,meter,0,1") -> None:
        self.name = name
        self.heard: list[str] = []
        self.is_silent = False

    def answer(self, line: str) -> str | Reply:
        self.heard.append(line)
        return Reply("", None) if self.is_silent else self.name if line == "*IDN?" else "5"


def made(meter: Meter) -> tuple[Instrument, SimulatedTransport]:
    line = SimulatedTransport(meter, name="meter", timeout_s=1.0)
    return Instrument("meter", line, identity=Identity("*IDN?", "^sdl,meter,")), line


def test_it_is_asked_once_before_the_first_question(virtually: Run) -> None:
    async def main() -> None:
        meter = Meter()
        instrument, _ = made(meter)
        await asyncio.gather(*(instrument.ask("READ?") for _ in range(3)))
        assert meter.heard == ["*IDN?", "READ?", "READ?", "READ?"]

    virtually(main())


def test_another_instrument_is_told_nothing(virtually: Run) -> None:
    async def main() -> None:
        meter = Meter("Acme,pump,0,1")
        instrument, _ = made(meter)
        for _ in range(2):
            with pytest.raises(DeviceError, match=r"is to be '\^sdl,meter,'.*answers 'Acme,pump,0,1'"):
                await instrument.command("GO 100")
        assert meter.heard == ["*IDN?", "*IDN?"]

    virtually(main())


def test_after_a_failure_it_is_asked_again(virtually: Run) -> None:
    async def main() -> None:
        meter = Meter()
        instrument, line = made(meter)
        await instrument.ask("READ?")
        meter.is_silent = True
        with pytest.raises(DeviceTimeout):
            await instrument.ask("READ?")
        meter.is_silent = False
        line.instrument = Meter("Acme,pump,0,1")  # somebody has changed the cables meanwhile
        with pytest.raises(DeviceError, match="Acme"):
            await instrument.send("GO 100")
        assert line.instrument.heard == ["*IDN?"]

    virtually(main())


def test_a_laboratory_finds_out_when_it_connects(virtually: Run) -> None:
    async def main() -> None:
        good, bad = Meter(), Meter("Acme,pump,0,1")
        with pytest.raises(Exception, match=r"cannot connect second: second|cannot connect second: meter is to be"):
            await connect_all({"first": made(good)[0], "second": made(bad)[0]})
        await disconnect_all({"first": made(good)[0]})
        assert good.heard == ["*IDN?"]

    virtually(main())


def test_a_line_that_cannot_send_says_so(virtually: Run) -> None:
    class Asking:
        name = "asking"

        async def open(self) -> None: ...
        async def close(self) -> None: ...
        async def request(self, message: str) -> str:
            return message

    async def main() -> None:
        with pytest.raises(DeviceError, match=r"use a transport with send\(\)"):
            await Instrument("valve", Asking()).send("GO A")
        line = SimulatedTransport(Meter())
        line.is_connected = False
        with pytest.raises(TransportError):
            await Instrument("valve", line).send("GO A")

    virtually(main())
