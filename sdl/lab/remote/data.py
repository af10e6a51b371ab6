"""What plans are given and what they return, as plain data that becomes the same values on the other side.

Whatever JSON has stays as it is; everything else is a mapping with the key ``"$"``, which says what it is. Nothing that
comes in decides what code runs: the kinds are those of this page.
"""

from __future__ import annotations

import builtins
import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, cast

from pydantic import JsonValue

from sdl import errors
from sdl.errors import LabError, SdlError
from sdl.journal.trust import Quality
from sdl.lab.actions import ActionClass, ActRecord
from sdl.lab.experiment import Settings
from sdl.lab.remote.messages import Malformed, as_mapping
from sdl.problem import Measurement, units

_KIND = "$"


def to_data(value: object) -> JsonValue:  # noqa: PLR0911 # one line a kind
    """Return *value* as plain data.

    Raises :class:`~sdl.errors.LabError` for what is none: an object of a class of the user's own.
    """
    if value is None or type(value) in {bool, int, str}:
        return cast("JsonValue", value)
    if type(value) is float:
        return value if math.isfinite(value) else {_KIND: "float", "value": str(value)}
    if isinstance(value, Measurement):
        return {_KIND: "measurement", "value": value.model_dump(mode="json")}
    if isinstance(value, list):
        return [to_data(item) for item in cast("list[object]", value)]
    if isinstance(value, tuple):
        return {_KIND: "tuple", "value": [to_data(item) for item in cast("tuple[object, ...]", value)]}
    if isinstance(value, Mapping):
        return _mapping(cast("Mapping[object, object]", value))
    if type(value).__module__.partition(".")[0] == "pint" and hasattr(value, "magnitude"):
        quantity: Any = value
        return {_KIND: "quantity", "value": to_data(quantity.magnitude), "unit": str(quantity.units)}
    if type(value).__module__.partition(".")[0] == "numpy" and callable(getattr(value, "tolist", None)):
        return _array(value)
    raise LabError(
        f"a {type(value).__qualname__} cannot leave the station's process",
        hint="return numbers, strings, quantities, measurements, arrays, and lists and mappings of them",
    )


def _mapping(value: Mapping[object, object]) -> JsonValue:
    if all(type(key) is str for key in value) and _KIND not in value:
        return {cast("str", key): to_data(item) for key, item in value.items()}
    return {_KIND: "mapping", "value": [[to_data(key), to_data(item)] for key, item in value.items()]}


def _array(value: Any) -> JsonValue:
    dtype = str(value.dtype)
    if value.dtype.kind not in "biufU":
        raise LabError(f"an array of {dtype} cannot leave the station's process", hint="use numbers or texts")
    shape = [int(size) for size in value.shape]
    return {_KIND: "array", "value": to_data(value.tolist()), "dtype": dtype, "shape": cast("JsonValue", shape)}


def from_data(data: object) -> Any:
    """Return the value that *data* stands for. Raises :class:`~sdl.lab.remote.messages.Malformed` otherwise."""
    if isinstance(data, list):
        return [from_data(item) for item in cast("list[object]", data)]
    if not isinstance(data, dict):
        return data
    plain = cast("dict[str, Any]", data)
    if _KIND not in plain:
        return {key: from_data(item) for key, item in plain.items()}
    try:
        return _made(plain)
    except (KeyError, TypeError, ValueError) as error:
        raise Malformed(f"no {plain[_KIND]!r}: {error}") from None


def _made(data: Mapping[str, Any]) -> Any:
    value = data["value"]
    match data[_KIND]:
        case "float":
            return float(value)
        case "measurement":
            return Measurement.from_data(value)
        case "tuple":
            return tuple(from_data(item) for item in value)
        case "mapping":
            return {from_data(key): from_data(item) for key, item in value}
        case "quantity":
            return units.quantity(from_data(value), data["unit"])
        case "array":
            return _made_array(data)
        case other:
            raise Malformed(f"{other!r} is no kind of value")


def _made_array(data: Mapping[str, Any]) -> Any:
    import numpy as np  # noqa: PLC0415 # only where there is one

    dtype = np.dtype(data["dtype"])
    if dtype.kind not in "biufU":
        raise Malformed(f"no array is of {dtype}")
    made = np.array(from_data(data["value"]), dtype=dtype).reshape(data["shape"])
    return made if data["shape"] else made[()]


# --- settings, acts, errors -------------------------------------------------------------------------------------------


def given_to_data(given: Settings | tuple[Settings, ...]) -> JsonValue:
    """Return what a plan is given: of a trial, or of all trials that a run treats."""
    return settings_to_data(given) if isinstance(given, Settings) else {"batch": [settings_to_data(s) for s in given]}


def given_from_data(data: object) -> Settings | tuple[Settings, ...]:
    """Return what *data* stand for: the settings of a trial, or those of several."""
    batch = as_mapping(data).get("batch")
    if batch is None:
        return settings_from_data(data)
    if not isinstance(batch, list) or not batch:
        raise Malformed("a batch of nothing")
    return tuple(settings_from_data(each) for each in cast("list[object]", batch))


def settings_to_data(settings: Settings) -> JsonValue:
    """Return what a plan is given of a trial."""
    return {
        "values": dict(settings),
        "units": dict(settings.units),
        "trial": settings.trial,
        "attempt": settings.attempt,
        "campaign": settings.campaign,
        "results": to_data(dict(settings.results)),
        "positions": dict(settings.positions),
        "acts": [cast("JsonValue", asdict(act)) for act in settings.acts],
        "role": settings.role,
        "station": settings.station,
        "qualities": {step: settings.quality(step).value for step in settings.results},
    }


def settings_from_data(data: object) -> Settings:
    """Return the settings that *data* stand for."""
    given = as_mapping(data)
    try:
        qualities = {step: Quality(found) for step, found in given.get("qualities", {}).items()}
        return Settings(
            given["values"],
            units=given["units"],
            trial=given["trial"],
            attempt=given["attempt"],
            campaign=str(given.get("campaign", "")),
            results=from_data(given["results"]),
            positions=given["positions"],
            acts=[act_from_data(act) for act in given["acts"]],
            role=str(given.get("role", "search")),
            station=str(given.get("station", "")),
            judge=qualities.__getitem__,
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise Malformed(f"no settings: {error}") from None


def act_from_data(data: Mapping[str, Any]) -> ActRecord:
    """Return the record of an act."""
    fields: dict[str, Any] = dict(data)
    fields["action_class"] = ActionClass(data["action_class"])
    return ActRecord(**fields)


def error_to_data(error: BaseException | None) -> dict[str, str] | None:
    """Return an error as its kind and its words."""
    if error is None:
        return None
    if isinstance(error, SdlError):
        return {"type": type(error).__name__, "message": error.message, "hint": error.hint}
    return {"type": type(error).__name__, "message": str(error), "hint": ""}


def error_from_data(data: Mapping[str, str] | None) -> BaseException | None:
    """Return the error of that kind: one of ours, one of Python's own, or a LabError that names the kind."""
    if data is None:
        return None
    name, message = data["type"], data["message"]
    ours: object = getattr(errors, name, None)
    if isinstance(ours, type) and issubclass(ours, SdlError):
        return ours(message, hint=data["hint"])
    builtin: object = getattr(builtins, name, None)
    if isinstance(builtin, type) and issubclass(builtin, Exception) and not issubclass(builtin, UnicodeError):
        return builtin(message)
    return LabError(f"{name}: {message}")
