"""Packages that somebody else's code would import on the way, and that nobody here needs."""

from __future__ import annotations

import sys
import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType


class _Absent:
    """Says of some packages that they are not there, to one thread. What was imported before stays so."""

    def __init__(self, names: frozenset[str]) -> None:
        self._names = names
        self._thread = threading.get_ident()

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Raise for one of the names in that thread; otherwise leave it to the other finders."""
        del path, target
        if name in self._names and threading.get_ident() == self._thread:
            raise ModuleNotFoundError(f"{name} is not imported here", name=name)
        return None


@contextmanager
def unimported(*names: str) -> Generator[None]:
    """Have ``import NAME`` fail in this thread where *names* were not imported before; other threads see no change."""
    finder = _Absent(frozenset(names))
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


def installed(*names: str) -> dict[str, str]:
    """Return the versions of those packages that are installed, without importing them."""
    found: dict[str, str] = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
