"""Stations in processes of their own, on this host or on others, over 0MQ."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdl.lazy import importing

if TYPE_CHECKING:
    from sdl.lab.remote.hosting import host, remote

__all__ = ["host", "remote"]

__getattr__ = importing(__name__, dict.fromkeys(__all__, ".hosting"))
