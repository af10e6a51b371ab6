"""From ``module:Class`` and options to a laboratory with that device: what ``sdl check-device`` checks."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sdl.campaign.file import imported
from sdl.errors import LabError
from sdl.lab import Lab, VirtualClock, WallClock
from sdl.lab.actions import Actions, acting_verbs
from sdl.lab.envelope import tree, verbs_of
from sdl.problem.value import listing
from sdl.testing.device_subject import Promise, Subject, subjects_of

_ON_THE_WALL = frozenset({"ophyd", "ophyd_async", "pylabrobot"})
"""Libraries whose devices take their time from the wall, simulated or not."""


@dataclass(frozen=True)
class Order:
    """What is to be checked.

    Parameters
    ----------
    reference
        ``module:Class`` of a device, a driver or a laboratory; a function that makes one; or one itself.
    options
        What it is made with. ``transport`` may be an address: see ``sdl.devices.lines.line_to``.
    limits
        By name: the range in which a device may be set.
    values
        By name: something that a device can be set to.
    is_real
        Whether it is on a bench; None where that is not said.
    settle
        Clock seconds in which a device that is stopped has to stand still.
    """

    reference: str
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])
    limits: Mapping[str, tuple[float, float]] = field(default_factory=dict[str, tuple[float, float]])
    values: Mapping[str, Any] = field(default_factory=dict[str, Any])
    is_real: bool | None = None
    settle: float = 5.0


class Maker:
    """Makes the laboratory of an order, once for all checks or anew for each.

    Raises :class:`~sdl.errors.LabError` where the order does not say enough.
    """

    def __init__(self, order: Order) -> None:
        self._order = order
        self._found: Any = imported(order.reference, "device")
        self._can_be_called = inspect.isclass(self._found) or inspect.isroutine(self._found)
        self._parameters: Mapping[str, inspect.Parameter] = (
            inspect.signature(self._found).parameters if self._can_be_called else {}
        )
        self._undeclared: dict[str, list[str]] = {}
        self._check_options()
        self.is_real = self._settle()
        self._kept: Lab | None = None

    def lab(self) -> Lab:
        """Return the laboratory to make a check in."""
        if self._kept is not None:
            return self._kept
        lab = self._make()
        if self.is_real or not self._can_be_called or not lab.clock.is_virtual:
            self._kept = lab  # an instrument is made once; simulated ones are as new for every check
        return lab

    def give_back(self, lab: Lab) -> None:
        """Close *lab*, unless it is needed again."""
        if lab is not self._kept:
            lab.close()

    def close(self) -> None:
        """Close what was kept."""
        if self._kept is not None:
            self._kept.close()
            self._kept = None

    def subjects(self, lab: Lab) -> list[Subject]:
        """Return the devices of *lab*, with what the order says of them."""
        plain = list(subjects_of(lab))
        names = [subject.name for subject in plain]
        values = {full_name(short, names): value for short, value in self._order.values.items()}
        return [
            Subject(
                lab,
                each.name,
                each.device,
                Promise(value=values.get(each.name), stop_seconds=self._order.settle),
                self.is_real,
                self._open(each),
            )
            for each in plain
        ]

    def _open(self, subject: Subject) -> tuple[str, ...]:
        """Return the verbs of *subject* and of what is inside it that nobody has declared."""
        inside = f"{subject.name}."
        return tuple(
            f"{name}.{verb}".removeprefix(inside)
            for name, verbs in self._undeclared.items()
            if f"{name}.".startswith(inside)
            for verb in verbs
        )

    # --- making ---------------------------------------------------------------------------------------------------

    def _check_options(self) -> None:
        takes_any = any(each.kind is inspect.Parameter.VAR_KEYWORD for each in self._parameters.values())
        unknown = [name for name in self._order.options if name not in self._parameters]
        if unknown and not takes_any:
            raise LabError(
                f"{self._order.reference} has no option {listing(unknown)}",
                hint=f"it takes {listing(self._parameters, 20) or 'nothing'}",
            )

    def _settle(self) -> bool:
        """Return whether the device is on a bench."""
        if self._order.is_real is not None:
            return self._order.is_real
        has_line = "transport" in self._order.options
        is_simulated = "simulated" in self._parameters or (hasattr(self._found, "simulated_by") and not has_line)
        if is_simulated or getattr(self._found, "is_simulated", False):
            return False
        raise LabError(
            f"nobody has said whether {self._order.reference} is simulated or an instrument",
            hint="say --simulated or --bench",
        )

    def _make(self) -> Lab:
        made = self._found(**self._arguments()) if self._can_be_called else self._found
        self._undeclared = {}
        if isinstance(made, Lab):
            if self._order.limits:
                raise LabError(f"{made.name} has limits of its own", hint="--limits is for a device without them")
            return made
        return self._around(made)

    def _arguments(self) -> dict[str, Any]:
        options = dict(self._order.options)
        if "simulated" in self._parameters:
            options.setdefault("simulated", not self.is_real)
        line = options.get("transport")
        if isinstance(line, str):
            options["transport"] = imported("sdl.devices.lines:line_to", "line")(line)
        by = getattr(self._found, "simulated_by", None)
        if line is None and not self.is_real and isinstance(by, str):
            options["transport"] = simulated_line(by)
        if "name" in self._parameters and inspect.isclass(self._found):
            options.setdefault("name", snake(self._found.__name__))
        missing = [name for name, each in self._parameters.items() if _is_wanted(each) and name not in options]
        if missing:
            hint = " ".join(
                f"--option {name}={'tcp://HOST:PORT' if name == 'transport' else '...'}" for name in missing
            )
            raise LabError(f"{self._order.reference} wants {listing(missing)}", hint=hint)
        return options

    def _around(self, device: Any) -> Lab:
        """Return a laboratory with *device* alone."""
        own = str(getattr(device, "name", "") or "")
        name = own if own.isidentifier() and not hasattr(Lab, own) else snake(type(device).__name__)
        devices = {name: device}
        found = [pair for key, top in devices.items() for pair in tree(key, top)]
        names = [dotted for dotted, _ in found]
        actions = Actions()
        for dotted, each in found:
            verbs = [verb for verb in acting_verbs(each) if actions.find(each, verb) is None]
            if verbs:
                self._undeclared[dotted] = verbs
        is_virtual = not self.is_real and not any(_is_on_the_wall(each) for _, each in found)
        if not any(verbs_of(each) for _, each in found):
            raise LabError(f"{self._order.reference} made a {type(device).__name__}, which has no verbs of a device")
        return Lab(
            "check",
            clock=VirtualClock() if is_virtual else WallClock(),
            limits={full_name(short, names): pair for short, pair in self._order.limits.items()},
            actions={dotted: dict.fromkeys(verbs, "irreversible") for dotted, verbs in self._undeclared.items()},
            **devices,
        )


def _is_wanted(parameter: inspect.Parameter) -> bool:
    return parameter.default is parameter.empty and parameter.kind not in {
        parameter.VAR_KEYWORD,
        parameter.VAR_POSITIONAL,
    }


def _is_on_the_wall(device: object) -> bool:
    return any(base.__module__.partition(".")[0] in _ON_THE_WALL for base in type(device).__mro__)


def snake(name: str) -> str:
    """Return ``hot_plate`` for ``HotPlate``."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def full_name(short: str, names: Sequence[str]) -> str:
    """Return the name that ends with *short*. Raises LabError where there is none, or several."""
    found = [name for name in names if name == short] or [name for name in names if name.endswith(f".{short}")]
    if len(found) != 1:
        raise LabError(f"there is no device {short!r}", hint=f"there are {listing(names)}")
    return found[0]


# --- lines ------------------------------------------------------------------------------------------------------------


def simulated_line(reference: str) -> Any:
    """Return a line to a simulated instrument of the class *reference*, which is made without arguments."""
    transport = imported("sdl.simulators:SimulatedTransport", "simulated line")
    return transport(imported(reference, "simulated instrument")(), name=reference.partition(":")[2])


# --- what is typed ----------------------------------------------------------------------------------------------------


def pairs(given: Sequence[str], what: str) -> Iterator[tuple[str, str]]:
    """Take each ``name=value`` apart. Raises LabError for anything else."""
    for text in given:
        name, sign, value = text.partition("=")
        if not (name and sign):
            raise LabError(f"{what} {text!r} is not of the form NAME=VALUE")
        yield name, value


def plain(text: str) -> Any:
    """Return what *text* means: JSON where it is that, else itself."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def range_of(text: str) -> tuple[float, float]:
    """Return the two numbers of ``20:60``. Raises LabError for anything else."""
    low, _, high = text.partition(":")
    try:
        found = float(low), float(high)
    except ValueError:
        raise LabError(f"{text!r} is no range", hint="write it as LOW:HIGH, as in 20:60") from None
    return found
