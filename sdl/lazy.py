"""Public names that are imported when they are first used, so that a package is light to import."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping


def importing(package: str, homes: Mapping[str, str]) -> Callable[[str], object]:
    """Return what *package* needs as its ``__getattr__`` (PEP 562).

    Parameters
    ----------
    package
        The package's ``__name__``.
    homes
        Public name to the module that defines it; one that begins with a dot lies in the package.
    """

    def get(name: str) -> object:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value: object = getattr(importlib.import_module(homes[name], package), name)
        setattr(sys.modules[package], name, value)
        return value

    return get
