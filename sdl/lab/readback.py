"""Where a device says it is, and whether that can be believed after a move."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, NamedTuple, cast

from sdl.errors import ReadbackError
from sdl.lab.channels import check_data
from sdl.lab.envelope import Envelope, as_number
from sdl.lab.messages import Steps, message

CLOCK_SLACK = 1.0
"""Seconds by which an instrument's clock may be behind ours before its readings count as old."""

TIMESTAMP_GRAIN = 1e-3
"""Seconds: two readings whose timestamps differ by less are the same reading."""

READ_TIMEOUT = 120.0
"""Clock seconds that a device may take to say where it is."""

_ROUNDING = 1e-9
"""The smallest tolerance, for set-points near zero."""


class Reading(NamedTuple):
    """A number that a device reports of itself, and when it was taken; None where it does not say."""

    value: float
    timestamp: float | None


class Move(NamedTuple):
    """A number was sent to a device, or it was triggered.

    Parameters
    ----------
    device, target
        Which, and what; NaN for a trigger.
    commanded
        When, in UTC seconds of the laboratory's clock.
    before
        What the device said of itself before; None where it said nothing.
    """

    device: object
    target: float
    commanded: float
    before: Reading | None


def read_back(device: object, name: str | None = None) -> Steps[Reading | None]:
    """Ask *device* where it is: the reading under its own name, or its only hinted one, or what it locates.

    None for a device that cannot say, or that says no number. Where *name* is given, what the device says is to be
    believed, and is held to :func:`~sdl.lab.channels.check_data`.
    """
    read = getattr(device, "read", None)
    if callable(read) and callable(getattr(device, "describe", None)):
        answer = yield from _answer(read())
        if name is not None:
            yield from check_data(device, answer, name)
        if _own_entry(device, answer) is not None:
            return reading_in(device, answer)
    locate = getattr(device, "locate", None)
    if not callable(locate):
        return None
    location = yield from _answer(locate())
    value = as_number(_mapping(location).get("readback"))
    return None if value is None else Reading(value, None)


def reading_in(device: object, answer: object) -> Reading | None:
    """Return the device's own reading in what it answered to ``read``; None where there is none, or no number."""
    entry = _own_entry(device, answer) or {}
    value = as_number(entry.get("value"))
    return None if value is None else Reading(value, as_number(entry.get("timestamp")))


def _answer(given: object) -> Steps[object]:
    """Return what a verb returned, awaited where it is to be awaited."""
    if not inspect.isawaitable(given):
        return given
    awaitable = cast("Awaitable[object]", given)
    done: Sequence[asyncio.Future[object]] = yield message("wait_for", None, [lambda: awaitable], timeout=READ_TIMEOUT)
    return done[0].result()


def _mapping(answer: object) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", answer) if isinstance(answer, Mapping) else {}


def _own_entry(device: object, answer: object) -> Mapping[str, Any] | None:
    readings = _mapping(answer)
    name = str(getattr(device, "name", ""))
    if name not in readings:
        hints: Mapping[str, Any] = getattr(device, "hints", None) or {}
        fields: Sequence[str] = hints.get("fields") or ()
        name = fields[0] if len(fields) == 1 else ""
    return readings.get(name)


def tolerance_of(device: object, target: float, envelope: Envelope, relative: float) -> float:
    """Return how far from *target* the device may be.

    Its own ``tolerance`` (absolute) or ``relative_tolerance`` (of the set-point), the larger one, where it has any.
    Else *relative*, of the set-point or of the width of the laboratory's limits, whichever is more.
    """
    own = as_number(getattr(device, "tolerance", None))
    own_relative = as_number(getattr(device, "relative_tolerance", None))
    if own is not None or own_relative is not None:
        return max(own or 0.0, (own_relative or 0.0) * abs(target), _ROUNDING)
    return max(relative * max(abs(target), envelope.width(device)), _ROUNDING)


def verify(move: Move, now: Reading, *, name: str, tolerance: float) -> None:
    """Raise :class:`~sdl.errors.ReadbackError` unless *now* shows that the move has reached its target."""
    if not abs(now.value - move.target) <= tolerance:
        raise ReadbackError(
            f"{name} says that it has reached {move.target:g}, and is at {now.value:g} (tolerance {tolerance:.3g})",
            hint=f"if it may be that far off, give the device a larger tolerance: {name}.tolerance",
        )
    if _is_stale(now, move, tolerance):
        age = move.commanded - (now.timestamp or 0.0)
        raise ReadbackError(
            f"{name} reads {now.value:g}, and that reading is {age:.3g} s older than the command to go there",
            hint="is the instrument still connected, and does its driver stamp readings when they are taken?",
        )


def verify_renewed(move: Move, now: Reading, *, name: str) -> None:
    """Raise :class:`~sdl.errors.ReadbackError` where *now* is older than the trigger, which *move* tells of."""
    if _is_stale(now, move, 0.0):
        age = move.commanded - (now.timestamp or 0.0)
        raise ReadbackError(
            f"{name} reads {now.value:g}, and that reading is {age:.3g} s older than its trigger",
            hint="is the instrument still connected, and does its driver stamp readings when they are taken?",
        )


def _is_stale(now: Reading, move: Move, tolerance: float) -> bool:
    """Tell whether a reading is older than the command.

    Two kinds of old readings are in order: of a device that was there already and so had nothing to do, and of a device
    whose clock has another origin than ours, which shows by its timestamps going forward all the same.
    """
    before = move.before
    if not now.timestamp or now.timestamp >= move.commanded - CLOCK_SLACK:
        return False
    if before is None or not before.timestamp:
        return True
    is_renewed = now.timestamp > before.timestamp + TIMESTAMP_GRAIN
    was_there = abs(before.value - move.target) <= tolerance
    return not is_renewed and not was_there
