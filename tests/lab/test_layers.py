"""Three layers of limits, of which none trusts the one above: the problem, the laboratory, the device.

Each layer must refuse by itself whatever is wrong: one step of a float outside, not finite, no number. Disable any of
them, and the next one still refuses.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any, ClassVar

import numpy as np
import pytest
from bluesky.protocols import Status
from hypothesis import given
from hypothesis import strategies as st
from plain_devices import Later, Steps

import sdl
from sdl.devices import Knob, Limits
from sdl.devices.driver import Instrument
from sdl.errors import LabError, SdlError
from sdl.lab import Job, Lab, VirtualClock, WallClock
from sdl.lab.checks import Rules, Supervisor
from sdl.lab.envelope import Envelope, make_envelope
from sdl.lab.guard import Guard
from sdl.lab.messages import message
from sdl.simulators import ThinFilmLab

LOW, HIGH = 20.0, 400.0
NO_NUMBERS: list[Any] = [
    math.nan,
    math.inf,
    -math.inf,
    np.float32("nan"),
    np.float64("inf"),
    np.array(math.nan),
    True,
    False,
    "300",
    "1e999",
    b"300",
    None,
    [300.0],
    {"value": 300.0},
    300 + 0j,
    10**400,
    Decimal("300"),
]


class Oven:
    """The device itself: remembers what came through to it. Its own limits are the third layer."""

    parent = None
    name = "oven"
    unit = "degC"
    tolerance = 1e9
    action_classes: ClassVar[dict[str, str]] = {"set": "set_absolute"}

    def __init__(self, *, is_checked: bool) -> None:
        self.reached: list[Any] = []
        if is_checked:
            self.check_value = self._check

    def _check(self, value: Any) -> None:
        knob().check_value(value)

    def set(self, value: Any) -> Status:
        if hasattr(self, "check_value"):
            self._check(value)  # a device asks itself, whoever calls
        self.reached.append(value)
        return Later(0.0)


def knob(limits: Limits = Limits(LOW, HIGH)) -> Knob:  # noqa: B008 # a frozen value
    """A driver's knob with the same range; it is never connected."""

    class Line:
        name = "line"

        async def request(self, message: str) -> str:
            return "OK"

        async def open(self) -> None: ...

        async def close(self) -> None: ...

    return Knob(
        "oven",
        instrument=Instrument("oven", Line()),
        question="?",
        setter="{}",
        stopper="",
        unit="degC",
        limits=limits,
        tolerance=1.0,
        timeout_s=1.0,
    )


SPACE = sdl.SearchSpace(temperature=sdl.Continuous(LOW, HIGH, unit="degC"))


def by_problem(value: Any) -> None:
    SPACE.check({"temperature": value})


def by_lab(value: Any) -> None:
    oven = Oven(is_checked=False)
    make_envelope("lab", {"oven": oven}, {"oven": (LOW, HIGH)}).check(oven, value)


def by_device(value: Any) -> None:
    knob().check_value(value)


def by_the_device_when_it_acts(value: Any) -> None:
    knob().set(value)  # without a loop: what is refused never needs one


LAYERS = {
    "problem": by_problem,
    "laboratory": by_lab,
    "device": by_device,
    "device, acting": by_the_device_when_it_acts,
}
each_layer = pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)


class TestEachByItself:
    @each_layer
    @pytest.mark.parametrize("value", NO_NUMBERS, ids=repr)
    def test_what_is_no_finite_number(self, layer: Callable[[Any], None], value: Any) -> None:
        with pytest.raises(SdlError):
            layer(value)

    @each_layer
    @pytest.mark.parametrize("value", [math.nextafter(LOW, -math.inf), math.nextafter(HIGH, math.inf)])
    def test_one_step_outside(self, layer: Callable[[Any], None], value: float) -> None:
        with pytest.raises(SdlError):
            layer(value)

    @pytest.mark.parametrize("layer", [by_problem, by_lab, by_device])
    @pytest.mark.parametrize(
        "value", [LOW, math.nextafter(LOW, math.inf), math.nextafter(HIGH, -math.inf), HIGH, Fraction(300)]
    )
    def test_the_ends_and_one_step_inside(self, layer: Callable[[Any], None], value: Any) -> None:
        layer(float(value) if layer is by_problem else value)

    def test_every_parameter_of_a_laboratory_at_its_bounds(self) -> None:
        """Generated from the space: each parameter one step inside and outside, the others in the middle."""
        space = ThinFilmLab.space()
        middle = {name: math.sqrt(p.low * p.high) for name, p in space.parameters.items()}  # type: ignore[union-attr] # all continuous
        for name, parameter in space.parameters.items():
            low, high = parameter.low, parameter.high  # type: ignore[union-attr] # as above
            for value, is_inside in (
                (low, True),
                (high, True),
                (math.nextafter(low, -math.inf), False),
                (math.nextafter(high, math.inf), False),
            ):
                assert space.contains({**middle, name: value}) is is_inside

    @pytest.mark.parametrize("limits", [(math.nan, 1.0), (0.0, math.inf), (None, math.nan), (0.0, "1"), (True, 2.0)])
    def test_limits_that_limit_nothing_are_refused(self, limits: Any) -> None:
        with pytest.raises(LabError):
            Lab("lab", clock=WallClock(), limits={"oven": limits}, oven=Oven(is_checked=True))

    def test_a_coarse_number_does_not_round_the_limit(self) -> None:
        coarse: Any = np.float32(0.1)  # is above 0.1, and numpy compares it with a 0.1 as coarse as itself
        assert coarse <= 0.1 < float(coarse)
        made = knob(Limits(0.0, 0.1))
        oven = Oven(is_checked=False)
        with pytest.raises(SdlError):
            made.check_value(coarse)
        with pytest.raises(SdlError):
            make_envelope("lab", {"oven": oven}, {"oven": (0.0, 0.1)}).check(oven, coarse)

    def test_the_range_of_a_driver_is_not_its_description(self) -> None:
        made = knob()
        made.limits = Limits(-1e9, 1e9)  # what a plan can reach
        with pytest.raises(SdlError):
            made.check_value(HIGH + 1)

    def test_the_limits_of_a_laboratory_cannot_be_written(self) -> None:
        with Lab("lab", clock=WallClock(), limits={"oven": (LOW, HIGH)}, oven=Oven(is_checked=True)) as lab:
            with pytest.raises(TypeError):
                lab.limits["oven"] = (None, None)  # type: ignore[index] # as a plan might try
            assert lab.envelope_digest == lab.describe()["envelope"]

    def test_the_digest_tells_laboratories_apart(self) -> None:
        digests: set[str] = set()
        for high in (HIGH, math.nextafter(HIGH, math.inf)):
            with Lab("lab", clock=WallClock(), limits={"oven": (LOW, high)}, oven=Oven(is_checked=True)) as lab:
                digests.add(lab.envelope_digest)
        with Lab("lab", clock=WallClock(), limits={"oven": (LOW, HIGH)}, oven=knob()) as lab:
            digests.add(lab.envelope_digest)  # the device's own range is part of it
        assert len(digests) == 3


def commands(n: int, seed: int) -> list[Any]:
    """Draw *n* commands: within, just within and without, far off, and what is no number."""
    rng = np.random.default_rng(seed)
    edges = [math.nextafter(edge, way) for edge in (LOW, HIGH) for way in (-math.inf, math.inf)]
    pools: list[Callable[[], Any]] = [
        lambda: float(rng.uniform(LOW, HIGH)),
        lambda: float(rng.uniform(-1e3, 1e3)),
        lambda: float(rng.normal() * 10.0 ** rng.integers(-300, 300)),
        lambda: edges[int(rng.integers(len(edges)))],
        lambda: np.float32(rng.uniform(LOW - 1e-4, LOW + 1e-4)),
        lambda: int(rng.integers(-1000, 1000)),
        lambda: NO_NUMBERS[int(rng.integers(len(NO_NUMBERS)))],
    ]
    return [pools[int(kind)]() for kind in rng.integers(len(pools), size=n)]


def is_inside(value: Any) -> bool:
    is_number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    return bool(is_number and LOW <= value <= HIGH)


def supervised(values: list[Any], oven: Oven, envelope: Envelope) -> int:
    """Send *values* through the supervision of plans, without a RunEngine; return how many were refused."""
    refused: list[Exception] = []

    def plan() -> Steps:
        for value in values:
            try:
                yield message("set", oven, value, group="all")
            except SdlError as error:
                refused.append(error)

    clock = WallClock()
    job = Job(plan)
    guard = Guard(job, "lab", envelope, clock)
    steps = Supervisor(Rules(envelope, 1.0, 0.01), clock, guard).supervise(plan)
    answer: Any = None
    error: Exception | None = None
    while True:
        try:
            given = steps.send(answer) if error is None else steps.throw(error)
        except StopIteration:
            return len(refused)
        answer = error = None
        if given.command == "set":
            try:
                answer = oven.set(*given.args)
            except SdlError as raised:
                error = raised
        elif given.command == "open_run":
            answer = "uid"


@pytest.mark.parametrize("disabled", ["none", "problem", "laboratory", "device"])
def test_no_command_comes_through_with_any_layer_disabled(disabled: str) -> None:
    """10,000 commands: the device is never told a value outside, whichever layer is gone."""
    values = commands(10_000, seed=zlib_seed(disabled))
    wanted = [value for value in values if disabled == "problem" or _passes(by_problem, value)]
    oven = Oven(is_checked=disabled != "device")
    limits = None if disabled == "laboratory" else {"oven": (LOW, HIGH)}
    refused = supervised(wanted, oven, make_envelope("lab", {"oven": oven}, limits))
    outside = [value for value in oven.reached if not is_inside(value)]
    assert not outside
    assert len(oven.reached) == len(wanted) - refused
    assert oven.reached == [value for value in wanted if is_inside(value)]
    assert len(oven.reached) > 1_000
    if disabled == "problem":
        assert refused > 2_000


def zlib_seed(text: str) -> int:
    return sum(text.encode())


def _passes(layer: Callable[[Any], None], value: Any) -> bool:
    try:
        layer(value)
    except SdlError:
        return False
    return True


@given(st.one_of(st.floats(), st.integers(), st.booleans(), st.text(max_size=5), st.none()))
def test_each_layer_lets_in_what_is_inside_and_nothing_else(value: Any) -> None:
    for layer in (by_lab, by_device):
        assert _passes(layer, value) is is_inside(value)


def test_all_three_under_a_run_engine() -> None:
    """The same through a station, for a few values: the plan is told, and the device is not."""
    oven = Oven(is_checked=True)
    with Lab("lab", clock=VirtualClock(), limits={"oven": (LOW, HIGH)}, oven=oven) as lab:
        for value in (math.nan, "300", True, math.nextafter(HIGH, math.inf), 300.0):

            def plan(value: Any = value) -> Steps:
                yield message("wait_for", None, [lambda: asyncio.sleep(0)])  # no walk comes further
                yield message("set", oven, value, group="a")

            error = lab.stations["lab"].run(Job(plan)).error
            assert (error is None) is (value == 300.0)
    assert oven.reached == [300.0]
