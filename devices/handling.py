"""How an instrument gets the sample that it works on."""

from __future__ import annotations

from collections.abc import Callable

from bluesky.utils import MsgGenerator

from sdl.devices.stubs import message

BringSample = Callable[[], MsgGenerator[None]]
"""A plan stub that puts the right sample where an instrument works. A driver runs it first, so that ``deposit`` and
``measure`` say what is wanted and a robot, where there is one, sees to the rest."""


def by_hand() -> MsgGenerator[None]:
    """Bring nothing: a person has put the sample there."""
    yield message("null")
