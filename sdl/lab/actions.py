"""What repeating an act would do: every device declares it for each of its verbs.

``read`` and ``set_absolute`` may be repeated. The other three change the world once for each time they are done, so the
:mod:`guard <sdl.lab.guard>` records them before and after, and nothing repeats them by itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import cast

from pydantic import JsonValue

from sdl.errors import LabError
from sdl.journal.acts import ActAnswer, ActOutcome
from sdl.lab.envelope import Envelope, tree
from sdl.problem.value import listing


class ActionClass(StrEnum):
    """What it means to do something again."""

    READ = "read"  # as often as one likes
    SET_ABSOLUTE = "set_absolute"  # brings about a state: a second time changes nothing
    CUMULATIVE = "cumulative"  # adds up: an exposure, a dose, ten minutes of heat
    IRREVERSIBLE = "irreversible"  # consumes, destroys, quenches
    TRANSFER = "transfer"  # carries something: afterwards it is elsewhere

    @property
    def is_repeatable(self) -> bool:
        """Whether doing it again does no harm."""
        return self in {ActionClass.READ, ActionClass.SET_ABSOLUTE}


Declarations = Mapping[str, str | ActionClass]
"""From a verb to its class: ``{"set": "cumulative"}``."""

ACTING = ("set", "trigger", "kickoff", "complete", "prepare", "configure", "stage", "unstage", "collect")
"""The verbs that can make a device do something."""

_READ, _SET = ActionClass.READ, ActionClass.SET_ABSOLUTE
_DEFAULTS: Mapping[str, ActionClass] = {
    **dict.fromkeys(("trigger", "kickoff", "complete", "collect"), _READ),
    **dict.fromkeys(("set", "stage", "unstage", "configure", "prepare"), _SET),
}
"""What the verbs of the classes that ophyd and ophyd-async bring mean, unless a subclass writes them anew."""

_MOVES: Mapping[str, ActionClass] = dict.fromkeys(("set", "stage", "unstage", "configure"), _SET)
_DETECTS: Mapping[str, ActionClass] = {
    **dict.fromkeys(("trigger", "kickoff", "complete", "prepare", "collect"), _READ),
    **dict.fromkeys(("stage", "unstage", "configure"), _SET),
}
_BASES: Mapping[str, Mapping[str, ActionClass]] = {
    "PositionerBase": _MOVES,  # of PVPositioner, EpicsMotor, SoftPositioner
    "EpicsSignal": _MOVES,
    "SignalRW": _MOVES,
    "StandardMovable": _MOVES,
    "DetectorBase": _DETECTS,
    "StandardDetector": _DETECTS,
}
"""What is true of these holds for whatever is derived from them."""

_LIBRARIES = frozenset({"ophyd", "ophyd_async"})
_UNCLEAR = frozenset({("SignalX", "trigger")})  # runs any command: its laboratory knows what it does


@dataclass(frozen=True)
class ActRecord:
    """An act that may not be repeated, as the journal tells it.

    Parameters
    ----------
    act
        Its id: ``{trial}.{attempt}.{step}.{n}``.
    trial, attempt, step, station
        Where it belongs.
    device, verb, action_class, arguments
        What was to be done. ``arguments`` is plain data.
    intended_at
        UTC seconds at which the intent was recorded.
    outcome
        ``done``, ``failed``, ``refused`` (the device was not told) or ``unknown``; None while no end is recorded.
    reason
        Of the outcome.
    answer, evidence, answered_by
        What was found out about it later, by what, and by whom.
    """

    act: str
    trial: int
    attempt: int
    step: str
    station: str
    device: str
    verb: str
    action_class: ActionClass
    arguments: JsonValue
    intended_at: float
    outcome: ActOutcome | None = None
    reason: str = ""
    answer: ActAnswer | None = None
    evidence: str = ""
    answered_by: str = ""

    @property
    def has_happened(self) -> bool | None:
        """Whether it was done; None where nobody knows, and where it failed half way."""
        if self.outcome == "done" or self.answer == "happened":
            return True
        if self.outcome == "refused" or self.answer == "did_not_happen":
            return False
        return None

    @property
    def is_unknown(self) -> bool:
        """Whether it may have happened, and nobody has found out."""
        return self.outcome in {None, "unknown"} and self.answer in {None, "cannot_tell"}

    def __str__(self) -> str:
        return f"{self.device}.{self.verb}({written(self.arguments)}) ({self.action_class})"


@dataclass(frozen=True)
class Evidence:
    """What a device found out about an act of its own: what ``reconcile`` returns.

    Parameters
    ----------
    answer
        Whether the act happened.
    text
        What it was seen by, for the journal.
    false_rate
        How often the probe is wrong, as far as that is known; None where it is not.
    """

    answer: ActAnswer
    text: str
    false_rate: float | None = None

    def __post_init__(self) -> None:
        if self.answer not in {"happened", "did_not_happen", "cannot_tell"}:
            raise LabError(
                f"evidence says {self.answer!r}",
                hint="it says happened, did_not_happen or cannot_tell, and nothing else",
            )

    def __str__(self) -> str:
        rate = "" if self.false_rate is None else f" (wrong in {self.false_rate:.2g} of all cases)"
        return f"{self.text}{rate}"


def written(arguments: JsonValue) -> str:
    """Write the arguments of an act for a person."""
    if not isinstance(arguments, dict):
        return str(arguments)
    unit = f" {arguments['unit']}" if "unit" in arguments else ""
    values = arguments.get("args")
    words = (
        [f"{value:.6g}{unit}" if isinstance(value, float) else f"{value}{unit}" for value in values]
        if isinstance(values, list)
        else []
    )
    more = arguments.get("kwargs")
    return ", ".join(
        [*words, *(f"{name}={value}" for name, value in more.items())] if isinstance(more, dict) else words
    )


@dataclass
class Actions:
    """The class of every verb of a laboratory's devices.

    Parameters
    ----------
    envelope
        Names the devices.
    declared
        What the laboratory itself declares, by the identity of the device.
    """

    envelope: Envelope = field(default_factory=Envelope)
    declared: Mapping[int, Declarations] = field(default_factory=dict[int, Declarations])
    _known: dict[tuple[int, str], tuple[object, ActionClass]] = field(
        default_factory=dict[tuple[int, str], tuple[object, ActionClass]], repr=False
    )

    def of(self, device: object, verb: str) -> ActionClass:
        """Return the class of *verb*. Raises :class:`~sdl.errors.LabError` where nobody has declared it."""
        known = self._known.get((id(device), verb))
        if known is not None:
            return known[1]
        found = self.find(device, verb)
        if found is None:
            raise undeclared("a plan", [(self.envelope.name(device), verb)])
        self._known[id(device), verb] = (device, found)  # the device is kept, so that no other one gets its identity
        return found

    def unrepeatable(self, device: object, verb: str) -> ActionClass | None:
        """Return the class of *verb* where it may not be repeated, None where it may; raises as :meth:`of` does."""
        known = self._known.get((id(device), verb))
        action = self.of(device, verb) if known is None else known[1]
        return None if action is _READ or action is _SET else action

    def find(self, device: object, verb: str) -> ActionClass | None:
        """Return the class of *verb*, or None where nobody has declared it.

        A verb that the device does not have is none that it acts by; standard plans stage whatever they are given.
        """
        if not callable(getattr(device, verb, None)):
            return ActionClass.READ
        name = self.envelope.name(device)
        for declared in (self.declared.get(id(device), {}), declarations_of(device, name)):
            if verb in declared:
                return checked(f"{name}.{verb}", declared[verb])
        return default_class(type(device), verb)


def declarations_of(device: object, name: str) -> Declarations:
    """Return what *device* itself declares. Raises :class:`~sdl.errors.LabError` where that is no mapping."""
    declared: object = getattr(device, "action_classes", None)
    if declared is None:
        return {}
    if not isinstance(declared, Mapping):
        raise LabError(
            f"action_classes of {name} is {declared!r}", hint='it maps verbs to classes: {"set": "set_absolute"}'
        )
    return cast("Declarations", declared)


def checked(what: str, declared: str | ActionClass) -> ActionClass:
    """Return the class. Raises :class:`~sdl.errors.LabError` for a word that is none."""
    try:
        return ActionClass(declared)
    except ValueError:
        raise LabError(f"{what} is declared as {declared!r}", hint=f"the classes are {listing(ActionClass)}") from None


def default_class(kind: type, verb: str) -> ActionClass | None:
    """Return what is known of *verb* from the bases that ophyd and ophyd-async bring; they are not imported for it."""
    bases = [(base, base.__module__.partition(".")[0] in _LIBRARIES) for base in kind.__mro__]
    found = (_BASES.get(base.__name__, {}).get(verb) for base, is_known in bases if is_known)
    of_base = next((action for action in found if action is not None), None)
    definer = next(((base, is_known) for base, is_known in bases if verb in vars(base)), None)
    if definer is None or (definer[0].__name__, verb) in _UNCLEAR:
        return None
    return of_base or (_DEFAULTS.get(verb) if definer[1] else None)


def acting_verbs(device: object) -> Iterator[str]:
    """Yield the verbs by which a plan can make *device* do something."""
    for verb in ACTING:
        if callable(getattr(device, verb, None)) and (verb not in _TOGETHER or _has(device, *_TOGETHER[verb])):
            yield verb


_TOGETHER: Mapping[str, tuple[str, ...]] = {
    "kickoff": ("complete",),
    "complete": ("kickoff",),
    "stage": ("unstage",),
    "unstage": ("stage",),
    "configure": ("read_configuration",),
    "collect": ("describe_collect",),
}
"""A method of such a name is bluesky's verb only beside these."""


def _has(device: object, *methods: str) -> bool:
    return all(callable(getattr(device, method, None)) for method in methods)


def make_actions(
    lab: str, devices: Mapping[str, object], declared: Mapping[str, Declarations] | None, envelope: Envelope
) -> Actions:
    """Look up the class of every verb of *devices*.

    Raises
    ------
    LabError
        For verbs that nobody has declared, all in one message with the lines to write; for declarations of devices or
        verbs that do not exist; and for a class that does not exist.
    """
    actions = Actions(envelope, _by_identity(lab, devices, declared or {}))
    seen: dict[int, None] = {}
    missing: list[tuple[str, str]] = []
    for name, device in devices.items():
        for dotted, found in tree(name, device):
            if id(found) in seen:
                continue
            seen[id(found)] = None
            missing += [(dotted, verb) for verb in acting_verbs(found) if actions.find(found, verb) is None]
    if missing:
        raise undeclared(lab, missing)
    return actions


def _by_identity(
    lab: str, devices: Mapping[str, object], declared: Mapping[str, Declarations]
) -> dict[int, Declarations]:
    found: dict[int, Declarations] = {}
    for dotted, verbs in declared.items():
        device = device_called(dotted, devices)
        wrong = [verb for verb in verbs if device is None or verb not in ACTING or not _has(device, verb)]
        if device is None or wrong:
            raise LabError(
                f"{lab} declares actions of {dotted!r}, which has no {listing(wrong) or 'such verb'}",
                hint=f'name it as in "sputter.shutter", and a verb that it has of {listing(ACTING)}',
            )
        for verb, action in verbs.items():
            checked(f"{dotted}.{verb}", action)
        found[id(device)] = dict(verbs)
    return found


def device_called(dotted: str, devices: Mapping[str, object]) -> object | None:
    """Return the device with that dotted name among *devices*, or None."""
    first, *rest = dotted.split(".")
    device: object | None = devices.get(first)
    for part in rest:
        device = cast("object | None", getattr(device, part, None))
    return device


def undeclared(who: str, missing: list[tuple[str, str]]) -> LabError:
    """Return the error for verbs whose class nobody has declared, with the lines to write."""
    by_device: dict[str, list[str]] = {}
    for device, verb in missing:
        by_device.setdefault(device, []).append(verb)
    lines = ", ".join(
        f'"{device}": {{{", ".join(f"{chr(34)}{verb}{chr(34)}: {chr(34)}...{chr(34)}" for verb in verbs)}}}'
        for device, verbs in by_device.items()
    )
    names = [f"{device}.{verb}" for device, verb in missing]
    return LabError(
        f"{who}: nobody has said what repeating {listing(names, limit=len(names))} would do",
        hint=(
            "write action_classes = {verb: class} in the device's class, or in the laboratory "
            f"Lab(..., actions={{{lines}}}), with one of {listing(ActionClass)} for each"
        ),
    )
