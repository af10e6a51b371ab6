"""The watcher of a station: reads the signals that interlocks look at, and trips what is violated.

It lives on the station's event loop and goes by the laboratory's clock. It looks twice within the shortest ``max_age``
of its interlocks, unless the laboratory says how often. In virtual time it looks only when time passes for somebody
else's sake; it sleeps while no interlock can be violated before something is set; and while nothing is set and all is
well it looks less and less often, down to once in :data:`CALM_PERIOD`, or a month could not be simulated in seconds.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress

from sdl.errors import LabError
from sdl.lab.channels import check_severities, is_slow_to_read
from sdl.lab.clock import Clock
from sdl.lab.conditions import Always
from sdl.lab.interlocks import Interlocks, Rule
from sdl.lab.signals import UNASKED, Board, Source, described_later, take

MIN_PERIOD = 0.02
"""Clock seconds between two looks, at least."""

CALM_PERIOD = 300.0
"""Virtual seconds between two looks, at most, while nothing is set and all is well."""


class Watcher:
    """Watches for one station. Everything but the constructor happens on the station's loop."""

    def __init__(self, station: str, interlocks: Interlocks, clock: Clock) -> None:
        self._station = station
        self._interlocks = interlocks
        self._clock = clock
        self._rules: tuple[Rule, ...] = ()
        self._sources: tuple[Source, ...] = ()
        self._period = MIN_PERIOD
        self._pause = MIN_PERIOD
        self._due = 0.0
        self._began = 0.0
        self._cancel: Callable[[], None] | None = None
        self._task: asyncio.Task[None] | None = None
        self._is_ended = False

    @property
    def period(self) -> float:
        """Clock seconds between two looks."""
        return self._period

    async def begin(self) -> None:
        """Ask for units that were not known yet, read every signal once, and go on watching.

        Raises :class:`~sdl.errors.LabError` or :class:`~sdl.errors.UnitError` where an interlock does not fit what the
        devices say.
        """
        for rule in self._interlocks.rules:
            await self._complete(rule)
        self._rules = tuple(rule for rule in self._interlocks.rules if self._is_ours(rule))
        if not self._rules:
            return
        self._sources = tuple({source.name: source for source in self._own(self._rules)}.values())
        shortest = min(rule.interlock.seconds for rule in self._rules)
        self._period = max(MIN_PERIOD, self._interlocks.watch_period or shortest / self._interlocks.n_looks)
        self._pause = self._period
        await self._read(self._sources)
        self._began = self._clock.monotonic()
        self._interlocks.watched.add(self._station)
        self._interlocks.wakers.append(self._wake)
        self._judge()

    def end(self) -> None:
        """Watch no more."""
        self._is_ended = True
        self._interlocks.watched.discard(self._station)
        with suppress(ValueError):
            self._interlocks.wakers.remove(self._wake)
        if self._cancel is not None:
            self._cancel()
        if self._task is not None:
            self._task.cancel()

    async def refresh(self, rules: Sequence[Rule]) -> None:
        """Read what *rules* look at, as far as it belongs to this station; what other processes tell is on its way."""
        sources = {source.name: source for source in self._own(rules)}
        await self._read(tuple(sources.values()))
        for _ in range(int(2 * self._period / MIN_PERIOD)):
            if not any(self._is_awaited(rule) for rule in rules):
                return
            await asyncio.sleep(MIN_PERIOD)

    def _is_awaited(self, rule: Rule) -> bool:
        look, away = self._interlocks.look(rule), self._interlocks.away
        told = (name for name, source in rule.sources.items() if self._interlocks.station_of(source) in away)
        return any(look(name) is None for name in told)

    def is_doubtful(self, rules: Iterable[Rule], changes: Mapping[int, object]) -> bool:
        """Tell whether something that *rules* look at is not fresh, or one is violated by what was read last.

        With and without *changes*, which an act would make; see :meth:`~sdl.lab.interlocks.Interlocks.look`.
        """
        look = self._interlocks.look
        return any(
            self._is_stale(rule) or rule.violation(look(rule)) or rule.violation(look(rule, changes)) for rule in rules
        )

    def _is_stale(self, rule: Rule) -> bool:
        board, by_answer = self._interlocks.board, rule.interlock.fresh_by == "answer"
        ages = (board.age(source.name, by_answer=by_answer) for source in self._own((rule,)))
        return any(not age <= rule.interlock.seconds for age in ages)

    def _own(self, rules: Iterable[Rule]) -> Iterable[Source]:
        for rule in rules:
            for source in rule.sources.values():
                if source.can_be_asked and self._interlocks.station_of(source) == self._station:
                    yield source

    def _is_ours(self, rule: Rule) -> bool:
        return self._station in rule.stations | self._interlocks.homes(rule)

    async def _complete(self, rule: Rule) -> None:
        if all(source.unit != UNASKED for source in rule.sources.values()):
            return
        ours = {
            name: await self._described(source)
            for name, source in rule.sources.items()
            if self._interlocks.station_of(source) == self._station
        }
        self._interlocks.learn(rule, ours)

    async def _described(self, source: Source) -> Source:
        try:
            return await described_later(source)
        except LabError:
            raise
        except Exception as error:
            raise LabError(
                f"an interlock looks at {source.name}, which does not describe itself: {error or type(error).__name__}"
            ) from error

    # --- looking --------------------------------------------------------------------------------------------------

    def _tick(self) -> None:
        self._cancel = None
        slow = tuple(source for source in self._sources if not _take_now(self._interlocks.board, source))
        if slow:
            self._task = asyncio.get_running_loop().create_task(self._look(slow), name=f"watch {self._station}")
        else:
            self._judge()

    async def _look(self, sources: tuple[Source, ...]) -> None:
        await self._read(sources)
        self._judge()

    async def _read(self, sources: tuple[Source, ...]) -> None:
        await asyncio.gather(*(take(self._interlocks.board, source, self._period) for source in sources))

    def _judge(self) -> None:
        for rule in self._interlocks.violated(frozenset((self._station,)), since=self._began):
            self._interlocks.trip(rule)
        if not self._is_ended and self._cancel is None and not self._may_sleep():
            self._schedule(self._pause)
            self._pause = self._next_pause()

    def _schedule(self, seconds: float) -> None:
        self._due = self._clock.monotonic() + seconds
        self._cancel = self._clock.call_aside(seconds, self._tick)

    def _next_pause(self) -> float:
        is_calm = not any(rule.violation(self._interlocks.look(rule)) for rule in self._rules if not rule.is_tripped)
        if not self._clock.is_virtual or self._interlocks.watch_period is not None or not is_calm:
            return self._period
        return min(2 * self._pause, max(CALM_PERIOD, self._period))

    def _may_sleep(self) -> bool:
        """In virtual time nobody turns a knob by hand: what depends on set-points alone changes when one is set."""
        return self._clock.is_virtual and all(self._is_dormant(rule) for rule in self._rules)

    def _is_dormant(self, rule: Rule) -> bool:
        if rule.is_tripped:
            return True
        if isinstance(rule.when, Always) or any(rule.sources[name].kind != "setpoint" for name in rule.when.signals()):
            return False
        return rule.when.holds(self._interlocks.last()) is False

    def _wake(self) -> None:
        """Something was set: look soon, and often again."""
        if not self._clock.is_virtual or self._is_ended:
            return
        self._pause = self._period
        if self._cancel is not None and self._due > self._clock.monotonic() + self._period:
            self._cancel()
            self._cancel = None
        if self._cancel is None:
            self._schedule(self._period)


def _take_now(board: Board, source: Source) -> bool:
    """Read a device that answers at once; False for one that has to be waited for."""
    verb = getattr(source.device, "locate" if source.is_located else "read")
    if inspect.iscoroutinefunction(verb) or is_slow_to_read(source.device):
        return False
    try:
        answer = verb()
        check_severities(source.device, answer, source.device_name)
    except Exception:  # noqa: BLE001 # it ages
        return True
    if inspect.isawaitable(answer):
        closing = getattr(answer, "close", None)
        if callable(closing):
            closing()
        return False
    value, timestamp = source.value_in(answer)
    if value is not None:
        board.put(source, value, timestamp)
    return True
