"""What the protocols have in common: libraries that may be missing, and answers in JSON of which one part is wanted."""

from __future__ import annotations

import json
from importlib import import_module
from typing import Any, cast

from sdl.errors import DeviceError, LabError


def library(name: str, what: str) -> Any:
    """Import the library *name*. Raises LabError that says how to install it."""
    try:
        return import_module(name)
    except ImportError as error:
        raise LabError(f"{what} needs {name.partition('.')[0]}", hint="pip install 'sdl[instruments]'") from error


def said(value: object) -> str:
    """Return *value* as the text of an answer: a text as it is, everything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def pick(document: object, pointer: str) -> object:
    """Return the part of *document* that *pointer* names: a JSON pointer (RFC 6901); the empty one is the whole.

    Raises
    ------
    DeviceError
        There is no such part.
    """
    found = document
    for word in pointer.split("/")[1:]:
        key = word.replace("~1", "/").replace("~0", "~")
        try:
            found = cast("Any", found)[int(key) if isinstance(found, list) else key]
        except (KeyError, IndexError, TypeError, ValueError):
            raise DeviceError(f"there is no {pointer!r} in {said(document)[:200]}") from None
    if pointer and not pointer.startswith("/"):
        raise DeviceError(f"{pointer!r} is no JSON pointer", hint='it begins with "/", as in "/channels/0/value"')
    return found


def read_json(text: str, what: str) -> Any:
    """Return the document in *text*. Raises DeviceError where it is none; NaN and infinities are none."""
    try:
        return json.loads(text, parse_constant=_refuse)
    except ValueError:
        raise DeviceError(f"{what} is no JSON: {text[:80]!r}") from None


def _refuse(word: str) -> float:
    raise ValueError(word)
