"""What a device does when something is wrong: its safe action, declared as a text.

``stop_now``
    ``stop()`` at once; the step that uses it is aborted.
``stop_now to 0 Pa``
    And then it is sent to that value.
``hold_setpoint``
    It keeps its set-point; a move under way is stopped where it is; the step is aborted.
``ramp_down(5 K/min to 20 degC)``
    The step is aborted, and the set-point goes down at that rate to that value.
``finish_step_then_hold``
    The step goes on to its end, then as ``hold_setpoint``.

A device declares it with the attribute ``safe_action``; for a device of somebody else's the laboratory does:
``Lab(..., safe_actions={"heater": "ramp_down(5 K/min to 20 degC)"})``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import get_args

from sdl.errors import LabError, UnitError
from sdl.journal.safety import SafeActionKind
from sdl.problem import units
from sdl.problem.value import listing

DEFAULT = "stop_now"
"""What an abort does to a device that declares nothing. An interlock never assumes it: it wants a declaration."""

_FORM = re.compile(r"(?P<kind>[a-z_]+)\s*(?:\((?P<rate>.*?)\s+to\s+(?P<low>.*)\)|to\s+(?P<value>.*))?")
_RATE = re.compile(r"(?P<amount>.*)/\s*(?P<time>[^\W\d]+)\s*")
_KINDS: tuple[str, ...] = get_args(SafeActionKind)
_HINT = (
    'write "stop_now", "stop_now to 0 Pa", "hold_setpoint", "finish_step_then_hold" or "ramp_down(5 K/min to 20 degC)"'
)


@dataclass(frozen=True)
class SafeAction:
    """A safe action, in the device's own unit.

    Parameters
    ----------
    kind
        Which of the four.
    rate
        Units of the device a second, above zero; for a ramp.
    value
        Where a ramp ends, or where the device is sent after a stop; None where it only stops.
    """

    kind: SafeActionKind
    rate: float | None = None
    value: float | None = None

    @property
    def is_immediate(self) -> bool:
        """Whether the step that uses the device is aborted."""
        return self.kind != "finish_step_then_hold"


def read_action(text: object, unit: str | None, *, name: str) -> SafeAction:
    """Read a safe action of the device *name*, whose numbers are in *unit*.

    Raises
    ------
    LabError
        The text is none, or a ramp has no rate and no end.
    UnitError
        A number has no unit where the device has one, or another dimension.
    """
    match = _FORM.fullmatch(text.strip()) if isinstance(text, str) else None
    if match is None or match["kind"] not in _KINDS:
        raise LabError(f"{name} has the safe action {text!r}, which is none of {listing(_KINDS)}", hint=_HINT)
    kind: SafeActionKind = match["kind"]  # type: ignore[assignment] # one of _KINDS
    if (match["rate"] is not None) != (kind == "ramp_down") or (match["value"] is not None and kind != "stop_now"):
        raise LabError(f"{name} has the safe action {text!r}, which is incomplete or says too much", hint=_HINT)
    rate = None if match["rate"] is None else _rate(match["rate"], unit, name)
    end = match["low"] or match["value"]
    return SafeAction(kind, rate, None if end is None else units.to_unit(end, unit, name=f"where {name} is safe"))


def _rate(text: str, unit: str | None, name: str) -> float:
    match = _RATE.fullmatch(text)
    if match is None:
        raise LabError(f"{name} ramps down at {text!r}, which is no rate", hint=_HINT)
    amount, given = units.split(match["amount"], name=f"the rate of {name}")
    if given is None and unit is not None:
        raise UnitError(f"{name} ramps down at {text!r}, and it is in {unit}", hint=_HINT)
    seconds = units.to_unit(f"1 {match['time']}", "s", name=f"the rate of {name}")
    rate = _difference(amount, given, unit, name) / seconds
    if not rate > 0:
        raise LabError(f"{name} ramps down at {text!r}", hint="a rate is above zero")
    return rate


def _difference(amount: float, given: str | None, unit: str | None, name: str) -> float:
    if unit == given:
        return amount
    return units.convert_difference(amount, given, unit, name=f"the rate of {name}")
