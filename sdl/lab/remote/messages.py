"""What the engine and a station say to each other: frozen values, in msgpack, and nothing that can run.

There are two channels. On the first the engine asks and the station answers, and the station tells what happens, each
event with a number, until the engine has acknowledged it. The second carries heartbeats and aborts, and waits for
nothing.

Times in ``expires`` are monotonic seconds of the *station*, which tells them in every :class:`Pulse`: no clock is
compared with another one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, cast

import msgpack  # type: ignore[import-untyped] # it has no types
from msgpack.exceptions import UnpackException  # type: ignore[import-untyped] # as above
from pydantic import Field, JsonValue, TypeAdapter, ValidationError

from sdl.errors import LabError
from sdl.journal.acts import ActEnded, ActIntended
from sdl.problem.value import FrozenMap, Tuple, Value

MAX_MESSAGE = 16 * 1024 * 1024
"""Bytes of one message; a longer one is not sent, and cuts the connection where it comes in."""

Code = Literal[
    "epoch",
    "store",
    "history",
    "latched",
    "lease",
    "local",
    "role",
    "station",
    "seen",
    "order",
    "expired",
    "boot",
    "undone",
    "busy",
    "plan",
    "failed",
    "malformed",
]
"""Why a station refuses."""


class Hello(Value):
    """An engine takes the station: which store it writes, and the how manyeth to do so. Silence ends its lease.

    ``station``: which it takes this one for. ``session``: the hash of the event with the number ``epoch``; ``past``: of
    the one that the station has asked for.
    """

    kind: Literal["hello"] = "hello"
    station: str
    store: str
    epoch: int
    lease: Annotated[float, Field(gt=0)]
    session: str = ""
    past: str = ""


class Welcome(Value):
    """The station is taken. ``latch`` is set where it is latched; no step starts then.

    ``lab`` is the SHA-256 of the limits, interlocks and safe actions that it knows. ``pulse`` is the TCP port of the
    other channel; 0 where it is no port.
    """

    kind: Literal["welcome"] = "welcome"
    station: str
    lab: str
    boot: str
    now: float
    latch: str = ""
    reason: str = ""
    pulse: int = 0


class Refused(Value):
    """The station does not do what it was told, and says why. Nothing has moved by it.

    ``epoch``: the one that it has seen, where it asks for the hash of that event.
    """

    kind: Literal["refused"] = "refused"
    code: Code
    reason: str
    hint: str = ""
    epoch: int = 0


class Run(Value):
    """One attempt at one step. ``sequence`` counts the steps of the epoch; a lower one than the last is refused.

    ``mark`` is the hash of the event by which the journal has the step begin: no other history has it. ``setup`` is the
    plan of a changeover that goes before, ``settings`` are those of a trial, or of all that the run treats.
    ``ready_for``: what the station is ready for after the changeover. ``is_ready``: the journal has it as ready, so the
    changeover is left out where the station knows so too.
    """

    kind: Literal["run"] = "run"
    job: str
    boot: str
    store: str
    epoch: int
    sequence: int
    expires: float
    plan: str
    setup: str = ""
    ready_for: str = ""
    is_ready: bool = False
    settings: JsonValue
    md: FrozenMap[JsonValue]
    timeout: float | None
    n_acts_before: int
    mark: str


class Hold(Value):
    """A step of another station is to hold this one, in so many trials and attempts. Nothing moves by it.

    ``goes_on``: it is the rest of a step that was cut off, which knows what to look at again.
    """

    kind: Literal["hold"] = "hold"
    boot: str
    store: str
    epoch: int
    expires: float
    campaign: str
    step: str
    trials: Tuple[tuple[int, int]]
    goes_on: bool


class Accepted(Value):
    """The step is begun, or was before; or it may hold the station, and ``job`` is empty."""

    kind: Literal["accepted"] = "accepted"
    job: str


class Documented(Value):
    """A bluesky document of the step."""

    kind: Literal["documented"] = "documented"
    job: str
    number: int
    name: str
    document: FrozenMap[JsonValue]


class Acted(Value):
    """An act of the step is intended, and waits for the engine's word; or it has ended."""

    kind: Literal["acted"] = "acted"
    job: str
    number: int
    body: ActIntended | ActEnded = Field(discriminator="kind")


class Finished(Value):
    """The step has ended. ``setup_seconds``: what the changeover before it took."""

    kind: Literal["finished"] = "finished"
    job: str
    number: int
    value: JsonValue
    error: FrozenMap[str] | None
    runs: Tuple[str]
    started: float
    ended: float
    is_aborted: bool
    is_begun: bool = True
    duration: float | None = None
    setup_seconds: float = 0.0


class Ack(Value):
    """The engine has recorded the event. For an intent this is the word to act, until ``expires``."""

    kind: Literal["ack"] = "ack"
    job: str
    store: str
    epoch: int
    number: int
    expires: float
    error: str = ""


class Ask(Value):
    """What became of an act? One that was never begun is not begun any more after this. ``mark``: of its step."""

    kind: Literal["ask"] = "ask"
    store: str
    epoch: int
    campaign: str
    act: str
    mark: str


class Answer(Value):
    """What the station's own book says.

    ``started``: it was begun, and nobody knows how it ended. ``missing``: the book has nothing of it; it may be a new
    one.
    """

    kind: Literal["answer"] = "answer"
    act: str
    state: Literal["done", "failed", "refused", "unknown", "started", "running", "never", "missing"]
    reason: str = ""


class Probe(Value):
    """Ask the device's own probe about an act. ``record`` is the journal's."""

    kind: Literal["probe"] = "probe"
    store: str
    epoch: int
    record: FrozenMap[JsonValue]


class Found(Value):
    """What the probe found; an empty ``answer`` where the device has none."""

    kind: Literal["found"] = "found"
    answer: Literal["happened", "did_not_happen", "cannot_tell", ""]
    text: str = ""
    false_rate: float | None = None


class Rearm(Value):
    """A person has armed the station again; the journal has it."""

    kind: Literal["rearm"] = "rearm"
    store: str
    epoch: int
    latch: str
    by: str
    because: str


class Bye(Value):
    """The engine lets go of the station in good order."""

    kind: Literal["bye"] = "bye"
    store: str
    epoch: int


class Signal(Value):
    """What was read of a signal that an interlock looks at.

    ``answered`` and ``stamped`` say how many seconds ago it was, by the time of the answer and by the reading's own
    timestamp; None where that age is not known.
    """

    value: float | str | bool
    unit: str | None
    answered: Annotated[float, Field(ge=0)]
    stamped: Annotated[float, Field(ge=0)] | None


class Beat(Value):
    """The engine is alive.

    ``signals`` are of other stations, as old as they say since ``heard``: the ``now`` of the last pulse that came.
    ``waiting`` names stations that have not begun to tell theirs, ``tripped`` interlocks and why.
    """

    kind: Literal["beat"] = "beat"
    store: str
    epoch: int
    boot: str
    heard: float | None = None
    signals: FrozenMap[Signal] = Field(default_factory=dict[str, Signal])
    waiting: Tuple[str] = ()
    tripped: FrozenMap[str] = Field(default_factory=dict[str, str])


class Abort(Value):
    """Stop every device, and abort the step."""

    kind: Literal["abort"] = "abort"
    store: str
    epoch: int
    reason: str


class Pulse(Value):
    """The station is alive. ``is_spent``: it does not belong to this epoch any more.

    ``signals`` are its own, as old as they say since the beat that this answers.
    """

    kind: Literal["pulse"] = "pulse"
    boot: str
    now: float
    job: str
    n_events: int
    is_spent: bool
    latch: str = ""
    reason: str = ""
    signals: FrozenMap[Signal] = Field(default_factory=dict[str, Signal])
    tripped: FrozenMap[str] = Field(default_factory=dict[str, str])


class Look(Value):
    """How does the station stand? Changes nothing."""

    kind: Literal["look"] = "look"


class Seen(Value):
    """How it stands. ``client`` and ``roles``: for whom it takes the one who asked. ``store``: its beginning."""

    kind: Literal["seen"] = "seen"
    station: str
    boot: str
    client: str
    roles: Tuple[str]
    store: str
    epoch: int
    is_held: bool
    is_busy: bool
    by_hand: str = ""
    latch: str = ""
    reason: str = ""


class Take(Value):
    """A person takes the station by hand: its engine has lost it."""

    kind: Literal["take"] = "take"
    by: str
    because: str


class Give(Value):
    """A person gives the station back. It is latched still."""

    kind: Literal["give"] = "give"
    by: str
    because: str


class Transfer(Value):
    """A person lets another store have the station."""

    kind: Literal["transfer"] = "transfer"
    by: str
    because: str


Message = Annotated[
    Hello
    | Welcome
    | Refused
    | Run
    | Hold
    | Accepted
    | Documented
    | Acted
    | Finished
    | Ack
    | Ask
    | Answer
    | Probe
    | Found
    | Rearm
    | Bye
    | Beat
    | Abort
    | Pulse
    | Look
    | Seen
    | Take
    | Give
    | Transfer,
    Field(discriminator="kind"),
]
Event = Documented | Acted | Finished

_library = cast("Any", msgpack)
_packb: Callable[[object], bytes] = _library.packb
_unpackb: Callable[..., object] = _library.unpackb
_MESSAGE: TypeAdapter[Any] = TypeAdapter(Message)


class Malformed(LabError):
    """What came over the wire is no message."""


def encode(message: Value) -> bytes:
    """Return the bytes of *message*.

    Raises :class:`~sdl.errors.LabError` where they are too many, or where a text or a number has no form on the wire.
    """
    kind = getattr(message, "kind", "message")
    try:
        data: bytes = _packb(message.model_dump(mode="json"))
    except (ValueError, OverflowError, TypeError, RecursionError) as error:  # half a character; 65 bits
        raise LabError(f"a {kind} message cannot be sent: {type(error).__name__}: {error}") from None
    if len(data) > MAX_MESSAGE:
        raise LabError(
            f"a {kind} message has {len(data)} bytes, {MAX_MESSAGE} at most", hint="keep large data in files"
        )
    return data


def printable(text: str) -> str:
    """Return *text* with a question mark for every half of a character, which has no form on the wire."""
    return text.encode("utf-8", "replace").decode("utf-8")


def decode(data: bytes) -> Any:
    """Return the message in *data*. Raises :class:`Malformed` for anything else; nothing in it is ever run."""
    if len(data) > MAX_MESSAGE:
        raise Malformed(f"{len(data)} bytes are no message")
    try:
        plain: object = _unpackb(data, raw=False, strict_map_key=True)
        # JSON text keeps the checks strict and lets arrays be tuples, as in the journal.
        return _MESSAGE.validate_json(json.dumps(plain, allow_nan=False))
    except (ValidationError, ValueError, TypeError, RecursionError, UnpackException) as error:
        raise Malformed(f"no message: {type(error).__name__}") from None


def as_mapping(value: object) -> Mapping[str, Any]:
    """Return plain data that must be a mapping. Raises :class:`Malformed` otherwise."""
    if not isinstance(value, Mapping):
        raise Malformed(f"{type(value).__name__} where a mapping belongs")
    return cast("Mapping[str, Any]", value)
