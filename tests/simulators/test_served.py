"""A simulated instrument behind a port: a driver cannot tell it from a real one, a broken line included."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import bluesky.plan_stubs as bps
import pytest

import sdl
from sdl.devices import Gauge, Instrument, TcpTransport
from sdl.errors import TransportError
from sdl.simulators import Reply, ServedInstrument


class Scale:
    def __init__(self) -> None:
        self.n_asked = 0

    def answer(self, line: str) -> str | Reply:
        self.n_asked += 1
        return Reply("2.5", after_s=0.01) if line == "W?" else "ERR 1 unknown"


def weigh(lab: Any, _: Any) -> Generator[Any, Any, float]:
    return float((yield from bps.rd(lab.weight)))


def test_it_is_asked_over_a_true_line_that_may_break() -> None:
    scale = Scale()
    with ServedInstrument(scale) as served:
        line = Instrument("scale", TcpTransport("127.0.0.1", served.port))
        with sdl.Lab("bench", weight=Gauge("weight", instrument=line, question="W?", unit="g")) as lab:
            assert lab.run(weigh) == 2.5
            served.cut()
            with pytest.raises(TransportError):
                lab.run(weigh)
            assert lab.run(weigh) == 2.5
    assert scale.n_asked >= 2


def test_a_port_that_is_taken_is_said() -> None:
    with ServedInstrument(Scale()) as served, pytest.raises(TransportError, match=str(served.port)):
        ServedInstrument(Scale(), port=served.port).start()
