"""Kinds of instruments: what a plan may count on, whoever made the instrument.

A kind is a protocol. It names the parts of a driver that a plan uses, with their verbs, the dimension of their numbers,
and what repeating an act would do::

    def feed(pump: SyringePump, volume_ml: float):
        yield from go(pump.infuse, volume_ml, timeout=600)

Type checkers accept any driver that has the parts, without a base class; :func:`check_kind` says at run time what is
missing. A kind asks for little: drivers have more parts than their kind.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Protocol, get_type_hints

from bluesky.protocols import HasName, Movable, Readable, Stoppable, Triggerable

from sdl.errors import LabError
from sdl.lab.actions import ActionClass, Actions
from sdl.problem import units


class Setting(Movable[float], Readable[float], Stoppable, Protocol):
    """A number that is set and read back, such as a :class:`~sdl.devices.Knob`, or a positioner of ophyd-async."""


class Choice(Movable[str], Readable[str], Protocol):
    """A name that is set and read back, such as a :class:`~sdl.devices.Selector`."""


class Act(HasName, Movable[Any], Stoppable, Protocol):
    """Something that is done, and takes time, such as an :class:`~sdl.devices.Activity`."""


class Measuring(Readable[float], Triggerable, Protocol):
    """What measures when it is told to, such as a :class:`~sdl.devices.Sensor`."""


class Recording(Readable[Any], Triggerable, Protocol):
    """What measures curves when it is told to, such as :class:`~sdl.devices.Curves`."""


@dataclass(frozen=True)
class Part:
    """What a kind asks of a part.

    Parameters
    ----------
    unit
        Its numbers convert to this one; None where they may have any unit, or are none.
    action
        What repeating its act would do; None where that is the driver's affair.
    """

    unit: str | None = None
    action: ActionClass | None = None


SET = ActionClass.SET_ABSOLUTE


class Pump(Protocol):
    """Moves a liquid at a rate."""

    @property
    def rate(self) -> Annotated[Setting, Part("mL/min", SET)]:
        """Volume a time."""
        ...


class SyringePump(Pump, Protocol):
    """Moves volumes out of a syringe and into it."""

    @property
    def infuse(self) -> Annotated[Act, Part("mL", ActionClass.CUMULATIVE)]:
        """``set(volume)``: out of the syringe."""
        ...

    @property
    def withdraw(self) -> Annotated[Act, Part("mL", ActionClass.CUMULATIVE)]:
        """``set(volume)``: into the syringe."""
        ...


class Valve(Protocol):
    """Stands at one of a few places."""

    @property
    def position(self) -> Annotated[Choice, Part(None, SET)]:
        """The name of the place."""
        ...


class Balance(Protocol):
    """Weighs."""

    @property
    def mass(self) -> Annotated[Measuring, Part("g", ActionClass.READ)]:
        """The stable weight."""
        ...

    @property
    def tare(self) -> Annotated[Act, Part(None, SET)]:
        """``set("now")``: what is on the pan counts as nothing from now on."""
        ...


class Heater(Protocol):
    """Holds a temperature."""

    @property
    def temperature(self) -> Annotated[Setting, Part("degC", SET)]:
        """Set-point, and what the sensor says."""
        ...


class Furnace(Protocol):
    """Takes samples through a temperature programme."""

    @property
    def firing(self) -> Annotated[Act, Part(None, ActionClass.IRREVERSIBLE)]:
        """``set((degC, hours, vessels))``."""
        ...

    @property
    def temperature(self) -> Annotated[Readable[float], Part("degC")]:
        """What the sensor says."""
        ...


class Stirrer(Protocol):
    """Turns."""

    @property
    def speed(self) -> Annotated[Setting, Part("rpm", SET)]:
        """Turns a minute."""
        ...


class MassFlowController(Protocol):
    """Lets so much gas pass."""

    @property
    def flow(self) -> Annotated[Setting, Part("mL/min", SET)]:
        """At the standard conditions of the instrument."""
        ...


class SourceMeter(Protocol):
    """Applies a voltage and measures the current: a source-measure unit, the working part of a potentiostat."""

    @property
    def voltage(self) -> Annotated[Setting, Part("V", SET)]:
        """What is applied."""
        ...

    @property
    def output(self) -> Annotated[Choice, Part(None, SET)]:
        """``on`` or ``off``."""
        ...

    @property
    def current(self) -> Annotated[Measuring, Part("A", ActionClass.READ)]:
        """What flows."""
        ...


class PowerSupply(Protocol):
    """Gives a voltage, up to a current."""

    @property
    def voltage(self) -> Annotated[Setting, Part("V", SET)]:
        """Its set-point."""
        ...

    @property
    def current_limit(self) -> Annotated[Setting, Part("A", SET)]:
        """Its set-point."""
        ...

    @property
    def switch(self) -> Annotated[Choice, Part(None, SET)]:
        """``on`` or ``off``."""
        ...


class Depositing(Protocol):
    """A sputter source, or another source of film that a shutter covers."""

    @property
    def power(self) -> Annotated[Setting, Part("W", SET)]:
        """Of the discharge."""
        ...

    @property
    def shutter(self) -> Annotated[Act, Part("s", ActionClass.CUMULATIVE)]:
        """``set(seconds)``: open for so long."""
        ...


class Dosing(Protocol):
    """Doses materials into vessels: powders by mass, liquids by volume."""

    @property
    def dose(self) -> Annotated[Act, Part(None, ActionClass.CUMULATIVE)]:
        """``set((vessel, {material: amount}))``."""
        ...


class Scanning(Protocol):
    """A diffractometer or spectrometer that takes a sample and reports a curve."""

    @property
    def scan(self) -> Annotated[Act, Part(None)]:
        """``set(sample)``."""
        ...


class Spectrometer(Protocol):
    """Measures light by its wavelength."""

    @property
    def integration(self) -> Annotated[Setting, Part("ms", SET)]:
        """For how long it collects light."""
        ...

    @property
    def spectrum(self) -> Annotated[Recording, Part(None, ActionClass.READ)]:
        """Counts, or intensities, by pixel."""
        ...


class Potentiostat(Protocol):
    """Drives an electrochemical cell, and records the current."""

    @property
    def technique(self) -> Annotated[Act, Part(None, ActionClass.CUMULATIVE)]:
        """``set(Sweep(...))``, ``set(Hold(...))``."""
        ...

    @property
    def trace(self) -> Annotated[Recording, Part(None, ActionClass.READ)]:
        """Times, potentials and currents of the last technique."""
        ...

    @property
    def open_circuit(self) -> Annotated[Measuring, Part("V", ActionClass.READ)]:
        """Between the electrodes, when no current flows."""
        ...


class PlateReader(Protocol):
    """Measures every well of a microplate."""

    @property
    def tray(self) -> Annotated[Choice, Part(None, SET)]:
        """``in`` or ``out``."""
        ...

    @property
    def wavelength(self) -> Annotated[Setting, Part("nm", SET)]:
        """At which it measures."""
        ...

    @property
    def absorbance(self) -> Annotated[Recording, Part(None, ActionClass.READ)]:
        """By well, row by row."""
        ...


class LiquidHandler(Protocol):
    """Pipettes."""

    @property
    def pipetting(self) -> Annotated[Act, Part(None, ActionClass.CUMULATIVE)]:
        """``set((source, target, uL))``."""
        ...

    @property
    def tip(self) -> Annotated[Act, Part(None, ActionClass.CUMULATIVE)]:
        """``set("new")``: the old one is thrown away."""
        ...

    @property
    def tips(self) -> Annotated[Readable[float], Part(None)]:
        """How many are left."""
        ...


class Chromatography(Protocol):
    """Injects a sample, and reports what is in it: gas or liquid chromatographs."""

    @property
    def injection(self) -> Annotated[Act, Part(None, ActionClass.CUMULATIVE)]:
        """``set(vessel)``: it takes a little of it."""
        ...

    @property
    def report(self) -> Annotated[Measuring, Part(None, ActionClass.READ)]:
        """The areas, or amounts, of the last injection."""
        ...


class Camera(Protocol):
    """Takes a picture, and reports what it sees in it."""

    @property
    def spot(self) -> Annotated[Measuring, Part(None, ActionClass.READ)]:
        """Where, and how large."""
        ...


class RobotArm(Protocol):
    """Carries things from one place to another."""

    @property
    def arm(self) -> Annotated[Act, Part(None, ActionClass.TRANSFER)]:
        """``set((from, to))``."""
        ...


KINDS: tuple[type, ...] = (
    Pump,
    SyringePump,
    Valve,
    Balance,
    Heater,
    Furnace,
    Stirrer,
    MassFlowController,
    SourceMeter,
    PowerSupply,
    Depositing,
    Dosing,
    Scanning,
    Spectrometer,
    Potentiostat,
    PlateReader,
    LiquidHandler,
    Chromatography,
    Camera,
    RobotArm,
)
"""All kinds. A motor axis is a :class:`Setting` itself, and a person is :class:`sdl.lab.Person`."""


def check_kind(device: object, kind: type) -> None:
    """Raise LabError naming all that *device* lacks to be of *kind*."""
    missing = list(missing_parts(device, kind))
    if missing:
        name = getattr(device, "name", type(device).__name__)
        raise LabError(
            f"{name} is no {kind.__name__}: {'; '.join(missing)}", hint=f"see sdl.devices.kinds.{kind.__name__}"
        )


def kinds_of(device: object) -> tuple[str, ...]:
    """Return the names of the kinds that *device* is of."""
    return tuple(kind.__name__ for kind in KINDS if not any(True for _ in missing_parts(device, kind)))


def missing_parts(device: object, kind: type) -> Iterator[str]:
    """Say what *device* lacks to be of *kind*, part by part."""
    for name, part, verbs in parts_of(kind):
        found = getattr(device, name, None)
        lacking = [verb for verb in verbs if not callable(getattr(found, verb, None))]
        if found is None:
            yield f"it has no {name}"
        elif lacking:
            yield f"its {name} cannot {', '.join(lacking)}"
        else:
            yield from _differences(name, found, part)


def parts_of(kind: type) -> Iterator[tuple[str, Part, tuple[str, ...]]]:
    """Return the parts that *kind* asks for: name, what is asked of it, and its verbs."""
    for name, member in inspect.getmembers(kind, lambda value: isinstance(value, property)):
        hint = get_type_hints(member.fget, include_extras=True)["return"]
        protocol: Any = getattr(hint.__origin__, "__origin__", hint.__origin__)
        verbs = (verb for verb in ("set", "trigger", "read", "describe", "stop") if hasattr(protocol, verb))
        yield name, hint.__metadata__[0], tuple(verbs)


def _differences(name: str, found: object, part: Part) -> Iterator[str]:
    unit = unit_of(found)
    if part.unit is not None and unit is not None and not units.are_compatible(unit, part.unit):
        yield f"its {name} is in {unit}, which is no {part.unit}"
    verb = "set" if callable(getattr(found, "set", None)) else "trigger"
    action = Actions().find(found, verb) if part.action is not None else None
    if part.action is not None and action is not part.action:
        yield f"to {verb} its {name} is {action or 'not declared'}, not {part.action}"


def unit_of(part: object) -> str | None:
    """Return the unit of a part's numbers: its own, or that of its first data key; None where it does not say."""
    unit = getattr(part, "unit", None)
    if isinstance(unit, str):
        return unit
    describe = getattr(part, "describe", None)
    described: Any = describe() if callable(describe) and not inspect.iscoroutinefunction(describe) else {}
    key: Any = described.get(getattr(part, "name", ""), {})
    found = key.get("units")
    return found if isinstance(found, str) else None
