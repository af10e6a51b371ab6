"""``sdl check-device``: does a device keep its contract, in simulation and on the bench?"""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import typer
from pydantic import JsonValue

from sdl.commands.border import ExitCode
from sdl.commands.output import one_line, say, say_json, title
from sdl.errors import LabError, SdlError
from sdl.export import words
from sdl.lab.actions import ActionClass, acting_verbs
from sdl.testing.device_checks import CHECKS, Check, Finding, examine
from sdl.testing.device_maker import Maker, Order, pairs, plain, range_of
from sdl.testing.device_subject import NotApplicable, Subject, lines_of, recovered

STYLES = {"passed": "green", "failed": "red", "not applicable": "dim"}


def order_of(
    reference: str,
    *,
    options: Sequence[str],
    limits: Sequence[str],
    values: Sequence[str],
    is_real: bool | None,
    settle: float,
) -> Order:
    """Return the order that was typed. Raises LabError where it makes no sense."""
    return Order(
        reference,
        options={name: plain(text) for name, text in pairs(options, "--option")},
        limits={name: range_of(text) for name, text in pairs(limits, "--limits")},
        values={name: plain(text) for name, text in pairs(values, "--value")},
        is_real=is_real,
        settle=settle,
    )


def check_device(order: Order, *, is_agreed: bool, as_json: bool) -> ExitCode:
    """Make all checks on all devices, print what was found; return whether all passed that apply."""
    with _here_importable():
        maker = Maker(order)
        try:
            if maker.is_real and not is_agreed:
                _ask(maker)
            findings = list(_findings(maker, is_silent=as_json))
        finally:
            maker.close()
    failed = [finding for finding in findings if finding.verdict == "failed"]
    if as_json:
        rows: list[JsonValue] = [dict(vars(finding)) for finding in findings]
        say_json({"ok": not failed, "device": order.reference, "is_real": maker.is_real, "findings": rows})
    else:
        _sum_up(findings, failed)
    return ExitCode.FAILED if failed else ExitCode.FINE


def _findings(maker: Maker, *, is_silent: bool) -> Iterator[Finding]:
    """Make the checks, and print each as it is done: on the bench they take their time."""
    lab = maker.lab()
    names = [subject.name for subject in maker.subjects(lab)]
    width = max(map(len, names))
    if not is_silent:
        where = "on the bench" if maker.is_real else "in simulation"
        title(f"{words.count(len(names), 'device')} {where}, {len(CHECKS)} checks each")
    for number, _ in enumerate(names):
        for check in CHECKS.values():
            finding = _finding(maker, number, check)
            if not is_silent:
                line = f"{finding.device.ljust(width)}  {check.name:11}  {finding.verdict:14}  "
                say(line + one_line(finding.reason), style=STYLES[finding.verdict])
            yield finding
    maker.give_back(lab)


def _finding(maker: Maker, number: int, check: Check) -> Finding:
    lab = maker.lab()
    try:
        subject = maker.subjects(lab)[number]
        found = examine(check, subject)
        if maker.is_real and found.verdict == "failed":
            _leave_alone(subject)
        return found
    finally:
        maker.give_back(lab)


def _leave_alone(subject: Subject) -> None:
    """Stop a device that failed a check, before the next one."""
    try:
        subject.run(lambda: recovered(subject))
    except SdlError as error:
        say(f"{subject.name} could not be stopped: {error.message}", style="red")


def _ask(maker: Maker) -> None:
    """Say what is going to move, and go on only when a person agrees. Raises LabError where nobody does."""
    lab = maker.lab()
    moving = [line for subject in maker.subjects(lab) if (line := _move(subject))]
    if not moving:
        return
    say("These are instruments, and they are going to act:")
    for line in moving:
        say(f"  {line}")
    try:
        if typer.confirm("Is it safe?"):
            return
    except typer.Abort:
        pass
    raise LabError("nobody has agreed that instruments act", hint="answer y, or say --yes")


def _move(subject: Subject) -> str:
    """Return what is done with *subject*; nothing where it is only looked at."""
    if not tuple(acting_verbs(subject.device)):
        return ""
    if subject.promise.value is not None:
        return f"{subject.name} is set to {subject.promise.value!r}, several times"
    if subject.choices:
        return f"{subject.name} goes to {subject.turns()[0]} and back to {subject.turns()[1]}, several times"
    try:
        places = subject.places()
    except NotApplicable:
        measures = subject.is_triggerable and subject.class_of("trigger") is ActionClass.READ
        return f"{subject.name} measures" if measures else ""
    cut = "; its line is closed and opened" if lines_of(subject.device) else ""
    return f"{subject.name} goes to {places[0]:g} and back to {places[1]:g}, several times{cut}"


def _sum_up(findings: Sequence[Finding], failed: Sequence[Finding]) -> None:
    counts = {verdict: sum(finding.verdict == verdict for finding in findings) for verdict in STYLES}
    say(", ".join(f"{n} {verdict}" for verdict, n in counts.items() if n))
    if failed:
        names = sorted({finding.check for finding in failed}, key=list(CHECKS).index)
        for name in names:
            say(f"{name}: {CHECKS[name].question}", style=STYLES["failed"])


@contextmanager
def _here_importable() -> Generator[None]:
    place = str(Path.cwd())
    sys.path.insert(0, place)
    try:
        yield
    finally:
        sys.path.remove(place)
