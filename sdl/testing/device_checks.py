"""What every device must do, one check after the other; pytest and ``sdl check-device`` run the same ones."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from sdl.errors import DeviceTimeout, InterlockError, LabError, LimitError, ReadbackError, SdlError, TransportError
from sdl.lab.actions import ACTING, ActionClass, acting_verbs, declarations_of
from sdl.lab.clock import current_time
from sdl.lab.envelope import as_number
from sdl.lab.interlocks import Reaction
from sdl.lab.messages import Steps, message
from sdl.lab.readback import CLOCK_SLACK, read_back
from sdl.lab.safe_actions import SafeAction, read_action
from sdl.lab.walk import walk_steps
from sdl.problem import units
from sdl.problem.value import listing
from sdl.testing.device_subject import GRACE, Broken, NotApplicable, Subject, answered, own_entry, recovered
from sdl.testing.disturbances import disturbed

Verdict = Literal["passed", "failed", "not applicable"]

SOON = 0.1
"""Clock seconds after which a move is looked at, or stopped."""

NO_CHOICE = "no such choice"
"""What nothing can be set to."""

SILENCE = 5.0
"""Clock seconds that a line says nothing before it gives up."""

LONG_AGO = 1e4
"""Seconds by which the timestamps of a device that is made to lie are too old."""


@dataclass(frozen=True)
class Check:
    """One thing that a device must do.

    Parameters
    ----------
    name
        What the table calls it.
    question
        What is asked, for a person.
    examine
        Returns what was seen, raises :class:`Broken` or :class:`NotApplicable`.
    moves
        Whether anything moves or measures for it.
    """

    name: str
    question: str
    examine: Callable[[Subject], str]
    moves: bool = True


@dataclass(frozen=True)
class Finding:
    """What a check found out about a device."""

    device: str
    check: str
    verdict: Verdict
    reason: str


def examine(check: Check, subject: Subject) -> Finding:
    """Run one check on one device."""
    verdict: Verdict = "failed"
    try:
        put_in_order(subject)
        reason = check.examine(subject)
        verdict = "passed"
    except NotApplicable as why:
        verdict, reason = "not applicable", str(why)
    except (Broken, SdlError) as error:
        reason = str(error)
    except Exception as error:  # noqa: BLE001 # the border: a device of somebody else's may raise anything
        reason = f"{type(error).__name__}: {error}"
    return Finding(subject.name, check.name, verdict, reason)


def put_in_order(subject: Subject) -> None:
    """Have a simulated instrument that stands still since it was stopped work again: nobody has to look at it first."""
    owners = (subject.device, getattr(subject.device, "parent", None))
    reset = next((each for owner in owners if inspect.isgeneratorfunction(each := getattr(owner, "reset", None))), None)
    if reset is not None and not subject.is_real:
        subject.run(reset)


# --- what it says of itself -------------------------------------------------------------------------------------------


def declares_its_actions(subject: Subject) -> str:
    """Every verb by which it acts says what doing it again would do, and nothing else is declared."""
    verbs = tuple(acting_verbs(subject.device))
    missing = [*subject.undeclared, *(verb for verb in verbs if subject.class_of(verb) is None)]
    if missing:
        lines = ", ".join(f'"{verb}": "..."' for verb in missing)
        raise Broken(f"nobody says what repeating {listing(missing)} would do: action_classes = {{{lines}}}")
    unknown = [verb for verb in declarations_of(subject.device, subject.name) if verb not in ACTING]
    idle = [verb for verb in declarations_of(subject.device, subject.name) if not hasattr(subject.device, verb)]
    if unknown or idle:
        raise Broken(f"it declares {listing(unknown or idle)}, and has no such verb")
    if "set" in verbs and subject.class_of("set") is ActionClass.READ:
        raise Broken("set is declared as read, which changes nothing")
    if not verbs:
        raise NotApplicable("it can only be read")
    return ", ".join(f"{verb}: {subject.class_of(verb)}" for verb in verbs)


def tests_itself(subject: Subject) -> str:
    """Its self-test, or that of the driver that it is a part of, finds nothing wrong."""
    owners = (subject.device, getattr(subject.device, "parent", None))
    test = next((each for owner in owners if callable(each := getattr(owner, "self_test", None))), None)
    if test is None:
        raise NotApplicable("it has no self_test()")
    told, _ = subject.run(lambda: answered(test))
    if told is False:
        raise Broken("its self-test says False")
    return str(told) if isinstance(told, str) and told else "nothing is wrong"


def says_its_units(subject: Subject) -> str:
    """Every number that it reads has a unit, which is the declared one, and readings are what was described."""
    found, described = _reading(subject)
    if set(found) != set(described):
        raise Broken(f"read() has {listing(found)}, describe() has {listing(described)}")
    numbers = [key for key, entry in described.items() if entry.get("dtype") in {"number", "integer"}]
    for key in numbers:
        value = as_number(found[key].get("value"))
        if not described[key].get("shape") and (value is None or not math.isfinite(value)):
            raise Broken(f"{key} reads {found[key].get('value')!r}, which is no finite number")
        unit = described[key].get("units")
        if unit is None:
            raise Broken(f"describe() says no units for {key}; a plain number has the empty text")
        units.check_unit(str(unit) or None, name=f"the unit of {key}")
    own = own_entry(subject.device, described).get("units")
    for declared in (subject.promise.unit, getattr(subject.device, "unit", None)):
        if isinstance(declared, str) and own is not None and declared != own:
            raise Broken(f"{subject.name} is read in {own!r}, and declared in {declared!r}")
    if not numbers:
        raise NotApplicable("it reads no numbers")
    return ", ".join(f"{key} in {described[key]['units'] or 'plain numbers'}" for key in numbers)


def stamps_its_readings(subject: Subject) -> str:
    """A reading has the time at which it was taken, by the clock of the laboratory: not old, not of the future."""
    if not subject.is_readable:
        raise NotApplicable("it cannot be read")
    since = subject.run(lambda: _change(subject))
    found, now = subject.run(lambda: answered(subject.device.read))
    if not found:
        raise NotApplicable("it reads nothing")
    slack = 0.0 if subject.lab.clock.is_virtual else CLOCK_SLACK
    for key, entry in found.items():
        stamp = as_number(entry.get("timestamp"))
        if stamp is None or not math.isfinite(stamp) or stamp <= 0:
            raise Broken(f"the timestamp of {key} is {entry.get('timestamp')!r}")
        if stamp > now + slack + SILENCE:
            raise Broken(f"{key} was read {stamp - now:.3g} s in the future")
        if since is not None and stamp < since - slack:
            raise Broken(f"{key} is {since - stamp:.3g} s older than the command before it, the clock is {now:.0f}")
    return "newer than the command before" if since is not None else "they have a time"


def _change(subject: Subject) -> Steps[float | None]:
    """Plan: have it measure, if it does; return when it was told to, None where it reads without being told."""
    began = current_time()
    if not subject.is_triggerable:
        return None
    if subject.is_real and subject.class_of("trigger") is not ActionClass.READ:
        raise NotApplicable(f"to trigger it is {subject.class_of('trigger')}, which is not done on the bench")
    yield from subject.triggered()
    return began


# --- where it goes ----------------------------------------------------------------------------------------------------


def goes_where_it_is_sent(subject: Subject) -> str:
    """It says that it is done when it is there, in time, and its reading is of that moment."""
    if not subject.is_movable:
        raise NotApplicable("it cannot be set")
    if subject.choices:
        return _turns(subject)
    if subject.promise.value is not None or subject.class_of("set") is not ActionClass.SET_ABSOLUTE:
        return _acts(subject)
    told: list[str] = []
    for place in subject.places():
        seconds = subject.run(functools.partial(_arrives, subject, place))
        told.append(f"{place:g} in {seconds:.3g} s")
    return ", ".join(told)


def _turns(subject: Subject) -> str:
    for choice in subject.turns():
        subject.run(functools.partial(subject.moved, choice))
        found = subject.chosen()
        if subject.is_readable and found != choice:
            raise Broken(f"it says that it is at {choice!r}, and reads {found!r}")
    return f"it was at each of {listing(subject.turns())}"


def _acts(subject: Subject) -> str:
    value = subject.act()
    began = subject.lab.clock.monotonic()
    subject.run(lambda: subject.moved(value))
    return f"{value!r} done in {subject.lab.clock.monotonic() - began:.3g} s"


def _arrives(subject: Subject, place: float) -> Steps[float]:
    began = current_time()
    before = yield from read_back(subject.device)
    yield from subject.moved(place)
    now = yield from read_back(subject.device)
    seconds = current_time() - began
    if now is not None:
        if not abs(now.value - place) <= subject.margin(place):
            raise Broken(f"it says that it is at {place:g}, and reads {now.value:g} (±{subject.margin(place):.3g})")
        was_there = before is not None and abs(before.value - place) <= subject.margin(place)
        if now.timestamp and now.timestamp < began - CLOCK_SLACK and not was_there:
            raise Broken(f"its reading at {place:g} is {began - now.timestamp:.3g} s older than the command")
    if seconds > subject.longest:
        raise Broken(f"the move to {place:g} took {seconds:.3g} s, {subject.longest:.3g} s are allowed")
    return seconds


def refuses_what_is_outside(subject: Subject) -> str:
    """What lies outside its limits, NaN and infinities included, is refused before anything moves."""
    if not subject.is_movable:
        raise NotApplicable("it cannot be set")
    limits = subject.limits()
    refuse = _would_refuse if subject.is_real else _refuse
    if subject.choices:
        refuse(subject, NO_CHOICE)
        return f"what is none of {listing(subject.choices)}"
    if limits is None:
        if subject.class_of("set") is not ActionClass.SET_ABSOLUTE or subject.here() is None:
            raise NotApplicable("what it takes is no number between limits")
        raise Broken("it declares no limits: give it limits with low and high, or the laboratory: Lab(limits=...)")
    if subject.is_real and not _refuses_by_itself(subject):
        raise NotApplicable("only its set() could refuse, which is not tried on the bench: give it check_value()")
    for value in _outside(subject, *limits):
        refuse(subject, value)
    return f"outside of {limits[0]:g} to {limits[1]:g}"


def _outside(subject: Subject, low: float, high: float) -> Iterable[float]:
    yield math.nextafter(low, -math.inf) - subject.margin(low)
    yield math.nextafter(high, math.inf) + subject.margin(high)
    yield from (1e6 * (abs(high) + 1.0), math.nan, math.inf, -math.inf)


def _refuses_by_itself(subject: Subject) -> bool:
    has_limits = id(subject.device) in subject.station.envelope.limits
    return has_limits or callable(getattr(subject.device, "check_value", None))


def _refuse(subject: Subject, value: float | str) -> None:
    before = subject.here()
    try:
        subject.run(lambda: subject.moved(value), is_walked=True)
    except ReadbackError as error:
        raise Broken(f"it was sent to {value} and went: {error.message}") from None
    except DeviceTimeout as error:
        raise Broken(f"it was sent to {value} and did not refuse: {error.message}") from None
    except (LimitError, LabError, ValueError):
        after = subject.here()
        if before is not None and after is not None and abs(after - before) > subject.margin(before):
            raise Broken(f"{value} was refused, and it moved from {before:g} to {after:g}") from None
        return
    raise Broken(f"{value} was not refused")


def _would_refuse(subject: Subject, value: float | str) -> None:
    """As a plan is checked before it begins: the device is asked, and told nothing."""

    def plan() -> Steps[None]:
        yield message("set", subject.device, value, group="check")

    report = subject.run(lambda: walk_steps(plan(), subject.station.envelope))
    if not report.violations:
        raise Broken(f"{value} would not be refused")


def would_be_found_lying(subject: Subject) -> str:
    """If it said that it is done while it is elsewhere, or showed an old reading, the laboratory would notice."""
    if subject.choices:
        raise NotApplicable("it takes names, and only numbers are compared with their set-points")
    places = subject.places()
    if not subject.is_readable or subject.here() is None:
        raise NotApplicable("it does not say where it is")
    low, high = subject.range()
    subject.run(lambda: subject.moved(places[1]))
    _lie(subject, places[0], lambda entry: {**entry, "value": places[0] + (high - low)}, "is elsewhere")
    subject.run(lambda: subject.moved(places[1]))
    old = subject.lab.clock.time() - LONG_AGO
    _lie(subject, places[0], lambda entry: {**entry, "timestamp": old}, "shows an old reading")
    return "a wrong readback and an old one make the step fail"


def _lie(subject: Subject, place: float, change: Callable[[Mapping[str, Any]], Mapping[str, Any]], how: str) -> None:
    """Let its readings be changed, and see whether a move fails. A device that checks its own readings is as good."""

    def lying(read: Callable[[], Any]) -> Callable[[], Any]:
        def lie() -> Any:
            told = read()
            return _later(told) if inspect.isawaitable(told) else _changed(told)

        return lie

    def _changed(told: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
        return {key: dict(change(entry)) for key, entry in told.items()}

    async def _later(told: Any) -> dict[str, Any]:
        return _changed(await told)

    with disturbed(subject.device, "read", lying):
        try:
            subject.run(lambda: subject.moved(place))
        except SdlError:
            return
    margin = subject.station.tolerance if subject.promise.tolerance is None else subject.promise.tolerance
    raise Broken(f"when it {how} the step succeeds all the same: is its tolerance (now {margin:g}) too large?")


# --- when something is wrong ------------------------------------------------------------------------------------------


def stops_while_it_moves(subject: Subject) -> str:
    """A move that is stopped ends, and it stays where it is."""
    start, target = _there_and_back(subject)
    if start is not None:
        subject.run(lambda: subject.moved(start))
    told = subject.run(lambda: _stopped(subject, target))
    first = subject.run(lambda: _settled(subject))
    second = subject.run(lambda: _settled(subject))
    if first is not None and second is not None and abs(second - first) > subject.margin(first):
        raise Broken(f"it still moves: {first:g}, then {second:g}")
    return str(told)


def _there_and_back(subject: Subject) -> tuple[object, object]:
    """Return where a move begins and where it goes; None for something that does not begin anywhere."""
    if subject.promise.value is not None or subject.class_of("set") is not ActionClass.SET_ABSOLUTE:
        return None, subject.act()
    if subject.choices:
        return subject.turns()[1], subject.turns()[0]
    places = subject.places()
    return (places[1], places[0]) if subject.is_real else (places[0], places[1])


def _stopped(subject: Subject, target: object) -> Steps[str]:
    status = yield message("set", subject.device, target, group="check")
    yield message("sleep", None, SOON)
    if getattr(status, "done", False):
        yield from _waited(0.0)
        return f"it was there within {SOON:g} s"
    if not callable(getattr(subject.device, "stop", None)):
        raise Broken(f"it moves for longer than {SOON:g} s, and has no stop()")
    try:
        yield message("stop", subject.device)
        yield from _waited(subject.promise.stop_seconds)
    except TimeoutError:  # of the wait; a status that fails is a FailedStatus
        raise Broken(f"the move has not ended {subject.promise.stop_seconds:g} s after it was stopped") from None
    except Exception as error:  # noqa: BLE001 # a move that was stopped may count as failed
        return f"stopped: {str(error.__cause__ or error)[:80]}"
    return "stopped"


def _waited(seconds: float) -> Steps[None]:
    yield message("wait", None, group="check", timeout=max(seconds, SOON))


def _settled(subject: Subject) -> Steps[float | None]:
    yield message("sleep", None, subject.promise.stop_seconds)
    now = yield from read_back(subject.device)
    return None if now is None else now.value


def does_what_is_safe(subject: Subject) -> str:
    """What an interlock would have it do is declared, can be read, and is done in the middle of a move."""
    verbs = [verb for verb in acting_verbs(subject.device) if verb in {"set", "trigger", "kickoff"}]
    text = subject.lab.safe_actions.get(subject.name, getattr(subject.device, "safe_action", None))
    if text is None and all(subject.class_of(verb) is ActionClass.READ for verb in verbs):
        raise NotApplicable("it only measures")
    if text is None:
        raise Broken(
            'it declares none: safe_action = "stop_now", or Lab(safe_actions={"' + subject.name + '": "stop_now"})'
        )
    action = read_action(text, _unit(subject), name=subject.name)
    try:
        start, target = _there_and_back(subject)
    except NotApplicable as why:
        return f"{text} is declared, and not tried: {why}"
    if subject.is_real and action.kind == "ramp_down":
        return f"{text} is declared, and not tried on the bench"
    if start is not None:
        subject.run(lambda: subject.moved(start))
    try:
        _make_safe(subject, action, target)
    finally:
        subject.lab.interlocks.release(subject.station.name)
    return f"{text} is declared, and done"


def _unit(subject: Subject) -> str | None:
    own = getattr(subject.device, "unit", None) or subject.promise.unit
    if own is None and subject.is_readable:
        described, _ = subject.run(lambda: answered(subject.device.describe))
        own = own_entry(subject.device, described).get("units")
    return str(own) if own else None


def _make_safe(subject: Subject, action: SafeAction, target: object) -> None:
    error = InterlockError(f"a check asks for the safe action of {subject.name}")
    reaction = Reaction(subject.name, subject.device, subject.station.name, action)

    def plan() -> Steps[None]:
        yield message("set", subject.device, target, group="check")
        yield message("sleep", None, SOON)
        yield from answered(lambda: subject.station.make_safe([reaction], error))
        yield message("wait", None, group="check", timeout=subject.longest)
        if action.is_immediate:
            yield message("sleep", None, subject.promise.stop_seconds)

    try:
        subject.run(plan)
    except SdlError:
        if not action.is_immediate:
            raise Broken("the step did not come to its end, and it says finish_step_then_hold") from None
    else:
        if action.is_immediate:
            raise Broken("the step that used it went on as if nothing had happened")
    _is_safe(subject, action)


def _ramped(subject: Subject, end: float, seconds: float) -> Steps[float | None]:
    """Plan: give a ramp its time, and the device as much again as a move may take to follow it."""
    yield message("sleep", None, seconds)
    deadline = current_time() + subject.longest
    while True:
        now = yield from _settled(subject)
        if now is None or abs(now - end) <= subject.margin(end) or current_time() > deadline:
            return now


def _is_safe(subject: Subject, action: SafeAction) -> None:
    look = _settled if action.value is None else _after
    first = subject.run(lambda: look(subject))
    if action.rate is not None and action.value is not None and first is not None:
        first = subject.run(partial(_ramped, subject, action.value, abs(first - action.value) / action.rate))
    second = subject.run(lambda: _settled(subject))
    if action.value is not None and (second is None or abs(second - action.value) > subject.margin(action.value)):
        raise Broken(f"it is safe at {action.value:g}, and is at {second}")
    if first is not None and second is not None and abs(second - first) > subject.margin(first):
        raise Broken(f"it still moves after that: {first:g}, then {second:g}")


def _after(subject: Subject) -> Steps[float | None]:
    """Plan: wait until nothing is on its way to be safe any more, and the device says the same twice."""
    deadline, last = current_time() + subject.longest, math.inf
    while current_time() < deadline:
        now = yield from _settled(subject)
        if not subject.station.is_making_safe and (now is None or abs(now - last) <= subject.margin(now)):
            return now
        last = math.inf if now is None else now
    raise Broken(f"it is still on its way to be safe after {subject.longest:g} s")


def fails_in_time(subject: Subject) -> str:
    """When its line says nothing, what it was told to do fails in time, and never succeeds."""
    verb, arguments = _doing(subject)
    with subject.lines_disturbed(DeviceTimeout("the line says nothing"), seconds=SILENCE):
        seconds = subject.run(lambda: _failing(subject, verb, arguments, "its line says nothing"))
    subject.run(lambda: recovered(subject))
    return f"{verb} failed after {seconds:.3g} s"


def comes_back(subject: Subject) -> str:
    """When its line is cut it says so, and when the line is there again it works, without being made anew."""
    verb, arguments = _doing(subject, gently=True)
    with subject.lines_disturbed(TransportError("the line is cut"), seconds=0.0):
        subject.run(lambda: _failing(subject, verb, arguments, "its line is cut"))
    subject.run(lambda: answered(subject.close_lines))
    subject.run(lambda: recovered(subject))
    if verb == "read":
        subject.run(lambda: answered(subject.device.read))
        return "it was read again"
    subject.run(lambda: answered(lambda: subject.done(verb, *arguments)))
    return f"{verb} worked again"


def _doing(subject: Subject, *, gently: bool = False) -> tuple[str, tuple[object, ...]]:
    """Return a verb that asks something of the instrument, and what it takes; *gently* for one that moves nothing."""
    if subject.is_triggerable and (not subject.is_real or subject.class_of("trigger") is ActionClass.READ):
        return "trigger", ()
    if gently and subject.is_readable:
        return "read", ()
    if not subject.is_movable:
        raise NotApplicable("it does nothing that could take too long")
    return "set", (subject.act(),)


def _failing(subject: Subject, verb: str, arguments: tuple[object, ...], how: str) -> Steps[float]:
    """Plan: have it do what cannot be done now; return after how many seconds it failed."""
    began = current_time()

    async def attempt() -> str:
        try:
            if verb == "read":
                told = subject.device.read()
                found: Mapping[str, Any] = await told if inspect.isawaitable(told) else told
                stamps = [as_number(entry.get("timestamp")) or 0.0 for entry in found.values()]
                return "" if max(stamps) < began else f"reads a fresh value, although {how}"
            await subject.done(verb, *arguments)
        except Broken as error:
            return f"hangs while {how}: {error}"
        except Exception:  # noqa: BLE001 # it failed, as it should
            return ""
        return f"says that {verb} is done, although {how}"

    told, _ = yield from answered(attempt, timeout=subject.longest + 2 * GRACE)
    if told:
        raise Broken(f"it {told}")
    return current_time() - began


def _reading(subject: Subject) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    if not subject.is_readable:
        raise NotApplicable("it cannot be read")
    subject.run(lambda: _change(subject))
    found, _ = subject.run(lambda: answered(subject.device.read))
    described, _ = subject.run(lambda: answered(subject.device.describe))
    return found, described


CHECKS: Mapping[str, Check] = {
    check.name: check
    for check in (
        Check("actions", "does it say what repeating its verbs would do?", declares_its_actions, moves=False),
        Check("self-test", "does it find itself in order?", tests_itself, moves=False),
        Check("units", "does every number have a unit?", says_its_units),
        Check("timestamps", "do readings say when they were taken?", stamps_its_readings),
        Check("limits", "is what lies outside refused before anything moves?", refuses_what_is_outside),
        Check("readback", "is it where it was sent when it says so?", goes_where_it_is_sent),
        Check("lies", "would it be noticed if it lied?", would_be_found_lying),
        Check("stop", "does it stop while it moves?", stops_while_it_moves),
        Check("safe action", "does it do what an interlock asks?", does_what_is_safe),
        Check("time-out", "does it fail when its line says nothing?", fails_in_time),
        Check("reconnect", "does it work again after the line was cut?", comes_back),
    )
}
"""By name, in the order in which they are made."""
