"""PyLabRobot's machines in a laboratory: their own methods, unchanged, as acts of a plan.

A frontend of `PyLabRobot <https://docs.pylabrobot.org>`_ (a liquid handler, a pump, a scale, a heater shaker) has
coroutines where a device has verbs. :class:`PyLabRobotDevice` stands between the two. It knows what repeating the
methods of the common frontends would do; others are declared in one line, and what nobody has declared is refused.

PyLabRobot is not imported here: whatever has ``async setup()``, ``async stop()`` and other coroutines fits.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, TypeVar

from bluesky.protocols import Status
from bluesky.utils import MsgGenerator

from sdl.devices.driver import Action, Sensor
from sdl.devices.stubs import message
from sdl.errors import DeviceError, LabError
from sdl.lab.actions import ActionClass
from sdl.problem.value import listing

T = TypeVar("T")


def _of(**classes: tuple[str, ...]) -> Mapping[str, ActionClass]:
    return MappingProxyType({verb: ActionClass(name) for name, verbs in classes.items() for verb in verbs})


KNOWN: Mapping[str, Mapping[str, ActionClass]] = MappingProxyType(
    {
        "LiquidHandler": _of(
            irreversible=("aspirate", "dispense", "transfer", "aspirate96", "dispense96", "stamp"),
            transfer=(
                *("pick_up_tips", "drop_tips", "return_tips", "discard_tips", "move_tips"),
                *("pick_up_tips96", "drop_tips96", "return_tips96", "discard_tips96"),
                *("pick_up_resource", "drop_resource", "move_resource", "move_lid", "move_plate"),
            ),
        ),
        "Pump": _of(
            cumulative=("run_revolutions", "run_for_duration", "pump_volume"),
            set_absolute=("run_continuously", "halt"),
        ),
        "PumpArray": _of(
            cumulative=("run_revolutions", "run_for_duration", "pump_volume"),
            set_absolute=("run_continuously", "halt"),
        ),
        "Scale": _of(set_absolute=("zero", "tare")),
        "TemperatureController": _of(set_absolute=("set_temperature", "deactivate"), read=("wait_for_temperature",)),
        "Shaker": _of(set_absolute=("shake", "stop_shaking", "lock_plate", "unlock_plate")),
        "PlateReader": _of(
            set_absolute=("open", "close"), read=("read_luminescence", "read_absorbance", "read_fluorescence")
        ),
        "Centrifuge": _of(
            cumulative=("spin",),
            set_absolute=("open_door", "close_door", "lock_door", "unlock_door", "lock_bucket", "unlock_bucket"),
        ),
        "Incubator": _of(
            transfer=("fetch_plate_to_loading_tray", "take_in_plate"),
            set_absolute=("set_temperature", "open_door", "close_door", "start_shaking", "stop_shaking"),
        ),
        "PowderDispenser": _of(irreversible=("dispense",)),
        "Sealer": _of(irreversible=("seal",), set_absolute=("open", "close", "set_temperature")),
        "Peeler": _of(irreversible=("peel",)),
        "Fan": _of(set_absolute=("turn_on", "turn_off")),
    }
)
"""What repeating the methods of PyLabRobot's frontends would do, by class; it holds for what is derived from them.

To shake for a while is *cumulative* where the sample minds: declare it so.
"""

KNOWN_READINGS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "Scale": {"read_weight": "g"},
        "TemperatureController": {"get_temperature": "degC"},
        "Incubator": {"get_temperature": "degC"},
        "Sealer": {"get_temperature": "degC"},
    }
)
"""The methods that return one number, and its unit."""

_HALTS: Mapping[str, str] = MappingProxyType({"Pump": "halt", "PumpArray": "halt", "Shaker": "stop_shaking"})
"""By which method a machine is told to stop what it does."""


@dataclass(frozen=True)
class Call:
    """The arguments of a method, as they are recorded: resources by their names."""

    args: tuple[object, ...] = ()
    kwargs: Mapping[str, object] = field(default_factory=dict[str, object])

    def __str__(self) -> str:
        named = [f"{name}={_written(value)}" for name, value in self.kwargs.items()]
        return f"({', '.join([*map(_written, self.args), *named])})"


def _written(value: object) -> str:
    if isinstance(value, list | tuple):
        items: list[object] = list(value)  # pyright: ignore[reportUnknownArgumentType]
        return f"[{', '.join(map(_written, items))}]"
    name = getattr(value, "name", None)
    return name if isinstance(name, str) else repr(value)


class _Machine:
    """A machine that does one thing at a time."""

    def __init__(self, machine: Any, name: str, checks: Mapping[str, Callable[[Call], None]], halt: str | None) -> None:
        self.machine = machine
        self.name = name
        self.halting = halt
        self._checks = dict(checks)
        self._running: tuple[str, asyncio.Task[Any]] | None = None

    def method(self, name: str) -> Callable[..., Coroutine[Any, Any, Any]]:
        """Return the machine's own method."""
        found: Callable[..., Coroutine[Any, Any, Any]] = getattr(self.machine, name)
        return found

    def check(self, method: str, call: Call) -> None:
        """Raise LimitError where the check of *method* does."""
        if method in self._checks:
            self._checks[method](call)

    def begin(self, method: str, call: Call) -> asyncio.Task[Any]:
        """Begin. Raises DeviceError while the machine is at work."""
        if self._running is not None and not self._running[1].done():
            raise DeviceError(f"{self.name} is busy with {self._running[0]}", hint=f"wait for it before {method}")
        work = self.method(method)(*call.args, **call.kwargs)
        task = asyncio.get_running_loop().create_task(work, name=f"{self.name}.{method}")
        self._running = (method, task)
        return task

    async def halt(self, method: str) -> None:
        """Break off *method*, if it is under way and the machine has a method for that."""
        if self.halting is None or self._running is None or self._running[0] != method or self._running[1].done():
            return
        self._running[1].cancel()
        await self.method(self.halting)()


class Act:
    """One method of a machine (Movable, Checkable, Stoppable).

    In a plan, ``result = yield from handler.aspirate(plate["A1"], vols=[100])`` calls the method with these arguments
    and waits until it is done; ``bps.mv(shaker.shake, 500)`` works for one argument.
    """

    def __init__(
        self, parent: PyLabRobotDevice, machine: _Machine, method: str, action_class: ActionClass, timeout_s: float
    ) -> None:
        self.name = f"{machine.name}_{method}"
        self.parent = parent
        self.action_classes = {"set": action_class}
        self.safe_action = "finish_step_then_hold" if machine.halting is None else "stop_now"
        self.timeout_s = timeout_s
        self.result: Any = None
        self._machine = machine
        self._method = method

    def __call__(self, *args: object, **kwargs: object) -> MsgGenerator[Any]:
        """Plan stub: call the method, wait until it is done, return what it returned; None where a plan is walked."""
        self.result = None
        yield message("set", self, Call(args, kwargs), group=self.name)
        yield message("wait", None, group=self.name, timeout=self.timeout_s)
        return self.result

    def check_value(self, call: object) -> None:
        """Raise LimitError where the laboratory's own check does."""
        self._machine.check(self._method, _called(call))

    def set(self, call: object) -> Status:
        """Begin. Raises DeviceError while the machine is busy with something else."""
        self.check_value(call)
        task = self._machine.begin(self._method, _called(call))
        return Action(self._follow(task), self.name)

    async def stop(self, success: bool = True) -> None:  # noqa: ARG002 # the protocol's argument
        """Break off what is under way, where the machine can be told to; else it goes on to its end."""
        await self._machine.halt(self._method)

    async def _follow(self, task: asyncio.Task[Any]) -> None:
        await asyncio.wait([task])
        if task.cancelled():
            raise DeviceError(f"{self.name} was stopped on its way")
        self.result = task.result()


def _called(call: object) -> Call:
    return call if isinstance(call, Call) else Call((call,))


class PyLabRobotDevice:
    """A machine of PyLabRobot, with each of its methods as a device of its own.

    Parameters
    ----------
    machine
        PyLabRobot's frontend, as PyLabRobot's documentation makes it. It is set up when the laboratory connects, and
        stopped when that closes.
    name
        Prefix of the names of acts and readings.
    actions
        What repeating a method would do, for methods that :data:`KNOWN` lacks or where it is wrong for you.
    readings
        Methods that return one number, and its unit: they become sensors, to be triggered and read.
    checks
        By method: called with the :class:`Call`; raises LimitError for what is not allowed.
    halt
        The method that breaks off what is under way. Without one the machine is left to finish, and a step that was
        aborted has an act of which nobody knows.
    timeout_s
        How long a method may take.

    Raises
    ------
    LabError
        Something is declared that the machine does not have.
    """

    def __init__(
        self,
        machine: Any,
        *,
        name: str,
        actions: Mapping[str, ActionClass | str] | None = None,
        readings: Mapping[str, str] | None = None,
        checks: Mapping[str, Callable[[Call], None]] | None = None,
        halt: str | None = None,
        timeout_s: float = 600.0,
    ) -> None:
        self.name = name
        self.parent = None
        halts = _merged(machine, {kind: {each: ""} for kind, each in _HALTS.items()})
        self._machine = _Machine(machine, name, checks or {}, halt or next(iter(halts), None))
        units = {**_merged(machine, KNOWN_READINGS), **(readings or {})}
        known = {verb: action for verb, action in _merged(machine, KNOWN).items() if verb not in units}
        classes = {**known, **{verb: ActionClass(action) for verb, action in (actions or {}).items()}}
        self._check_declared([*classes, *units, *filter(None, [halt])])
        for method, action in classes.items():
            setattr(self, method, Act(self, self._machine, method, action, timeout_s))
        for method, unit in units.items():
            setattr(self, method, self._sensor(method, unit))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        machine = self._machine.machine
        if inspect.iscoroutinefunction(getattr(machine, name, None)):
            raise AttributeError(
                f"nobody has said what repeating {self.name}.{name} would do: "
                f'PyLabRobotDevice(..., actions={{"{name}": "..."}}), with one of {listing(ActionClass)}, '
                f'or readings={{"{name}": UNIT}} where it returns a number'
            )
        raise AttributeError(f"{type(machine).__name__} {self.name} has no method {name!r}")

    def _check_declared(self, names: Sequence[str]) -> None:
        machine = self._machine.machine
        missing = [name for name in names if not inspect.iscoroutinefunction(getattr(machine, name, None))]
        if missing:
            raise LabError(f"{self.name} is a {type(machine).__name__}, which has no method {listing(missing)}")
        taken = [name for name in names if hasattr(type(self), name) or name in {"name", "parent"}]
        if taken:
            raise LabError(f"{self.name} cannot have an act called {listing(taken)}: the name is taken")

    def _sensor(self, method: str, unit: str) -> Sensor:
        key = f"{self.name}_{method}"

        async def measure() -> dict[str, float]:
            return {key: float(await self._machine.method(method)())}

        return Sensor(key, measure, units={key: unit}, source=f"PyLabRobot {method}", parent=self)

    async def connect(self) -> None:
        """Set the machine up, unless it is."""
        if not getattr(self._machine.machine, "setup_finished", False):
            await self._machine.machine.setup()

    async def disconnect(self) -> None:
        """Stop the machine, and let go of it."""
        if getattr(self._machine.machine, "setup_finished", True):
            await self._machine.machine.stop()


def _merged(machine: object, table: Mapping[str, Mapping[str, T]]) -> dict[str, T]:
    """Return what *table* says of the classes that *machine* is made of; the nearer ones have the last word."""
    found: dict[str, T] = {}
    for kind in reversed(type(machine).__mro__):
        if kind.__module__.partition(".")[0] == "pylabrobot":
            found.update(table.get(kind.__name__, {}))
    return found
