"""A bench with a knob and a meter, on both clocks."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from plain_devices import Knob, Meter

from sdl.lab import Clock, Lab, VirtualClock, WallClock


@pytest.fixture(params=[WallClock, VirtualClock], ids=["wall", "virtual"])
def clock(request: pytest.FixtureRequest) -> Clock:
    made: Clock = request.param()
    return made


@pytest.fixture
def lab(clock: Clock) -> Iterator[Lab]:
    with Lab("bench", clock=clock, knob=Knob("knob"), meter=Meter("meter"), wait_timeout=30.0) as made:
        yield made


@pytest.fixture
def simulated() -> Iterator[Lab]:
    with Lab("bench", clock=VirtualClock(), knob=Knob("knob"), meter=Meter("meter")) as made:
        yield made
