"""VICI Valco universal electric actuators (EUH, EUD, EUT) and modular ones (UMH, UMD, UMT), with a valve.

Commands are those of VICI, *Universal Electric Actuator* manual (EUH, EUD, EUT), chapter "Optional serial interface",
and *Modular Universal Actuator Instruction Manual* (version 2, 04-2023). NOT verified on hardware.

===========  =========================================================================================================
``CP``       the position: ``CP03``, or ``Position is = 3`` in the legacy mode (``LG1``); ``CPA`` and ``CPB`` of a
             valve with two positions
``NP``       how many positions or ports it has: ``NP10``
``GO3``      go there; not answered in the response mode ``IFM0``, which the driver sets
===========  =========================================================================================================

The line: ``SerialTransport(port, 9600, terminator="\\r")``. An actuator with an identifier on RS-485 has it in front of
each command.
"""

from __future__ import annotations

import re
from typing import ClassVar

from sdl.devices.driver import Instrument
from sdl.devices.selector import Selector
from sdl.devices.transport import SendingTransport, Transport
from sdl.errors import DeviceError, LimitError

_POSITION = re.compile(r"(?:CP|Position is\W*)\s*0*(?P<place>[AB]|[1-9]\d?)\W*")
_PLACES = re.compile(r"NP\W*0*(?P<n>\d{1,2})\W*")


class ViciLine(Instrument):
    """What the driver says to an actuator."""

    async def _set_up(self) -> None:
        if not isinstance(self.transport, SendingTransport):
            raise DeviceError(f"{self.name} leaves commands unanswered, {self.transport.name} cannot do that")
        await self.transport.send("IFM0")
        answer = await self._request("CP")
        if _POSITION.fullmatch(answer) is None:
            raise self.nonsense("CP", answer, "the position of an actuator")


class ViciValve:
    """Driver of the valve.

    Parameters
    ----------
    transport
        The line; it has to be able to send without an answer.
    n_positions
        2 for a valve with the positions A and B, else how many there are: 4 to 40.
    timeout_s
        The longest way.
    name
        Prefix of the part's name.

    Attributes
    ----------
    position
        Selector: ``A`` and ``B``, or ``1`` to the last.
    """

    simulated_by: ClassVar[str] = "sdl.simulators.vendors.vici_valve:SimulatedViciValve"

    def __init__(
        self, transport: Transport, *, n_positions: int = 10, timeout_s: float = 10.0, name: str = "valve"
    ) -> None:
        if not 2 <= n_positions <= 40:
            raise LimitError(f"{name} has {n_positions} positions, an actuator has 2 to 40")
        self.name = name
        self.parent = None
        self.n_positions = n_positions
        self._line = ViciLine(name, transport)
        self.position = Selector(
            f"{name}_position",
            choices=("A", "B") if n_positions == 2 else tuple(str(place + 1) for place in range(n_positions)),
            get=self._where,
            put=lambda place: self._line.send(f"GO{place}"),
            source=f"{transport.name} CP",
            timeout_s=timeout_s,
            parent=self,
        )

    async def self_test(self) -> str:
        """Ask how many positions it has, and where it is. Raises DeviceError where they are not as told."""
        place = await self.position.value()
        if self.n_positions > 2:
            answer = await self._line.ask("NP")
            match = _PLACES.fullmatch(answer)
            if match is None or int(match["n"]) != self.n_positions:
                raise DeviceError(f"{self.name} is to have {self.n_positions} positions, and says {answer!r}")
        return f"at {place} of {self.n_positions}"

    async def _where(self) -> str:
        answer = await self._line.ask("CP")
        match = _POSITION.fullmatch(answer)
        if match is None:
            raise self._line.nonsense("CP", answer, "a position")
        return match["place"]
