"""The base of every value in sdl: frozen, strict, no extra fields, no NaN."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self, TypeVar, cast, dataclass_transform

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    PlainSerializer,
    PrivateAttr,
    ValidationError,
)
from pydantic_core import CoreSchema, core_schema

from sdl.errors import ProblemError, SdlError

T = TypeVar("T")


def _dict(value: object) -> object:
    return dict(value) if isinstance(value, Mapping) else value  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]


def _tuple(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]


@dataclass(frozen=True)
class _Accepting:
    """Annotation: Python input goes through *convert* first; JSON, which can only give the plain type, does not.

    A validator in front of the core would make it build the Python objects of the JSON below it and then check those,
    at every level of nesting anew; reading a decision record takes twice as long that way.
    """

    convert: Callable[[object], object]

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        inner = handler(source)
        converted = core_schema.no_info_before_validator_function(self.convert, inner)
        # Under a validator that looked at JSON before, the array is a Python list, which a strict tuple would refuse.
        plain = cast("CoreSchema", {**inner, "strict": False}) if inner["type"] == "tuple" else inner
        return core_schema.json_or_python_schema(json_schema=plain, python_schema=converted)


if TYPE_CHECKING:
    FrozenMap = Annotated[Mapping[str, T], "frozen"]
else:
    FrozenMap = Annotated[dict[str, T], AfterValidator(MappingProxyType), _Accepting(_dict), PlainSerializer(dict)]
"""A mapping with string keys that cannot be changed after construction; any Mapping is accepted."""

Tuple = Annotated[tuple[T, ...], _Accepting(_tuple)]
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


if TYPE_CHECKING:
    from pydantic._internal._model_construction import ModelMetaclass
else:
    ModelMetaclass = type(BaseModel)


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(Field, PrivateAttr))
class _ValueType(ModelMetaclass):
    """Lets a value be called with the positional arguments it names, and raises our errors."""

    if not TYPE_CHECKING:

        def __call__(cls, *args: object, **kwargs: object) -> object:  # noqa: N805 # a class is its self
            if args and cls.gathered:
                kwargs[cls.gathered], args = args, ()
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


class Value(BaseModel, metaclass=_ValueType):  # noqa: PLW1641 # pydantic makes the hash of a frozen model
    """A frozen value.

    Subclasses list in ``positional`` the fields that may be given by position, or name in ``gathered`` the one field
    that gets all of the positional arguments.
    """

    model_config = ConfigDict(
        frozen=True,
        strict=True,
        extra="forbid",
        allow_inf_nan=False,
        ser_json_inf_nan="strings",
        validate_default=True,  # so that a default mapping is frozen as well
    )
    positional: ClassVar[tuple[str, ...]] = ()
    gathered: ClassVar[str] = ""

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

    def __eq__(self, other: object) -> bool:
        # Fields alone: what a value computes once and keeps beside them is no part of it.
        if type(other) is not type(self):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in type(self).model_fields)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:  # noqa: ARG002
        """Return a copy with the fields in *update* changed, validated; see :meth:`replace`."""
        return self.replace(**(update or {}))

    def __copy__(self) -> Self:
        return self  # frozen

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        return self

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        for name, value in super().__repr_args__():
            yield name, dict(cast("Mapping[str, object]", value)) if isinstance(value, MappingProxyType) else value

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the canonical JSON text (sorted keys, no spaces), in hexadecimal: the same on every machine."""
        return hashlib.sha256(canonical_json(self.model_dump(mode="json")).encode()).hexdigest()


def canonical_json(data: object) -> str:
    """Return the one JSON text of plain data that hashes are made of: sorted keys, no spaces, no NaN."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False)


def as_tuple(values: object) -> object:
    """Return an iterable other than a text or a mapping as a tuple; anything else as it is, to be refused by type."""
    if isinstance(values, (str, bytes, Mapping, BaseModel)) or not isinstance(values, Iterable):
        return values  # pyright: ignore[reportUnknownVariableType] # of any type
    return tuple(cast("Iterable[object]", values))


def listing(names: Iterable[object], limit: int = 8) -> str:
    """Write a few names for an error message: the first *limit*, then how many more."""
    shown = [str(name) for name in names]
    more = f" and {len(shown) - limit} more" if len(shown) > limit else ""
    return ", ".join(shown[:limit]) + more
