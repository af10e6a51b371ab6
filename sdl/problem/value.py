"""The base of every value in sdl: frozen, strict, no extra fields, no NaN."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, PlainSerializer, ValidationError

from sdl.errors import ProblemError, SdlError

T = TypeVar("T")


def _dict(value: object) -> object:
    return dict(value) if isinstance(value, Mapping) else value  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]


def _tuple(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]


FrozenMap = Annotated[dict[str, T], BeforeValidator(_dict), AfterValidator(MappingProxyType), PlainSerializer(dict)]
"""A mapping with string keys that cannot be changed after construction; any Mapping is accepted."""

Tuple = Annotated[tuple[T, ...], BeforeValidator(_tuple)]
"""A tuple of any length; a list is accepted."""


def _explain(cls: type[BaseModel], error: ValidationError) -> SdlError:
    """Turn pydantic's error into ours: the first of our own inside it as it is, else a message a line long."""
    parts: list[str] = []
    for item in error.errors(include_url=False):
        inner = item.get("ctx", {}).get("error")
        if isinstance(inner, SdlError):
            return inner
        where = ".".join(str(part) for part in item["loc"]) or cls.__name__
        shown = repr(item["input"])
        shown = shown if len(shown) <= 80 else shown[:77] + "..."
        parts.append(f"{where}: {item['msg'][:1].lower()}{item['msg'][1:]}, got {shown}")
    return ProblemError(f"{cls.__name__} is not valid: " + "; ".join(parts))


class _ValueType(type(BaseModel)):  # type: ignore[misc] # the class of a class, which checkers cannot see
    """Lets a value be called with the positional arguments it names, and raises our errors."""

    if not TYPE_CHECKING:

        def __call__(cls, *args: object, **kwargs: object) -> object:
            if len(args) > len(cls.positional):
                raise ProblemError(
                    f"{cls.__name__} takes {len(cls.positional)} positional arguments, got {len(args)}",
                    hint=f"name the others: {', '.join(f'{name}=...' for name in cls.model_fields)}",
                )
            for name, value in zip(cls.positional, args, strict=False):
                if name in kwargs:
                    raise ProblemError(f"{cls.__name__} got {name} twice")
                kwargs[name] = value
            try:
                return super().__call__(**kwargs)
            except ValidationError as error:
                raise _explain(cls, error) from None


class Value(BaseModel, metaclass=_ValueType):
    """A frozen value. Subclasses list in ``positional`` the fields that may be given by position."""

    model_config = ConfigDict(
        frozen=True, strict=True, extra="forbid", allow_inf_nan=False, ser_json_inf_nan="strings"
    )
    positional: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Read a value from its JSON text. Raises :class:`~sdl.errors.ProblemError` for anything that is not one."""
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise _explain(cls, error) from None

    @classmethod
    def from_data(cls, data: object) -> Self:
        """Read a value from plain data (what ``json.loads`` or ``yaml.safe_load`` give)."""
        try:
            text = json.dumps(data, allow_nan=False)
        except (TypeError, ValueError, RecursionError) as error:
            raise ProblemError(f"{cls.__name__} is not valid: {error}") from None
        return cls.from_json(text)

    def to_json(self) -> str:
        """Return the JSON text that :meth:`from_json` reads back to an equal value."""
        return self.model_dump_json()

    def replace(self, **changes: Any) -> Self:
        """Return a copy with some fields changed, validated like a new one."""
        fields = {name: getattr(self, name) for name in type(self).model_fields}
        return type(self)(**(fields | changes))

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical JSON text (sorted keys, no spaces), in hexadecimal: the same on every machine."""
        return hashlib.sha256(canonical_json(self.model_dump(mode="json")).encode()).hexdigest()


def canonical_json(data: object) -> str:
    """Return the one JSON text of plain data that hashes are made of: sorted keys, no spaces, no NaN."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False)


def listing(names: Iterable[object], limit: int = 8) -> str:
    """Write a few names for an error message: the first *limit*, then how many more."""
    shown = [str(name) for name in names]
    more = f" and {len(shown) - limit} more" if len(shown) > limit else ""
    return ", ".join(shown[:limit]) + more
