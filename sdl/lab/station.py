"""A station: devices that belong together, and one RunEngine that works them, one job at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar

from pydantic import JsonValue

from sdl.errors import InterlockError, LabError, SdlError
from sdl.journal.protocol import Journal
from sdl.lab.actions import Actions, ActRecord, Evidence
from sdl.lab.clock import Clock, Mailbox
from sdl.lab.elsewhere import Held, Whereabouts
from sdl.lab.envelope import Envelope
from sdl.lab.interlocks import Interlocks, Reaction
from sdl.lab.job import Job, JobResult

if TYPE_CHECKING:
    from sdl.lab.engine import Engine

WAIT_TIMEOUT = 3600.0
"""Clock seconds that a plan may wait for devices, unless it or a device says otherwise."""

TOLERANCE = 0.01
"""How far a readback may be from its set-point, relative to the set-point, unless the device says otherwise."""


class Station:
    """Runs jobs, one at a time, on a thread of its own.

    Parameters
    ----------
    name
        What the journal calls it.
    devices
        The devices that are connected before the first job.
    clock
        The laboratory's clock.
    envelope
        Names and limits of the laboratory's devices.
    actions
        What repeating each verb of the devices would do.
    interlocks
        Those of the laboratory.
    wait_timeout
        Clock seconds that a plan may wait for devices; a device's own ``timeout_s`` or ``timeout`` lengthens it.
    tolerance
        How far a readback may be from its set-point, relative to the set-point (to the width of the laboratory's
        limits, where that is more); a device's own ``tolerance``, absolute, takes its place.
    """

    is_elsewhere: ClassVar[bool] = False
    """Whether its devices live in another process."""

    def __init__(
        self,
        name: str,
        devices: Mapping[str, object],
        clock: Clock,
        *,
        envelope: Envelope | None = None,
        actions: Actions | None = None,
        interlocks: Interlocks | None = None,
        wait_timeout: float = WAIT_TIMEOUT,
        tolerance: float = TOLERANCE,
    ) -> None:
        self.name = name
        self.devices: Mapping[str, object] = MappingProxyType(dict(devices))
        self.envelope = envelope or Envelope()
        self.actions = actions or Actions(self.envelope)
        self.interlocks = interlocks or Interlocks(name, clock)
        self.wait_timeout = wait_timeout
        self.tolerance = tolerance
        self.elsewhere: Whereabouts = {}
        self._clock = clock
        self._engine: Engine | None = None
        self._is_closed = False

    def __repr__(self) -> str:
        return f"Station({self.name!r}, devices={list(self.devices)})"

    @property
    def clock(self) -> Clock:
        """The laboratory's clock."""
        return self._clock

    @property
    def is_busy(self) -> bool:
        """Whether a job is queued or running. It is not any more when its ``on_done`` is called."""
        return self._engine is not None and self._engine.is_busy

    def submit(self, job: Job) -> None:
        """Run *job*. Returns at once; ``job.on_done`` is called when it has ended, in whatever way.

        Raises :class:`~sdl.errors.LabError` when the station is busy.
        """
        self._started().submit(job)

    def run(self, job: Job) -> JobResult:
        """Run *job* and wait for its result. In virtual time the caller is the thread that holds it."""
        box: Mailbox[JobResult] = self._clock.mailbox()

        def deliver(result: JobResult) -> None:
            job.on_done(result)
            box.put(result)

        self.submit(replace(job, on_done=deliver))
        result = box.get()
        assert result is not None
        return result

    def enter(self, journal: Journal) -> None:
        """A session begins that *journal* records. A station in another process answers to its newest session only."""

    def recall(self, act: ActRecord, campaign: str, *, may_probe: bool) -> Evidence | None:
        """Return what the station itself knows of *act*; None here, where nothing is known that the journal has not."""
        del act, campaign, may_probe
        return None

    def connect(self) -> None:
        """Connect the devices now rather than before the first job.

        Raises :class:`~sdl.errors.LabError` naming the device that does not answer.
        """
        self._started().connect()

    @property
    def is_started(self) -> bool:
        """Whether it has been used or connected."""
        return self._engine is not None

    @property
    def holds(self) -> tuple[str, ...]:
        """The stations that are held for its present job."""
        return () if self._engine is None else self._engine.holds

    @property
    def is_making_safe(self) -> bool:
        """Whether devices are still on their way to where they are safe, after an interlock has tripped."""
        return self._engine is not None and self._engine.safety.is_busy

    def make_safe(self, reactions: Sequence[Reaction], error: InterlockError) -> None:
        """Have devices do what is safe, and abort the job where one of them does so at once. From any thread."""
        if self._engine is not None:
            self._engine.safety.react(reactions, error)

    def hold(self, held: Held) -> None:
        """Make sure of it for a step of another station. Here nothing can take it away."""
        del held

    def interrupt(self, error: SdlError) -> None:
        """Stop every device, and end the job that runs with *error*. From any thread."""
        if self._engine is not None:
            self._engine.safety.interrupt(error)

    def settle(self, seconds: float) -> None:
        """Wait, no longer than that, until what latched the station is known wherever it is kept. Here it is."""
        del seconds

    def abort(self, reason: str) -> None:
        """Stop every device of the station, and abort the job that is queued or running.

        Returns at once and may be called from any thread, in a signal handler too. Devices are stopped side by side,
        before anything else: a planner that thinks, a journal that cannot be written, a device that does not stop keep
        none of them waiting. The plan's clean-up runs, and the job ends with :class:`~sdl.errors.StepAborted`.
        """
        if self._engine is not None:
            self._engine.abort(reason)

    def describe(self) -> dict[str, JsonValue]:
        """Return the station as plain data."""
        devices: dict[str, JsonValue] = {name: class_of(device) for name, device in self.devices.items()}
        return {"devices": devices, "wait_timeout": self.wait_timeout, "tolerance": self.tolerance}

    def close(self) -> None:
        """Abort what runs, disconnect the devices, and end the threads. A closed station takes no more jobs."""
        self._is_closed = True
        if self._engine is not None:
            self._engine.close()
            self._engine = None

    def _started(self) -> Engine:
        if self._is_closed:
            raise LabError(f"station {self.name} is closed", hint="make the laboratory anew")
        if self._engine is None:
            from sdl.lab.engine import Engine  # noqa: PLC0415 # bluesky takes half a second, which import sdl saves

            self._engine = Engine(self, self._clock)
        return self._engine


def class_of(device: object) -> str:
    """Return the class of *device* as ``module.Name``."""
    return f"{type(device).__module__}.{type(device).__qualname__}"
