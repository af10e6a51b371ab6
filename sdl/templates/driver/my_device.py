"""The driver of my-device: what the instrument is told, and how its answers are read.

The instrument here is a hot plate that stirs. Put the commands of your own instrument in their place:

    *IDN?        who it is: "hot plate 1.4"
    TEMP 80.0    set-point of the plate, degC
    TEMP?        its temperature now
    HOLD         stay at the present temperature
    SPEED 300    revolutions of the stirrer, 1/min
    SPEED?       its speed now
    POWER?       what the heater takes, W

A line is answered by a line. A command is answered OK, or ERR with a number and a text; where your instrument does it
differently, `Instrument` is the class to look at.
"""

from typing import ClassVar

from sdl.devices import Gauge, Identity, Instrument, Knob, Limits, Transport

TEMPERATURE = Limits(20, 300)  # degC: what the instrument can do
SPEED = Limits(0, 1500)  # 1/min


class MyDevice:
    """A hot plate: a temperature and a speed to set, a power to read."""

    simulated_by: ClassVar[str] = "simulated_my_device:SimulatedMyDevice"
    """Where the simulated instrument is, for `sdl check-device`."""

    def __init__(self, transport: Transport, *, name: str = "my_device") -> None:
        self.name = name
        # Whether it is the right instrument is asked before anything else, and again after every failure.
        self._line = Instrument(name, transport, identity=Identity("*IDN?", "^hot plate"))
        self.temperature = Knob(
            f"{name}_temperature",
            instrument=self._line,
            setter="TEMP {:.1f}",
            question="TEMP?",
            stopper="HOLD",
            unit="degC",
            limits=TEMPERATURE,
            tolerance=1.0,  # how near is there
            timeout_s=3600,  # after that, a move has failed
            poll_s=5,
            safe_action="stop_now to 20 degC",  # what it does when an interlock trips
            parent=self,
        )
        self.speed = Knob(
            f"{name}_speed",
            instrument=self._line,
            setter="SPEED {:.0f}",
            question="SPEED?",
            stopper="SPEED 0",
            unit="1/min",
            limits=SPEED,
            tolerance=10,
            timeout_s=60,
            safe_action="hold_setpoint",
            parent=self,
        )
        self.power = Gauge(
            f"{name}_power",
            instrument=self._line,
            question="POWER?",
            unit="W",
            parent=self,
        )

    async def self_test(self) -> str:
        """Ask who is there; nothing moves."""
        answer: str = await self._line.ask("*IDN?")
        return answer
