"""What a laboratory needs before a station of it may be in a process of its own."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

from sdl.errors import LabError
from sdl.lab.actions import ActionClass, acting_verbs
from sdl.lab.envelope import tree
from sdl.lab.interlocks import Reaction, check_ramp, unit_of
from sdl.lab.lab import Lab
from sdl.lab.safe_actions import read_action
from sdl.problem.value import canonical_json, listing


def check_lab(lab: Lab, stations: Sequence[str]) -> None:
    """Raise :class:`~sdl.errors.LabError` unless *stations* of *lab* can be in processes of their own."""
    if lab.clock.is_virtual:
        raise LabError(
            f"{lab.name} has a virtual clock, and virtual time does not pass in two processes at once",
            hint="give it WallClock(), or keep its stations in the engine's process",
        )
    unknown = [name for name in stations if name not in lab.stations]
    if unknown or not stations:
        raise LabError(
            f"{lab.name} has no station {listing(unknown) or 'that was named'}", hint=f"it has {listing(lab.stations)}"
        )


def rules_of(lab: Lab) -> str:
    """Return the SHA-256 of what *lab* itself was given: its limits, its interlocks, and its safe actions.

    What a device declares is not in it: its own limits, and the safe action and the kinds of action of its class.
    """
    data = {
        "limits": {name: list(limit) for name, limit in lab.limits.items()},
        "interlocks": [rule.interlock.model_dump(mode="json") for rule in lab.interlocks.rules],
        "safe_actions": dict(lab.safe_actions),
    }
    return hashlib.sha256(canonical_json(data).encode()).hexdigest()


def reactions_of(lab: Lab, station: str) -> tuple[Reaction, ...]:
    """Return what each device of *station* does when the engine is gone.

    Raises :class:`~sdl.errors.LabError` where a device that acts declares nothing, or cannot do what it declares.
    """
    found: list[Reaction] = []
    missing: list[str] = []
    sources = [source for rule in lab.interlocks.rules for source in rule.sources.values()]
    for name, device, declared in _acting(lab, station):
        if declared is None:
            missing.append(name)
            continue
        action = read_action(declared, unit_of(device), name=name)
        needed = "set" if action.value is not None else "stop"
        if (action.value is not None or action.kind == "stop_now") and not callable(getattr(device, needed, None)):
            raise LabError(f"{name} is to {declared!r}, and has no {needed}")
        found.append(Reaction(name, device, station, action))
        check_ramp(found[-1], sources)
    if missing:
        lines = ", ".join(f'"{name}": "stop_now"' for name in missing)
        raise LabError(
            f"nobody has said what {listing(missing, len(missing))} of station {station} does when the engine is gone",
            hint=f"write safe_action in the device's class, or Lab(..., safe_actions={{{lines}}})",
        )
    return tuple(found)


def _acting(lab: Lab, station: str) -> Iterator[tuple[str, object, object]]:
    """Yield what a plan can make do something, with the safe action that is declared for it."""
    seen: set[int] = set()
    actions = lab.stations[station].actions
    for top, device in lab.stations[station].devices.items():
        for name, part in tree(top, device):
            if id(part) in seen:
                continue
            seen.add(id(part))
            if any(actions.of(part, verb) is not ActionClass.READ for verb in acting_verbs(part)):
                yield name, part, lab.safe_actions.get(name, getattr(part, "safe_action", None))
