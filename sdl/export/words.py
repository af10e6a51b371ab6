"""Numbers, units and times as people write them."""

from __future__ import annotations

from datetime import UTC, datetime

from sdl.journal.records import ParameterValue, Prediction
from sdl.problem import Measurement
from sdl.problem.writing import in_unit, number, symbol, with_error

__all__ = [
    "NOTHING",
    "count",
    "duration",
    "in_unit",
    "label",
    "measurement",
    "minute",
    "number",
    "prediction",
    "setting",
    "several",
    "shortened",
    "symbol",
    "with_error",
]

NOTHING = "\u2013"
"""A dash, for what there is not."""


def label(name: str, unit: str | None) -> str:
    """Return what an axis or a column is called: ``oxygen [Pa]``."""
    return f"{name} [{symbol(unit)}]" if unit else name


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
