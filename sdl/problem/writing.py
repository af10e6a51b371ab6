"""Numbers and units as people write them."""

from __future__ import annotations

import math
from decimal import Decimal
from functools import lru_cache

from sdl.errors import UnitError

_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_SMALLEST, _LARGEST = 1e-3, 1e6
"""Outside these magnitudes a number is written with a power of ten."""


@lru_cache(maxsize=256)
def symbol(unit: str | None) -> str:
    """Return the usual sign of a unit: ``Ω`` for ``ohm``; the text itself where pint knows no sign."""
    if not unit:
        return ""
    from sdl.problem import units  # noqa: PLC0415 # pint is only loaded where a unit is written

    try:
        units.check_unit(unit, name="unit")
    except UnitError:
        return unit
    return f"{units.registry().Unit(unit):~P}" or unit


def number(value: float, digits: int = 4) -> str:
    """Write *value* with so many significant digits: ``0.1234``, ``5.6e-7`` with its power of ten."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    exponent = _exponent(value, digits)
    if _SMALLEST <= abs(value) < _LARGEST:
        return f"{value:.{max(0, digits - 1 - exponent)}f}" if exponent >= digits - 1 else f"{value:.{digits}g}"
    return f"{_scaled(value, exponent):.{digits}g}{_power(exponent)}"


def with_error(value: float, error: float | None) -> str:
    """Write ``value ± error``: the error with two significant digits, the value to the same place."""
    if error is None or error == 0 or not math.isfinite(error):
        return number(value)
    largest = max(abs(value), error)
    exponent = _exponent(largest, 3)
    if _SMALLEST <= largest < _LARGEST:
        places = max(0, 1 - _exponent(error, 2))
        return f"{value:.{places}f} ± {error:.{places}f}"
    mantissa, rest = _scaled(value, exponent), _scaled(error, exponent)
    places = max(0, 1 - _exponent(rest, 2))
    return f"({mantissa:.{places}f} ± {rest:.{places}f}){_power(exponent)}"


def in_unit(text: str, unit: str | None) -> str:
    """Put the sign of the unit behind a number."""
    return f"{text} {symbol(unit)}" if unit else text


def _exponent(value: float, digits: int) -> int:
    """The power of ten of *value* once it is rounded to so many digits: that of 9.96 to two digits is 1."""
    return int(f"{abs(value):.{digits - 1}e}".partition("e")[2])


def _scaled(value: float, exponent: int) -> float:
    """Divide by a power of ten which a float may be too small to hold."""
    return float(Decimal(value).scaleb(-exponent))


def _power(exponent: int) -> str:
    return " \u00d7 10" + str(exponent).translate(_SUPERSCRIPTS)
