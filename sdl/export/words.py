"""Numbers, units and times as people write them."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache

from sdl.errors import UnitError
from sdl.journal.records import ParameterValue, Prediction
from sdl.problem import Measurement, units

NOTHING = "\u2013"
"""A dash, for what there is not."""

_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_SMALLEST, _LARGEST = 1e-3, 1e6
"""Outside these magnitudes a number is written with a power of ten."""


@lru_cache(maxsize=256)
def symbol(unit: str | None) -> str:
    """Return the usual sign of a unit: ``Ω`` for ``ohm``; the text itself where pint knows no sign."""
    if not unit:
        return ""
    try:
        units.check_unit(unit, name="unit")
    except UnitError:
        return unit
    return f"{units.registry().Unit(unit):~P}" or unit


def label(name: str, unit: str | None) -> str:
    """Return what an axis or a column is called: ``oxygen [Pa]``."""
    return f"{name} [{symbol(unit)}]" if unit else name


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


def measurement(measured: Measurement) -> str:
    """Write a measurement with its standard error and unit."""
    return in_unit(with_error(measured.value, measured.standard_error), measured.unit)


def prediction(predicted: Prediction, unit: str | None) -> str:
    """Write a prediction: mean ± standard deviation."""
    return in_unit(with_error(predicted.mean, predicted.standard_deviation), unit)


def setting(value: ParameterValue, unit: str | None) -> str:
    """Write the value of a parameter with its unit."""
    return value if isinstance(value, str) else in_unit(number(value), unit)


def duration(seconds: float) -> str:
    """Write a length of time in its two largest units: ``3 d 4 h``, ``12 min 5 s``, ``0.8 s``."""
    if seconds < 60:
        return f"{number(seconds, 2)} s"
    whole = round(seconds)
    days, hours, minutes = whole // 86400, whole // 3600 % 24, whole // 60 % 60
    parts = [(days, "d"), (hours, "h"), (minutes, "min"), (whole % 60, "s")]
    first = next(index for index, (amount, _) in enumerate(parts) if amount)
    return " ".join(f"{amount} {unit}" for amount, unit in parts[first : first + 2] if amount)


def minute(time: datetime | None) -> str:
    """Write a time to the minute, in UTC; a dash for none."""
    return NOTHING if time is None else f"{time.astimezone(UTC):%Y-%m-%d %H:%M}"


def count(n: int, singular: str, plural: str | None = None) -> str:
    """Write ``1 trial``, ``2 trials``."""
    return f"{n:,} {singular if n == 1 else plural or singular + 's'}"


def several(words: list[str]) -> str:
    """Join words: ``a, b and c``."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}" if words else ""


def shortened(text: str, length: int = 160) -> str:
    """Cut a long text on one line."""
    flat = " ".join(text.split())
    return flat if len(flat) <= length else flat[: length - 1].rstrip() + "…"


def squeezed(text: str, length: int = 15) -> str:
    """Cut a long text in its middle: names of molecules differ at both ends."""
    head = (length - 1) // 2
    return text if len(text) <= length else f"{text[:head]}…{text[len(text) - (length - 1 - head) :]}"


def _exponent(value: float, digits: int) -> int:
    """The power of ten of *value* once it is rounded to so many digits: that of 9.96 to two digits is 1."""
    return int(f"{abs(value):.{digits - 1}e}".partition("e")[2])


def _scaled(value: float, exponent: int) -> float:
    """Divide by a power of ten which a float may be too small to hold."""
    return float(Decimal(value).scaleb(-exponent))


def _power(exponent: int) -> str:
    return " \u00d7 10" + str(exponent).translate(_SUPERSCRIPTS)
