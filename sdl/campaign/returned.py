"""What a step returned, as plain data that can be made into what it was again."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, cast

from pydantic import JsonValue

from sdl.errors import CampaignError, SdlError
from sdl.journal.protocol import Journal
from sdl.journal.records import Artifact, StepEnded
from sdl.problem import Measurement, units
from sdl.problem.value import Value

MAX_RETURNED = 65_536
"""Characters of JSON; what a step returned beyond that is kept as an artifact, not in the event."""

ARTIFACT = "artifact"
"""The key, and the kind at the root, of what is kept as one."""


class CannotRestore(CampaignError):
    """What a step returned cannot be made of what the journal has of it."""


def written(value: object, journal: Journal, *, name: str) -> tuple[JsonValue, dict[str, str] | None]:
    """Return what a step returned as plain data, and what is more in it than JSON has; None where it cannot come back.

    Parameters
    ----------
    value
        What it returned.
    journal
        Keeps what is too large for an event, as an artifact.
    name
        Of that artifact.
    """
    writer = _Writer()
    try:
        data = writer.write(value, "")
        text = json.dumps(data, allow_nan=False, ensure_ascii=False)
        text.encode()
    except Exception:  # noqa: BLE001 # nested without end, no Unicode, a number too long: whatever a plan may return
        return shown(value)[:MAX_RETURNED], None
    kinds = writer.kinds if writer.is_exact else None
    if len(text) <= MAX_RETURNED:
        return data, kinds
    artifact = journal.put(text.encode(), name=name, media_type="application/json")
    if kinds is not None:
        kinds[""] = f"{ARTIFACT} {kinds.get('', '')}".strip()
    return {ARTIFACT: artifact.model_dump(mode="json")}, kinds


def readable(text: str) -> str:
    """Return *text* with what is no Unicode written out, since no journal takes that."""
    return text.encode(errors="backslashreplace").decode()


def shown(value: object) -> str:
    """Return what there is to show of any object, however odd."""
    try:
        return readable(str(value) if isinstance(value, BaseException) else repr(value))
    except Exception as error:  # noqa: BLE001 # too deep, too long, or an error of its own
        return f"a {type(value).__name__} that cannot be shown ({type(error).__name__})"


def restored(ended: StepEnded, journal: Journal) -> Any:
    """Return what the step returned: the same value, of the same kinds.

    Raises
    ------
    CannotRestore
        It returned something that no plain data stands for, or the store was written before such data were kept.
    """
    if ended.returned_as is None:
        raise CannotRestore(f"what step {ended.step} returned cannot be restored from the journal")
    kinds, data = dict(ended.returned_as), ended.returned
    try:
        root = kinds.get("", "")
        if root.startswith(ARTIFACT):
            kinds[""] = root.removeprefix(ARTIFACT).strip()
            artifact = Artifact.from_data(cast("dict[str, Any]", data)[ARTIFACT])
            data = json.loads(journal.get(artifact))
        return _restore(data, kinds, "")
    except (SdlError, ValueError, TypeError, KeyError) as error:
        raise CannotRestore(f"what step {ended.step} returned cannot be restored: {error}") from error


class _Writer:
    """Writes plain data, and keeps a note of the kind of whatever JSON does not have."""

    def __init__(self) -> None:
        self.kinds: dict[str, str] = {}
        self.is_exact = True

    def write(self, value: object, path: str) -> JsonValue:  # noqa: PLR0911 # one line a kind
        if value is None or type(value) in {bool, int, str}:
            return cast("JsonValue", value)
        if type(value) is float:
            return self._number(value, path)
        if isinstance(value, Measurement):
            return self._noted("Measurement", value.model_dump(mode="python"), path)
        if isinstance(value, list | tuple):
            return self._sequence(cast("Sequence[object]", value), path)
        if isinstance(value, Mapping):
            return self._mapping(cast("Mapping[object, object]", value), path)
        if _is_quantity(value):
            return self._quantity(value, path)
        if callable(getattr(value, "tolist", None)):
            return self._array(value, path)
        self.is_exact = False
        if isinstance(value, Value):
            return self.write(value.model_dump(mode="python"), path)
        return value if isinstance(value, bool | int | str) else str(value)

    def _noted(self, kind: str, value: object, path: str) -> JsonValue:
        self.kinds[path] = kind
        return self.write(value, path)

    def _number(self, value: float, path: str) -> JsonValue:
        if math.isfinite(value):
            return value
        self.kinds[path] = "float"
        return str(value)

    def _sequence(self, value: Sequence[object], path: str) -> JsonValue:
        kind: type = type(value)
        if kind is tuple:
            self.kinds[path] = "tuple"
        elif kind is not list:
            self.is_exact = False
        return [self.write(item, f"{path}/{index}") for index, item in enumerate(value)]

    def _mapping(self, value: Mapping[object, object], path: str) -> JsonValue:
        kind: type = type(value)
        if kind is not dict or any(type(key) is not str for key in value):
            self.is_exact = False
        return {str(key): self.write(item, f"{path}/{_escaped(str(key))}") for key, item in value.items()}

    def _quantity(self, value: Any, path: str) -> JsonValue:
        unit, magnitude = str(value.units), value.magnitude
        if type(magnitude) not in {int, float}:
            self.is_exact = False
            return str(value)
        self.kinds[path] = "quantity"
        return {"value": self.write(float(magnitude), f"{path}/value"), "unit": unit}

    def _array(self, value: Any, path: str) -> JsonValue:
        kind = str(getattr(value, "dtype", ""))
        if kind not in _DTYPES:
            self.is_exact = False
        shape = ",".join(map(str, getattr(value, "shape", ())))
        data = self.write(value.tolist(), path)
        self.kinds[path] = f"array {kind} {shape}".strip()
        return data


_DTYPES = frozenset(
    {"bool", *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)), "float32", "float64"}
)


def _is_quantity(value: object) -> bool:
    return type(value).__module__.partition(".")[0] == "pint" and hasattr(value, "magnitude")


def _escaped(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")


def _restore(data: JsonValue, kinds: Mapping[str, str], path: str) -> Any:
    if isinstance(data, dict):
        made: Any = {key: _restore(item, kinds, f"{path}/{_escaped(key)}") for key, item in data.items()}
    elif isinstance(data, list):
        made = [_restore(item, kinds, f"{path}/{index}") for index, item in enumerate(data)]
    else:
        made = data
    kind = kinds.get(path)
    return made if not kind else _made(kind, made)


def _made(kind: str, data: Any) -> Any:
    name, _, rest = kind.partition(" ")
    match name:
        case "Measurement":
            return Measurement.from_data(data)
        case "quantity":
            return units.quantity(data["value"], data["unit"])
        case "tuple":
            return tuple(data)
        case "float":
            return float(data)
        case "array":
            return _array(rest, data)
        case _:
            raise CannotRestore(f"{kind!r} is no kind that this version knows")


def _array(rest: str, data: Any) -> Any:
    import numpy as np  # noqa: PLC0415 # only where there is one

    dtype, _, shape = rest.partition(" ")
    if not shape:
        return np.dtype(dtype).type(data)
    return np.array(data, dtype=dtype).reshape([int(size) for size in shape.split(",")])
