"""Whether what a device reports is data: its alarm severity, and whether the channel below it still answers.

A client of EPICS keeps the last value of every channel that it monitors, and goes on handing it out when the server is
gone. And a server hands out the last value of an instrument that it has lost, and calls it invalid. Neither is a
measurement. So every reading that a plan takes is looked at here:

* ``alarm_severity`` in the reading (``bluesky.protocols.Reading``; ophyd-async gives it), or of the ophyd signal that
  it came from: :data:`INVALID` and *unknown* are no data. Minor and major alarms are: the instrument means what it
  says.
* an ophyd signal over Channel Access is asked anew whether it still answers;
* so is an ophyd-async signal over Channel Access or pvAccess, where its value came from its cache.

Devices of other kinds are looked at for ``alarm_severity`` only. Neither library is imported for it.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from sdl.errors import ReadbackError, TransportError
from sdl.lab.envelope import as_number, library_of
from sdl.lab.messages import Steps, message

INVALID = 3
"""The severity with which EPICS says that a value means nothing. Below zero: it is not known."""

ANSWER_TIMEOUT = 10.0
"""Clock seconds in which a channel whose last value is known has to answer."""

_NETWORKS = ("ca://", "pva://")


def is_invalid(severity: object) -> bool:
    """Tell whether an alarm severity says that the value is no data. None says nothing."""
    number = None if severity is None else as_number(severity)
    return number is not None and not 0 <= number < INVALID


def check_data(device: object, answer: object, name: str) -> Steps[None]:
    """Hold what *device* answered to ``read`` to the rules of this module, in a plan; see :func:`confirm`."""
    if not library_of(device):
        check_severities(device, answer, name)
        return
    asking = functools.partial(confirm, device, answer, name)
    done: Sequence[asyncio.Future[None]] = yield message("wait_for", None, [asking], timeout=2 * ANSWER_TIMEOUT)
    done[0].result()


async def confirm(device: object, answer: object, name: str) -> None:
    """Hold what *device* answered to ``read`` to the rules of this module.

    Parameters
    ----------
    device
        That was read.
    answer
        What it answered: data keys and their readings.
    name
        What the laboratory calls it.

    Raises
    ------
    ReadbackError
        A reading is invalid, by what the device says itself.
    TransportError
        What was read is of a channel that does not answer any more.
    """
    check_severities(device, answer, name)
    readings = _readings(answer)
    match library_of(device):
        case "ophyd":
            asking = [_ask_ophyd(signal, name) for signal in _ophyd_signals(device, readings)]
        case "ophyd_async":
            asking = [_ask(signal, name) for signal in _networked(device, readings)]
        case _:
            asking = []
    await asyncio.gather(*asking)


def check_severities(device: object, answer: object, name: str) -> None:
    """Raise :class:`~sdl.errors.ReadbackError` where the device itself says that a reading is invalid."""
    readings = _readings(answer)
    for key, entry in readings.items():
        if isinstance(entry, Mapping) and "alarm_severity" in entry:
            _check_severity(name, key, cast("Mapping[str, object]", entry)["alarm_severity"])
    if library_of(device) == "ophyd":
        for signal in _ophyd_signals(device, readings):
            _check_severity(name, signal.name, signal.alarm_severity)


def _readings(answer: object) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", answer) if isinstance(answer, Mapping) else {}


def _check_severity(name: str, key: str, severity: object) -> None:
    if is_invalid(severity):
        part = "" if key == name else f" ({key})"
        raise ReadbackError(
            f"{name}{part} has a reading, and says that it is invalid (alarm severity {severity})",
            hint="is the instrument behind its server connected and switched on?",
        )


def _lost(name: str, key: str) -> TransportError:
    part = "" if key == name else f" ({key})"
    return TransportError(
        f"{name}{part} does not answer: what it reads is what it said last",
        hint="does its server (IOC) run, and can it be reached from here?",
    )


def _ophyd_signals(device: Any, readings: Mapping[str, Any]) -> Iterator[Any]:
    """Yield the signals below an ophyd device that *readings* came from, where they know of alarms."""
    return (each for each in _epics_signals(device) if each.name in readings)


def _epics_signals(device: Any) -> Iterator[Any]:
    is_signal = not hasattr(device, "walk_signals")
    signals: list[Any] = [device] if is_signal else [step.item for step in device.walk_signals(include_lazy=False)]
    return (each for each in signals if hasattr(each, "alarm_severity"))


def is_slow_to_read(device: object) -> bool:
    """Tell whether reading *device* waits for a network, as ophyd's devices over Channel Access do."""
    return library_of(device) == "ophyd" and any(True for _ in _epics_signals(device))


def _networked(device: Any, readings: Mapping[str, Any]) -> Iterator[Any]:
    """Yield the signals at and below an ophyd-async device that *readings* came from over the network."""
    source = getattr(device, "source", None)
    if isinstance(source, str):
        if source.startswith(_NETWORKS) and device.name in readings:
            yield device
        return
    for _, child in device.children():
        yield from _networked(child, readings)


def is_networked(device: object) -> bool:
    """Tell whether *device* is an ophyd-async signal over the network, or has one below it."""
    if library_of(device) != "ophyd_async":
        return False
    source = getattr(device, "source", None)
    if isinstance(source, str):
        return source.startswith(_NETWORKS)
    return any(is_networked(child) for _, child in cast("Any", device).children())


async def _ask_ophyd(signal: Any, name: str) -> None:
    """Ask an ophyd signal anew, whose value may be what its monitor saw last. Its answer waits for the network."""
    ask = functools.partial(signal.get, use_monitor=False, timeout=ANSWER_TIMEOUT)
    try:
        await asyncio.to_thread(ask)
    except TimeoutError as error:
        raise _lost(name, signal.name) from error


async def _ask(signal: Any, name: str) -> None:
    """Ask a signal anew whose value came from its cache. One that has no cache has been asked already."""
    try:
        await signal.read(cached=True)
    except RuntimeError:  # it has none
        return
    try:
        async with asyncio.timeout(ANSWER_TIMEOUT):
            answer = await signal.read(cached=False)
    except TimeoutError as error:
        raise _lost(name, signal.name) from error
    for key, entry in answer.items():
        _check_severity(name, key, entry.get("alarm_severity"))
