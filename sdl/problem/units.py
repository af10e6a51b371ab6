"""Units at the edge: whatever a person or an instrument hands in becomes a float in the declared unit, once.

Inside sdl every number is a plain float in the unit that its parameter or outcome declares. The functions here are the
only place where a unit is read. A bare number is refused wherever a unit is declared.

One pint registry serves the process. It is made at first use, because pint takes a third of a second to import. It adds
``sccm``, a thousandth of the ``slm`` that pint has: a flow of gas at standard conditions, which does not convert to a
flow of volume, because makers disagree about what is standard.
"""

from __future__ import annotations

import difflib
import math
import numbers
import re
from collections.abc import Generator
from contextlib import contextmanager
from fractions import Fraction
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from sdl.errors import UnitError
from sdl.problem.value import listing

if TYPE_CHECKING:
    from pint.facets.plain import PlainQuantity

_SCCM = "standard_cubic_centimeter_per_minute = 0.001 * standard_liter_per_minute = sccm"
_NUMBER = re.compile(r"\s*([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)\s*(.*?)\s*", re.DOTALL)
# A unit is names with small exponents. Anything else is refused before pint evaluates it: 9**9**9 has no end.
_EXPONENT = re.compile(
    r"(?:\*\*|\^)\s*(?:-?\d{1,2}(?:\.\d+)?|\(\s*-?\d{1,2}\s*(?:/\s*\d{1,2}\s*)?\))(?!\s*\*\*|\s*\^|\d|\.)"
)
_NO_UNIT = re.compile(r"\*\*|\^|(?<![\w.])(?!1(?![\d.]))\d|[;\\\n]")
_MAX_LENGTH = 100


@lru_cache(maxsize=1)
def registry() -> Any:
    """Return the one ``pint.UnitRegistry`` of this process."""
    import pint  # noqa: PLC0415 # a third of a second, which `import sdl` does not pay

    made = cast("Any", pint.UnitRegistry())
    made.define(_SCCM)
    return made


def quantity(value: float, unit: str | None) -> PlainQuantity[float]:
    """Return *value* in *unit* as a pint quantity of :func:`registry`."""
    return cast("PlainQuantity[float]", registry().Quantity(value, _parse(unit or "")))


def check_unit(unit: str | None, *, name: str) -> None:
    """Raise :class:`~sdl.errors.UnitError` unless *unit* is None or a unit that pint knows."""
    if unit is None:
        return
    if not unit.strip():
        raise UnitError(f"{name} is an empty text", hint="write unit=None for a plain number")
    with _named(name):
        _parse(unit)


def are_compatible(unit: str | None, other: str | None) -> bool:
    """Tell whether numbers convert between the two units."""
    try:
        _conversion(unit or "", other or "")
    except UnitError:
        return False
    return True


def number(value: object) -> float | None:
    """Return *value* as a float if it is a real number (numpy's scalars are, booleans are not), else None."""
    if type(value) is float:
        return value
    item = getattr(value, "item", None)
    if item is not None and getattr(value, "ndim", None) == 0:
        value = item()
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        return None
    try:
        return float(value)
    except OverflowError:  # an integer of hundreds of digits
        return math.inf


def split(value: object, *, name: str) -> tuple[float, str | None]:
    """Take a number, a quantity of any pint registry, or a text such as ``"0.1 Pa"`` apart: number and unit.

    The unit is None for a bare number. Raises :class:`~sdl.errors.UnitError` for anything else, and for numbers that
    are not finite.
    """
    found, unit = _split(value)
    if found is None:
        raise UnitError(
            f"{name} = {value!r} is neither a number nor a quantity",
            hint='write a number with its unit, as in "0.1 Pa"',
        )
    if not math.isfinite(found):
        raise UnitError(f"{name} = {found} is not finite")
    return found, unit


def _split(value: object) -> tuple[float | None, str | None]:
    if isinstance(value, str):
        match = _NUMBER.fullmatch(value.replace("\N{MINUS SIGN}", "-"))
        return (float(match[1]), match[2] or None) if match else (None, None)
    magnitude, units = getattr(value, "magnitude", None), getattr(value, "units", None)
    if magnitude is not None and units is not None:
        # Whatever format its registry prefers, a pint unit has its plain name in the format D.
        return number(magnitude), f"{units:D}" if hasattr(units, "dimensionality") else str(units)
    return number(value), None


def to_unit(value: object, unit: str | None, *, name: str) -> float:
    """Return *value* as a float in *unit*.

    Parameters
    ----------
    value
        A quantity of any pint registry or a text such as ``"0.1 Pa"``; a bare number only where *unit* is None.
    unit
        The declared unit; None for a plain number.
    name
        What the value belongs to, for messages.

    Raises
    ------
    UnitError
        No number, no unit where one is declared, an unknown unit, or one of another dimension.
    """
    found, given = split(value, name=name)
    if given is None:
        if unit is not None:
            raise UnitError(
                f"{name} = {found!r} has no unit, and {name} is declared in {unit}", hint=f'write "{found!r} {unit}"'
            )
        return found
    return convert(found, given, unit, name=name)


def to_unit_or_bare(value: object, unit: str | None, *, name: str) -> float:
    """Return *value* in *unit* like :func:`to_unit`, where a bare number counts as being in *unit* already.

    For declarations, where value and unit stand side by side: ``Continuous(0.1, 1.0, unit="Pa")``.
    """
    found, given = split(value, name=name)
    return found if given is None else convert(found, given, unit, name=name)


def convert(value: float, given: str | None, unit: str | None, *, name: str) -> float:
    """Convert *value* from the unit *given* to *unit*; absolute temperatures shift by their offset."""
    if given == unit:
        return value
    with _named(f"{name} = {show(value, given)}"):
        return _conversion(given or "", unit or "").apply(value)


def convert_difference(value: float, given: str | None, unit: str | None, *, name: str) -> float:
    """Convert a difference, such as a standard error: 1 degC is 1 K."""
    if given == unit:
        return value
    with _named(f"{name} = {show(value, given)}"):
        factor = _conversion(given or "", unit or "").factor
        if factor is None:
            raise UnitError(f"a difference does not convert to {unit}", hint=f"give it in {unit}")
        return abs(float(_exact(value) * factor))


def show(value: object, unit: str | None) -> str:
    """Write a value with its unit for a message."""
    return f"{value} {unit}" if unit else f"{value}"


@contextmanager
def _named(subject: str) -> Generator[None]:
    """Put what it is about before the message of an error."""
    try:
        yield
    except UnitError as error:
        raise UnitError(f"{subject}: {error.message}", hint=error.hint) from None


class _Conversion(NamedTuple):
    """``result = value * factor + offset``, or pint's own function where units are not proportional (``dBm``)."""

    factor: Fraction | None
    offset: Fraction
    given: Any
    unit: Any

    def apply(self, value: float) -> float:
        try:
            if self.factor is None:
                return float(registry().convert(value, self.given, self.unit))
            # In fractions of the decimal numbers that people write, 293.15 K is 20 degC and not 19.999999999999943.
            return float(_exact(value) * self.factor + self.offset)
        except OverflowError:
            raise UnitError(f"too large a number in {self.unit}") from None


def _exact(value: float) -> Fraction:
    return Fraction(repr(value))


def _exact_ratio(value: float) -> Fraction:
    """The fraction meant by a conversion factor: 1/60 rather than 0.016666666666666666."""
    inverse = 1.0 / value
    return 1 / _exact(inverse) if len(repr(inverse)) < len(repr(value)) else _exact(value)


@lru_cache(maxsize=4096)
def _conversion(given: str, unit: str) -> _Conversion:
    source, target = _parse(given), _parse(unit)
    if source.dimensionality != target.dimensionality:
        raise _wrong_dimension(given, unit)
    if _is_difference(source) != _is_difference(target) and not (_is_proportional(source) and _is_proportional(target)):
        # pint reads 20 delta_degC as 20 K; a difference is never a temperature.
        raise UnitError(f"one of {given} and {unit} is a difference, the other is not", hint=f"give it in {unit}")
    zero, one, two = (float(registry().convert(number, source, target)) for number in (0.0, 1.0, 2.0))
    factor = one - zero
    if factor == 0 or not math.isclose(two - zero, 2 * factor, rel_tol=1e-9):
        return _Conversion(None, Fraction(0), source, target)
    if zero == 0:
        return _Conversion(_exact_ratio(one), Fraction(0), source, target)
    return _Conversion(_simple(factor), _simple(zero), source, target)


def _simple(value: float) -> Fraction:
    """The fraction that a scale of temperature means: 5/9, 273.15, -160/9. What floats add beyond it is rounding."""
    simple = Fraction(value).limit_denominator(10_000)
    return simple if math.isclose(float(simple), value, rel_tol=1e-12) else _exact(value)


def _wrong_dimension(given: str, unit: str) -> UnitError:
    if not unit:
        return UnitError("a unit where none is declared", hint="give a plain number")
    hint = f"give a quantity that converts to {unit}"
    if given in {"C", "F"} and are_compatible("K", unit):
        hint = f"{given} is a {'coulomb' if given == 'C' else 'farad'}; write deg{given}"
    return UnitError(f"{given or 'a plain number'} does not convert to {unit}", hint=hint)


def _is_difference(unit: Any) -> bool:
    return "delta_" in str(unit)


def _is_proportional(unit: Any) -> bool:
    """Whether 0 in this unit is nothing, which is not so for degC."""
    return math.isclose(float(registry().Quantity(0.0, unit).to_base_units().magnitude), 0.0)


@lru_cache(maxsize=4096)
def _parse(unit: str) -> Any:
    if len(unit) > _MAX_LENGTH or _NO_UNIT.search(_EXPONENT.sub("", unit)):
        raise UnitError(f"{unit[:100]!r} is no unit", hint='write units as in "Pa", "mL/min" or "S/cm"')
    try:
        return registry().parse_units(unit)
    except Exception:  # noqa: BLE001 # a parser's own errors: pint, tokenize, assertions; all mean the same here
        raise UnitError(f"unknown unit {unit!r}", hint=_suggestion(unit)) from None


def _suggestion(unit: str) -> str:
    known = [name for name in dir(registry()) if not name.startswith("_")]
    same = [name for name in known if name.lower() == unit.lower()]
    close = same or difflib.get_close_matches(unit, known, n=3)
    return f"did you mean {listing(close)}?" if close else 'pint knows units such as "Pa", "degC", "mL/min", "ohm"'
