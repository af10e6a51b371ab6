"""Stations in processes of their own, on this host or on others, over 0MQ."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sdl.lab.remote.hosting import host, remote

__all__ = ["host", "remote"]


def __getattr__(name: str) -> object:
    """Import a public name when it is first used: ``sdl keys`` needs no laboratory."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from sdl.lab.remote import hosting  # noqa: PLC0415 # see above

    return getattr(hosting, name)
