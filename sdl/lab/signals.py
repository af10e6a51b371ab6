"""Signals of a laboratory: where a dotted name leads, how it is read, and how old what was read is."""

from __future__ import annotations

import asyncio
import inspect
import logging
import math
import threading
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, cast

from sdl.errors import LabError
from sdl.lab.channels import confirm, is_slow_to_read
from sdl.lab.clock import Clock
from sdl.lab.envelope import as_number, verbs_of
from sdl.problem.value import listing

SLACK = 1.0
"""Seconds by which an instrument's clock may be ahead of ours before its first reading counts as not known."""

UNASKED = "\0"
"""Stands for a unit that can only be asked for when the device is connected."""

ASK_TIMEOUT = 5.0
"""Clock seconds in which a device is to say where it is, before it is made safe without."""

Kind = Literal["reading", "setpoint"]

_LOG = logging.getLogger("sdl.lab")


@dataclass(frozen=True)
class Source:
    """Where a signal comes from.

    Parameters
    ----------
    name
        The signal, as conditions call it.
    device, device_name
        The device below it, and its dotted name.
    kind
        What it reports of itself, or where it was sent.
    field
        Which of several data keys; empty for its own.
    unit
        As the device describes it; None for plain numbers and texts, :data:`UNASKED` where it is not known yet.
    """

    name: str
    device: Any
    device_name: str
    kind: Kind
    field: str = ""
    unit: str | None = UNASKED

    def value_in(self, answer: object) -> tuple[object, float | None]:
        """Return value and timestamp of this signal in what the device answered; ``(None, None)`` where it has none."""
        entries = _mapping(answer)
        if self.kind == "setpoint":
            return entries.get("setpoint"), None
        if "readback" in entries and "value" not in entries and not self.field and self.key_in(entries) is None:
            return entries["readback"], None
        key = self.key_in(entries)
        entry = _mapping(None if key is None else entries.get(key))
        return entry.get("value"), as_number(entry.get("timestamp"))

    def key_in(self, keys: Mapping[str, Any]) -> str | None:
        """Return the data key of this signal among *keys*."""
        name = str(getattr(self.device, "name", ""))
        if self.field:
            return next(
                (key for key in (self.field, f"{name}_{self.field}", f"{name}-{self.field}") if key in keys), None
            )
        if name in keys:
            return name
        return next(iter(keys)) if len(keys) == 1 else None

    async def ask(self) -> object:
        """Ask the device: ``locate`` for a set-point, ``read`` or else ``locate`` for a reading."""
        verb: Callable[[], object] = getattr(self.device, "locate" if self.is_located else "read")
        return await asyncio.to_thread(verb) if is_slow_to_read(self.device) else await _awaited(verb())

    @property
    def is_located(self) -> bool:
        """Whether it is asked by ``locate``, whose answers are of now and have no timestamps."""
        return self.kind == "setpoint" or not callable(getattr(self.device, "read", None))

    @property
    def can_be_asked(self) -> bool:
        """Whether the device can tell by itself; else only our own commands tell its set-point."""
        return callable(getattr(self.device, "locate", None)) or (
            self.kind == "reading" and callable(getattr(self.device, "read", None))
        )

    def described(self, description: object) -> Source:
        """Return the source with the unit that the device's *description* gives it. LabError where it lacks the key."""
        keys = _mapping(description)
        key = self.key_in(keys)
        if key is None and self.kind == "reading":
            raise LabError(
                f"an interlock looks at {self.name!r}, and {self.device_name} describes {listing(keys) or 'nothing'}",
                hint="name one of its data keys behind the device",
            )
        entry = _mapping(None if key is None else keys.get(key))
        return replace(self, unit=str(entry.get("units") or "") or None)


async def whereabouts(name: str, device: object) -> float | None:
    """Ask a device for its set-point, else for its reading; None where it tells neither in time."""
    kinds: tuple[Kind, ...] = ("setpoint", "reading")
    for source in (Source(name, device, name, kind, unit=None) for kind in kinds):
        if not source.can_be_asked:
            continue
        try:
            async with asyncio.timeout(ASK_TIMEOUT):
                number = as_number(source.value_in(await source.ask())[0])
        except Exception as error:  # noqa: BLE001 # whoever asks does without it
            _LOG.error("%s does not say where it is: %r", name, error)
            continue
        if number is not None and math.isfinite(number):
            return number
    return None


def _mapping(answer: object) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", answer) if isinstance(answer, Mapping) else {}


async def _awaited(given: object) -> object:
    return await cast("Awaitable[object]", given) if inspect.isawaitable(given) else given


def find_source(lab: str, devices: Mapping[str, object], name: str) -> Source:
    """Follow the dotted *name* from the laboratory to a device, and ask it for its unit if that needs no connection.

    Raises :class:`~sdl.errors.LabError` naming what is not there.
    """
    first, *rest = name.split(".")
    if first not in devices:
        raise LabError(
            f"an interlock of {lab} looks at {name!r}, and there is no device {first!r}",
            hint=f"{lab} has {listing(devices) or 'none'}",
        )
    device: Any = devices[first]
    taken = 1
    for part in rest:
        below = getattr(device, part, None)
        if below is None or not (verbs_of(below) or (hasattr(below, "__dict__") and not verbs_of(device))):
            break
        device, taken = below, taken + 1
    dotted = ".".join([first, *rest][:taken])
    return _described_now(_source(lab, name, device, dotted, [first, *rest][taken:]))


def _source(lab: str, name: str, device: object, dotted: str, left: list[str]) -> Source:
    is_told = callable(getattr(device, "set", None)) or callable(getattr(device, "locate", None))
    if left == ["setpoint"] and is_told:
        return Source(name, device, dotted, "setpoint")
    can_tell = any(callable(getattr(device, verb, None)) for verb in ("read", "locate"))
    if can_tell and left in ([], ["readback"]):
        return Source(name, device, dotted, "reading")
    if len(left) == 1 and callable(getattr(device, "describe", None)):
        return Source(name, device, dotted, "reading", left[0])
    raise LabError(
        f"an interlock of {lab} looks at {name!r}, and {dotted} has no {'.'.join(left) or 'reading'}",
        hint="a signal is a device that can be read, or device.setpoint, or device.datakey",
    )


def _described_now(source: Source) -> Source:
    own = getattr(source.device, "unit", UNASKED)
    if (own is None or (isinstance(own, str) and own != UNASKED)) and not source.field:
        return replace(source, unit=own or None)
    describe = getattr(source.device, "describe", None)
    if not callable(describe):
        return replace(source, unit=None)
    is_line_open = not callable(getattr(source.device, "wait_for_connection", None)) or source.device.connected is True
    if inspect.iscoroutinefunction(describe) or not is_line_open:
        return source
    return source.described(describe())


async def described_later(source: Source) -> Source:
    """Return the source with its unit, asked for now that the device is connected."""
    return source if source.unit != UNASKED else source.described(await _awaited(source.device.describe()))


@dataclass(frozen=True)
class Sample:
    """What is known of a signal.

    Parameters
    ----------
    value
        In the signal's own unit.
    timestamp
        What the device said; None where it does not say, or where it is a set-point, which does not age.
    taken
        Clock seconds (monotonic) at which it was read.
    renewed
        Clock seconds at which the timestamp last changed, less what it was old already; both are infinite for what does
        not age.
    """

    value: object
    timestamp: float | None
    taken: float
    renewed: float


class Board:
    """The latest of every signal, for all stations. Written from any loop, read from any thread."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._samples: dict[str, Sample] = {}
        self._mutex = threading.Lock()

    def put(self, source: Source, value: object, timestamp: float | None) -> None:
        """Note what was read now."""
        now = self._clock.monotonic()
        with self._mutex:
            old = self._samples.get(source.name)
            self._samples[source.name] = Sample(value, timestamp, now, self._renewed(source, old, timestamp, now))

    def _renewed(self, source: Source, old: Sample | None, timestamp: float | None, now: float) -> float:
        """Tell when the value was taken, on our monotonic clock: a jump of the time of day ages nothing.

        A timestamp that changes is new, whatever clock it comes from; the first one is compared with ours.
        """
        if source.is_located:
            return now
        if not timestamp or not math.isfinite(timestamp):
            return -math.inf
        if old is not None and old.timestamp is not None:
            return now if timestamp != old.timestamp else old.renewed
        age = self._clock.time() - timestamp
        return now - max(age, 0.0) if age >= -SLACK else -math.inf

    def put_command(self, source: Source, value: object) -> None:
        """Note that the device was sent to *value*. Where it cannot say so itself, that stays true until the next."""
        if source.can_be_asked:
            self.put(source, value, None)
            return
        with self._mutex:
            self._samples[source.name] = Sample(value, None, math.inf, math.inf)

    def put_told(self, name: str, value: object, taken: float, renewed: float) -> None:
        """Note what another process has read, with the clock seconds of this one at which it did at the latest."""
        with self._mutex:
            self._samples[name] = Sample(value, None, taken, renewed)

    def forget(self, name: str) -> None:
        """Take a signal as not known."""
        with self._mutex:
            self._samples.pop(name, None)

    def sample(self, name: str) -> Sample | None:
        """Return what is known of a signal."""
        return self._samples.get(name)

    def age(self, name: str, *, by_answer: bool) -> float:
        """Return how old a signal is, in clock seconds; infinity where it is not known."""
        sample = self._samples.get(name)
        if sample is None:
            return math.inf
        return self._clock.monotonic() - (sample.taken if by_answer else sample.renewed)


async def take(board: Board, source: Source, patience: float) -> None:
    """Read *source* onto *board*.

    A device that raises, that does not answer within *patience* seconds, or whose answer is no data (see
    :mod:`sdl.lab.channels`) is not read.
    """
    try:
        async with asyncio.timeout(patience):
            answer = await source.ask()
            await confirm(source.device, answer, source.device_name)
    except Exception:  # noqa: BLE001 # whatever is wrong with it, the signal ages, and that is what is acted upon
        return
    value, timestamp = source.value_in(answer)
    if value is not None:
        board.put(source, value, timestamp)
