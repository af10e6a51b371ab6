"""What keeps one station safe: who stops its devices, who watches its signals, and who refuses an act."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Protocol

from sdl.errors import InterlockError, SdlError
from sdl.lab.clock import Clock
from sdl.lab.envelope import Envelope, as_number
from sdl.lab.interlocks import ACTS, Interlocks, Reaction, Rule
from sdl.lab.messages import Message, Steps, message
from sdl.lab.stopping import SafeActions, Stopper, is_slow, stop_plainly, stop_slowly, stoppable
from sdl.lab.watcher import Watcher

LOOK_PERIOD = 1.0
"""Wall seconds between two looks of the thread that sees a loop that hangs, at most."""


class Worked(Protocol):
    """What is asked of the engine that works the station."""

    name: str

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None:
        """The loop on which the devices live; None before it is made."""
        ...

    @property
    def holds(self) -> tuple[str, ...]:
        """The stations that are held for the present job."""
        ...

    @property
    def is_in_step(self) -> bool:
        """Whether a plan is being executed."""
        ...

    def interrupter(self, reason: str, cause: SdlError | None) -> Callable[[], None]:
        """Return what aborts the step that is under way now, and no later one; it is called on the loop."""
        ...

    def is_moving(self, device: object) -> bool:
        """Whether the plan has told *device* something that has not ended."""
        ...


class StationSafety:
    """One station's. Made with its engine."""

    def __init__(self, engine: Worked, devices: Any, envelope: Envelope, interlocks: Interlocks, clock: Clock) -> None:
        self._engine = engine
        self._envelope = envelope
        self._interlocks = interlocks
        self._clock = clock
        self._targets = stoppable(devices)
        self._spared: set[int] = set()
        self._stopping: list[asyncio.Task[None]] = []
        self._finishing: list[Reaction] = []
        self._is_begun = False
        self._began = 0.0
        self._watcher = Watcher(engine.name, interlocks, clock)
        self._actions = SafeActions(clock, self._settled)
        self._stopper = None if clock.is_virtual else Stopper(engine.name, self._look, self._look_period)

    # --- the station's life ---------------------------------------------------------------------------------------

    async def begin(self) -> None:
        """Watch, now that the devices are connected. Called on the loop."""
        self._is_begun = True
        self._began = self._clock.monotonic()
        if self._interlocks.rules:
            await self._watcher.begin()

    def leave(self) -> None:
        """Watch no more, and leave devices that are on their way to be safe where they are. From any thread."""
        loop = self._engine.loop
        if loop is not None and loop.is_running():
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(self._end_on_loop)

    def end(self) -> None:
        """Stop nothing any more. From any thread but the loop's."""
        self._is_begun = False
        if self._stopper is not None:
            self._stopper.end()

    def _end_on_loop(self) -> None:
        self._watcher.end()
        self._actions.end()

    @property
    def is_busy(self) -> bool:
        """Whether devices are still on their way to be safe."""
        return self._actions.is_busy

    def _settled(self) -> None:
        self._interlocks.listener(())

    # --- aborts ---------------------------------------------------------------------------------------------------

    def stop_all(self, then: Callable[[], None]) -> None:
        """Stop every device and call *then* on the loop. From any thread, and in a signal handler too."""
        loop = self._engine.loop
        if loop is None:
            return
        if self._stopper is None:
            loop.call_soon_threadsafe(self._stop_here, then)
        else:
            self._stopper.order(lambda: self._stop_from_thread(loop, then))

    def _stop_here(self, then: Callable[[], None]) -> None:
        for name, device in self._reached():
            if not is_slow(device):
                stop_plainly(name, device)
        self._stop_on_loop(then)

    def _stop_from_thread(self, loop: asyncio.AbstractEventLoop, then: Callable[[], None]) -> None:
        with suppress(RuntimeError):  # it was closed a moment ago
            loop.call_soon_threadsafe(self._stop_on_loop, then)
        assert self._stopper is not None
        self._stopper.stop_plainly((name, device) for name, device in self._reached() if not is_slow(device))

    def _stop_on_loop(self, then: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        self._stopping = [  # the loop itself keeps no task alive
            loop.create_task(stop_slowly(name, device)) for name, device in self._reached() if is_slow(device)
        ]
        then()

    def _reached(self) -> list[tuple[str, Any]]:
        return [pair for pair in self._targets if id(pair[1]) not in self._spared] if self._is_begun else []

    def is_spared(self, device: object) -> bool:
        """Whether *device* follows its safe action, which no stop of a plan's end may disturb."""
        return id(device) in self._spared

    def interrupt(self, error: SdlError) -> None:
        """Stop every device, and end the step with *error*. From any thread."""
        self.stop_all(self._engine.interrupter(error.message, error))

    # --- interlocks -----------------------------------------------------------------------------------------------

    def check_start(self) -> None:
        """Raise :class:`~sdl.errors.InterlockError` where no step may start; forget what was spared where one may."""
        for station in (self._engine.name, *self._engine.holds):
            self._interlocks.check_station(station)
        self._spared.clear()

    def before_act(self, given: Message) -> Steps[None] | None:
        """Hold an act to the interlocks; None where there is nothing to ask."""
        if not self._interlocks.rules or given.command not in ACTS or given.obj is None:
            return None
        rules = self._interlocks.concerned(given.obj)
        return self._judged(given, rules) if rules else None

    def _judged(self, given: Message, rules: Sequence[Rule]) -> Steps[None]:
        is_set = given.command == "set" and bool(given.args)
        target = given.args[0] if is_set else None
        if self._watcher.is_doubtful(rules, {id(given.obj): target} if is_set else {}):
            yield message("wait_for", None, [lambda: self._watcher.refresh(rules)], timeout=self._watcher.period * 4)
        for rule in self._interlocks.violated(frozenset((self._engine.name,)), since=self._began):
            self._interlocks.trip(rule)  # the watcher would see it in a moment
        self._interlocks.check_act(self._envelope.name(given.obj), given.obj, target, is_set=is_set)
        if is_set:
            self._interlocks.note_set(given.obj, target)

    def react(self, reactions: Sequence[Reaction], error: InterlockError) -> None:
        """Have devices do what is safe. From any thread."""
        loop = self._engine.loop
        if loop is None or not self._is_begun:
            return
        if self._stopper is None:
            self._react(reactions, error)
        else:
            self._stopper.order(lambda: self._react_from_thread(loop, reactions, error))

    def _react_from_thread(
        self, loop: asyncio.AbstractEventLoop, reactions: Sequence[Reaction], error: InterlockError
    ) -> None:
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(self._react, reactions, error)
        assert self._stopper is not None
        self._stopper.stop_plainly(
            (each.name, each.device)
            for each in reactions
            if each.action.kind == "stop_now"
            and callable(getattr(each.device, "stop", None))
            and not is_slow(each.device)
        )

    def _react(self, reactions: Sequence[Reaction], error: InterlockError) -> None:
        at_once = [each for each in reactions if each.action.is_immediate or not self._engine.is_in_step]
        self._finishing += [each for each in reactions if each not in at_once]
        moving = {id(each.device) for each in at_once if self._engine.is_moving(each.device)}
        self._spared |= {id(each.device) for each in at_once}
        if any(each.action.is_immediate for each in at_once):
            self._stop_here(self._engine.interrupter(error.message, error))
        for each in at_once:
            self._act(each, is_moving=id(each.device) in moving)

    def _act(self, reaction: Reaction, *, is_moving: bool) -> None:
        self._interlocks.close_device(reaction.device)
        self._spared.add(id(reaction.device))
        self._actions.begin(reaction, lambda: self._here(reaction.device), is_moving=is_moving)

    def step_ended(self) -> None:
        """Hold the devices that were allowed to finish the step. Called on the loop."""
        finishing, self._finishing = self._finishing, []
        for each in finishing:
            self._act(each, is_moving=False)

    def _here(self, device: object) -> float | None:
        """Return where a ramp begins: the set-point that is known, else the reading."""
        sources = [source for rule in self._interlocks.rules for source in rule.sources.values()]
        for kind in ("setpoint", "reading"):
            for source in sources:
                if source.device is device and source.kind == kind and not source.field:
                    sample = self._interlocks.board.sample(source.name)
                    if sample is not None and (number := as_number(sample.value)) is not None:
                        return number
        return None

    # --- a loop that hangs ----------------------------------------------------------------------------------------

    def _look_period(self) -> float | None:
        return LOOK_PERIOD if self._interlocks.rules else None

    def _look(self) -> None:
        """Trip what is violated although the loop says nothing: its readings grow old while it hangs."""
        if self._is_begun:
            for rule in self._interlocks.violated(frozenset((self._engine.name,)), since=self._began):
                self._interlocks.trip(rule)
