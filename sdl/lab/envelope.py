"""Names and limits of a laboratory's devices, and what counts as a device."""

from __future__ import annotations

import functools
import math
import numbers
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sdl.errors import LabError, LimitError


def as_number(value: object) -> float | None:
    """Return *value* as a float if it is a real number (numpy's scalars are, booleans are not), else None."""
    if type(value) is float:  # nearly always
        return value
    if value is None or type(value) is str:
        return None
    if isinstance(value, bool):
        return None
    item = getattr(value, "item", None)
    if callable(item) and getattr(value, "shape", None) == ():
        value = item()
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        return None
    try:
        return float(value)
    except OverflowError:  # an integer of hundreds of digits
        return math.inf


Limits = Mapping[str, tuple[float | None, float | None]]

VERBS: Mapping[str, tuple[str, ...]] = {
    "Readable": ("read", "describe"),
    "Movable": ("set",),
    "Triggerable": ("trigger",),
    "Locatable": ("locate",),
    "Flyable": ("kickoff", "complete"),
    "Preparable": ("prepare",),
    "Stageable": ("stage", "unstage"),
}
"""The protocols of ``bluesky.protocols`` by their methods, so that checking a device does not import bluesky."""


def verbs_of(device: object) -> tuple[str, ...]:
    """Return the names of the bluesky protocols that *device* satisfies."""
    if isinstance(device, type):
        return ()
    return tuple(name for name, methods in VERBS.items() if all(callable(getattr(device, m, None)) for m in methods))


def library_of(device: object) -> str:
    """Return ``ophyd``, ``ophyd_async`` or nothing: what the class of *device* is derived from."""
    kind: Any = type(device)
    return _library(kind)


@functools.cache
def _library(kind: Any) -> str:
    packages = {base.__module__.partition(".")[0] for base in kind.__mro__}
    return next((each for each in ("ophyd_async", "ophyd") if each in packages), "")


def children(device: object) -> Iterator[tuple[str, object]]:
    """Yield the public attributes of *device* that are devices or namespaces of devices."""
    for name, value in list(getattr(device, "__dict__", {}).items()):
        if name.startswith("_") or name == "parent" or isinstance(value, type) or not hasattr(value, "__dict__"):
            continue
        yield name, value


def tree(name: str, device: object, depth: int = 3) -> Iterator[tuple[str, object]]:
    """Yield *device* and the devices down to *depth* below it, each once, with their dotted names; shortest first."""
    seen: set[int] = set()
    level = [(name, device)]
    for _ in range(depth + 1):
        below: list[tuple[str, object]] = []
        for found_name, found in level:
            if id(found) in seen:
                continue
            seen.add(id(found))
            if verbs_of(found):
                yield found_name, found
            below += [(f"{found_name}.{child_name}", child) for child_name, child in children(found)]
        level = below


@dataclass(frozen=True)
class Limit:
    """The range that a laboratory allows for one device; None for an open end."""

    name: str
    low: float | None
    high: float | None

    def check(self, value: object) -> None:
        """Raise :class:`~sdl.errors.LimitError` unless *value* is a number within the range."""
        hint = f"the laboratory allows {_show(self.low, '-∞')} to {_show(self.high, '∞')}"
        number = as_number(value)
        if number is None:
            raise LimitError(f"{self.name} was sent {value!r}, which is no number", hint=hint)
        if not math.isfinite(number):
            raise LimitError(f"{self.name} was sent {number}", hint="a set-point is a finite number")
        if self.low is not None and not number >= self.low:
            raise LimitError(f"{self.name} was sent {number:g}, which is below {self.low:g}", hint=hint)
        if self.high is not None and not number <= self.high:
            raise LimitError(f"{self.name} was sent {number:g}, which is above {self.high:g}", hint=hint)


def _show(bound: float | None, otherwise: str) -> str:
    return otherwise if bound is None else f"{bound:g}"


@dataclass(frozen=True)
class Envelope:
    """What a laboratory knows of its devices: their dotted names and their limits, by identity."""

    names: Mapping[int, str] = field(default_factory=dict[int, str])
    limits: Mapping[int, Limit] = field(default_factory=dict[int, Limit])
    is_checked: bool = False  # whether any device has limits, the laboratory's or its own

    def name(self, device: object) -> str:
        """Return the dotted name of *device* in the laboratory, else what it calls itself."""
        known = self.names.get(id(device))
        return known or str(getattr(device, "name", "") or type(device).__name__)

    def width(self, device: object) -> float:
        """Return the width of the laboratory's limits for *device*; zero where an end is open, or both."""
        limit = self.limits.get(id(device))
        return 0.0 if limit is None or limit.low is None or limit.high is None else limit.high - limit.low

    def check(self, device: object, value: object) -> None:
        """Raise :class:`~sdl.errors.LimitError` when *value* is not finite, or outside the laboratory's limits."""
        number = as_number(value)
        if number is not None and not math.isfinite(number):
            raise LimitError(f"{self.name(device)} was sent {value}", hint="a set-point is a finite number")
        limit = self.limits.get(id(device))
        if limit is not None:
            limit.check(value)


def make_envelope(lab: str, devices: Mapping[str, object], limits: Limits | None) -> Envelope:
    """Name every device of *devices* and find those that *limits* speak of."""
    names: dict[int, str] = {}
    has_own = False
    for name, device in devices.items():
        for dotted, found in tree(name, device):
            names.setdefault(id(found), dotted)
            has_own = has_own or callable(getattr(found, "check_value", None))
    by_id: dict[int, Limit] = {}
    for dotted, (low, high) in (limits or {}).items():
        device = _find(lab, devices, dotted)
        if any(bound is not None and not _is_finite(bound) for bound in (low, high)):
            raise LabError(
                f"the limits of {dotted} in {lab} are ({low}, {high})", hint="a limit is a finite number, or None"
            )
        if low is not None and high is not None and not low <= high:
            raise LabError(f"the limits of {dotted} in {lab} are ({low}, {high}), the wrong way round")
        by_id[id(device)] = Limit(dotted, low, high)
        names[id(device)] = dotted
    return Envelope(names, by_id, is_checked=has_own or bool(by_id))


def _is_finite(bound: object) -> bool:
    number = as_number(bound)
    return number is not None and math.isfinite(number)


def _find(lab: str, devices: Mapping[str, object], dotted: str) -> object:
    first, *rest = dotted.split(".")
    device: Any = devices.get(first)
    for part in rest:
        device = getattr(device, part, None)
    if device is None or not callable(getattr(device, "set", None)):
        raise LabError(
            f"{lab} has limits for {dotted!r}, and no such device that can be set",
            hint='name it by its attributes in the laboratory, as in "sputter.temperature"',
        )
    return device
