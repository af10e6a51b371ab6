"""Bluesky documents as plain JSON data."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import date
from enum import Enum
from typing import Any, cast

from pydantic import BaseModel

_TEXTS = ("NaN", "Infinity", "-Infinity")


def plain(value: object) -> Any:
    """Return *value* as JSON data.

    numpy scalars and arrays become numbers and lists. JSON has no number for NaN and infinity, and a run is not thrown
    away for one: they become the strings ``"NaN"``, ``"Infinity"`` and ``"-Infinity"``, which ``float`` reads back.
    What has no counterpart in JSON becomes its text.
    """
    kind = type(value)
    if kind is str or kind is int or kind is bool or value is None:
        return value
    if kind is float:
        number = cast("float", value)
        return number if math.isfinite(number) else _not_finite(number)
    if kind is dict:
        return {_key(key): plain(item) for key, item in cast("dict[object, object]", value).items()}
    if kind is list or kind is tuple:
        return [plain(item) for item in cast("Iterable[object]", value)]
    return _other(value)


def _key(key: object) -> str:
    return key if type(key) is str else str(key)


def _not_finite(number: float) -> str:
    if math.isnan(number):
        return "NaN"
    return "Infinity" if number > 0 else "-Infinity"


def _other(value: object) -> Any:
    """Deal with what is not exactly one of JSON's types; subclasses of them come here too."""
    match value:
        case Enum():
            data = plain(value.value)
        case str():
            data = str(value)
        case Mapping():
            data = {_key(key): plain(item) for key, item in cast("Mapping[object, object]", value).items()}
        case list() | tuple():
            data = [plain(item) for item in cast("Iterable[object]", value)]
        case set() | frozenset():
            data = sorted((plain(item) for item in cast("Iterable[object]", value)), key=repr)
        case bytes():
            data = value.hex()
        case BaseModel():
            data = value.model_dump(mode="json")
        case date():
            data = value.isoformat()
        case _:
            data = _number_or_text(value)
    return data


def _number_or_text(value: object) -> Any:
    tolist = getattr(value, "tolist", None)  # numpy's arrays and scalars have it
    if callable(tolist):
        listed = tolist()
        return str(value) if listed is value else plain(listed)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return plain(float(value))
    return str(value)


class NotFinite:
    """Gives readers back the numbers that :func:`plain` wrote as text, in data that a descriptor calls numbers.

    Called with the documents of runs in their order; returns each, changed where it is an event with such a text.
    """

    def __init__(self) -> None:
        self._keys: dict[str, frozenset[str]] = {}
        self._descriptors: dict[str, list[str]] = {}

    def __call__(self, name: str, document: dict[str, Any]) -> dict[str, Any]:
        """Return *document* with its numbers."""
        match name:
            case "descriptor":
                self._keys[document["uid"]] = _numeric(document)
                self._descriptors.setdefault(str(document.get("run_start")), []).append(document["uid"])
            case "event" | "event_page":
                keys = self._keys.get(document["descriptor"], frozenset())
                data = {key: _numbers(value) if key in keys else value for key, value in document["data"].items()}
                return {**document, "data": data}
            case "stop":
                for uid in self._descriptors.pop(str(document["run_start"]), []):
                    del self._keys[uid]
            case _:
                pass
        return document


def _numeric(descriptor: Mapping[str, Any]) -> frozenset[str]:
    keys: Mapping[str, Mapping[str, Any]] = descriptor.get("data_keys", {})
    return frozenset(name for name, key in keys.items() if key.get("dtype") in {"number", "array"})


def _numbers(value: Any) -> Any:
    if isinstance(value, list):
        return [_numbers(item) for item in cast("Iterable[Any]", value)]
    return float(value) if value in _TEXTS else value
