"""A sputter source with a heated stage.

The controller talks in lines, see :mod:`sdl.devices.driver` for ``OK`` and ``ERR``:

======================  ==============================================================================================
``*IDN?``               who it is
``SET:OXYGEN 0.1``      set-point of the oxygen partial pressure, Pa
``SET:TEMPERATURE 300`` set-point of the stage, degC; switches the heater on
``SET:POWER 100``       set-point of the discharge, W; the plasma burns only during an exposure
``READ:OXYGEN?``        what the gauge shows; likewise TEMPERATURE and POWER
``HOLD:OXYGEN``         stay at the present value; likewise TEMPERATURE and POWER
``EXPOSE 1200``         light the plasma, clean the target behind the shutter, open the shutter for 1200 s
``EXPOSE?``             ``IDLE``, ``CLEANING 120`` (seconds left), ``OPEN 600`` (seconds open), ``DONE 1200`` (seconds
                        it was open), ``ABORTED 600`` or ``FAULT 14 text``
``READ:EXPOSED?``       for how many seconds the shutter was open last
``ABORT``               close the shutter, put the plasma out
``STANDBY``             heater, gas and plasma off
======================  ==============================================================================================

The controller times the shutter, so a film has its thickness even if this computer stops.
"""

from __future__ import annotations

import asyncio

from bluesky.utils import MsgGenerator

from sdl.devices.driver import Activity, Gauge, Instrument, Knob, Limits, Pause
from sdl.devices.handling import BringSample, by_hand
from sdl.devices.stubs import go, record
from sdl.devices.transport import Transport
from sdl.errors import DeviceError, DeviceTimeout, LimitError
from sdl.lab.envelope import as_number
from sdl.problem import units

EXPOSURE = Limits(1.0, 86_400.0)


class SputterSource:
    """Driver of the source and its stage.

    Parameters
    ----------
    transport
        The line to the controller.
    name
        Prefix of the parts' names: ``sputter_oxygen`` and so on.
    bring_sample
        Run before a deposition, to have a substrate on the stage; see :data:`~sdl.devices.handling.BringSample`.
    cleaning_s
        The longest time that lighting the plasma and cleaning the target may take.

    Attributes
    ----------
    oxygen, temperature, power
        Knobs, in Pa, degC and W.
    shutter
        Activity: ``set(seconds)`` exposes the substrate for that long, once for each call.
    exposed
        Gauge: for how many seconds the shutter was open last.
    mode
        Activity: ``set("standby")`` switches heater, gas and plasma off. Setting a knob leaves standby.
    """

    def __init__(
        self,
        transport: Transport,
        *,
        name: str = "sputter",
        bring_sample: BringSample = by_hand,
        cleaning_s: float = 900.0,
    ) -> None:
        self.name = name
        self.parent = None
        self._line = Instrument(name, transport)
        self._bring_sample = bring_sample
        self._cleaning_s = cleaning_s
        self.oxygen = self._knob(
            "oxygen",
            "Pa",
            Limits(0.001, 2.0),
            0.0002,
            relative=0.02,
            timeout_s=120,
            poll_s=10,
            safe="stop_now to 0.001 Pa",
        )
        self.temperature = self._knob(
            "temperature",
            "degC",
            Limits(20.0, 500.0),
            2.0,
            timeout_s=14_400,
            poll_s=60,
            safe="ramp_down(10 K/min to 20 degC)",  # a hot target cracks when the heater is cut
        )
        self.power = self._knob("power", "W", Limits(20.0, 300.0), 1.0, timeout_s=60, poll_s=2, safe="stop_now to 20 W")
        self.shutter: Activity[float] = Activity(
            f"{name}_shutter",
            self._expose,
            halt=self._abort,
            check=self._check_exposure,
            action_class="cumulative",
            unit="s",
            limits=EXPOSURE,
            parent=self,
        )
        self.exposed = Gauge(
            f"{name}_exposed", instrument=self._line, question="READ:EXPOSED?", unit="s", limits=EXPOSURE, parent=self
        )
        self.mode: Activity[str] = Activity(
            f"{name}_mode",
            self._switch,
            halt=self._abort,
            check=self._check_mode,
            action_class="set_absolute",
            parent=self,
        )

    def deposit(self, minutes: float | None = None, *, duration: object = None) -> MsgGenerator[None]:
        """Plan stub: have a substrate on the stage, open the shutter for a time, record the conditions.

        The conditions go into the run as an event of the stream ``deposition``, so a run has to be open.

        Parameters
        ----------
        minutes
            How long the shutter is open.
        duration
            The same as a quantity or text: ``"20 min"``. Give one of the two.
        """
        seconds = self._seconds(minutes, duration)
        self._check_exposure(seconds)
        yield from self._bring_sample()
        yield from go(self.shutter, seconds, timeout=seconds + 2 * self._cleaning_s)
        yield from record([self.oxygen, self.temperature, self.power, self.exposed], "deposition", timeout=60)

    def stand_by(self) -> MsgGenerator[None]:
        """Plan stub: switch heater, gas and plasma off. Does not wait until the stage is cold."""
        yield from go(self.mode, "standby", timeout=60)

    def _knob(
        self,
        what: str,
        unit: str,
        limits: Limits,
        tolerance: float,
        *,
        relative: float = 0.0,
        timeout_s: float,
        poll_s: float,
        safe: str,
    ) -> Knob:
        return Knob(
            f"{self.name}_{what}",
            instrument=self._line,
            question=f"READ:{what.upper()}?",
            setter=f"SET:{what.upper()} {{:.6g}}",
            stopper=f"HOLD:{what.upper()}",
            unit=unit,
            limits=limits,
            tolerance=tolerance,
            relative_tolerance=relative,
            timeout_s=timeout_s,
            poll_s=poll_s,
            safe_action=safe,
            parent=self,
        )

    @staticmethod
    def _seconds(minutes: float | None, duration: object) -> float:
        if (minutes is None) == (duration is None):
            raise LimitError("deposit takes either minutes or a duration", hint="deposit(minutes=20)")
        return 60.0 * minutes if minutes is not None else units.to_unit(duration, "s", name="duration")

    @staticmethod
    def _check_exposure(seconds: object) -> None:
        number = as_number(seconds)
        if number is None or not EXPOSURE.low <= number <= EXPOSURE.high:
            raise LimitError(
                f"the shutter was told {seconds!r} s, its limits are {EXPOSURE.low:g} to {EXPOSURE.high:g} s"
            )

    @staticmethod
    def _check_mode(mode: str) -> None:
        if mode != "standby":
            raise LimitError(f"the source has the mode 'standby' to be set, got {mode!r}")

    async def _switch(self, mode: str, pause: Pause) -> None:  # noqa: ARG002 - the one mode, done at once
        await self._line.command("STANDBY")
        for knob in (self.oxygen, self.temperature, self.power):
            knob.setpoint = None  # the controller has forgotten them

    async def _abort(self) -> None:
        await self._line.command("ABORT")

    async def _expose(self, seconds: float, pause: Pause) -> None:
        await self._line.command(f"EXPOSE {seconds:.6g}")
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds + self._cleaning_s
        while True:
            state, value = await self._exposure()
            if state == "DONE":
                return
            if loop.time() >= deadline:
                raise DeviceTimeout(f"{self.name}: an exposure of {seconds:g} s is not done, its state is {state}")
            left = seconds - value if state == "OPEN" else value
            if await pause.sleep(min(max(left, 0.0) + 1.0, 120.0)):
                opened = value if state == "OPEN" else 0.0
                raise DeviceError(f"{self.name}: the exposure was stopped, open for about {opened:g} of {seconds:g} s")

    async def _exposure(self) -> tuple[str, float]:
        """Return the state and its number. Raises DeviceError for a fault, an abortion, and nonsense."""
        answer = await self._line.ask("EXPOSE?")
        state, _, rest = answer.partition(" ")
        if state == "FAULT":
            raise DeviceError(
                f"{self.name}: the exposure failed: {rest}", hint="look at the source before the next try"
            )
        if state in {"IDLE", "ABORTED"}:
            raise DeviceError(f"{self.name}: the exposure was ended by someone else, the state is {answer}")
        try:
            if state in {"CLEANING", "OPEN", "DONE"}:
                return state, float(rest)
        except ValueError:
            pass
        raise self._line.nonsense("EXPOSE?", answer, "the state of the exposure")
