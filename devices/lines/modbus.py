"""Instruments with registers: Modbus over TCP or a serial line.

A request names a table, an address (from 0, as in the frame) and what lies there:

=================================  ==================================================================================
``HOLDING? 1``                     the holding register 1, an integer from 0 to 65535
``HOLDING? 1 int16/10``            as a signed integer in tenths: ``-12.5``
``HOLDING? 360 float32``           two registers as a number
``HOLDING? 1 uint16*4``            four registers: ``250 0 17 3``
``INPUT? 30 float32``              the same from the input registers
``HOLDING 24 int16/10 80.5``       write a register; ``OK``
``HOLDING 2160 float32 80.5``      write two registers in one frame; ``OK``
``COIL? 3``, ``DISCRETE? 3``       ``1`` or ``0``
``COIL 3 1``                       write a coil; ``OK``
=================================  ==================================================================================

Kinds are uint16, int16, uint32, int32, float32 and float64, so the register table of a manual can be copied into a
driver as it stands. Manuals that count registers from 40001 mean address 0 by that.
"""

from __future__ import annotations

import math
import re
import struct
from dataclasses import dataclass
from typing import Any, Literal

from sdl.devices.lines.extras import library
from sdl.devices.transport import GuardedTransport
from sdl.errors import DeviceError, TransportError

WordOrder = Literal["big", "little"]
Frame = Literal["tcp", "rtu", "rtu-over-tcp"]

FORMATS = {"uint16": "H", "int16": "h", "uint32": "I", "int32": "i", "float32": "f", "float64": "d"}
"""Kinds of numbers, as :mod:`struct` spells them."""

TABLES = ("HOLDING", "INPUT", "COIL", "DISCRETE")
_READ = {
    "HOLDING": "read_holding_registers",
    "INPUT": "read_input_registers",
    "COIL": "read_coils",
    "DISCRETE": "read_discrete_inputs",
}
# Section 7 of the Modbus application protocol, V1.1b3.
EXCEPTIONS = {
    1: "the function is not supported",
    2: "there is no such address",
    3: "the value is not allowed",
    4: "the device has failed",
    5: "it takes longer, and is not done",
    6: "the device is busy",
    8: "its memory has an error",
    10: "the gateway has no path",
    11: "nobody answers behind the gateway",
}
_MESSAGE = re.compile(
    r"(?P<table>[A-Z]+)(?P<question>\??) (?P<address>\d+)"
    r"(?: (?P<kind>[a-z]+\d+)(?:/(?P<divisor>\d+))?(?:\*(?P<count>\d+))?)?(?: (?P<value>\S+))?"
)


@dataclass(frozen=True)
class ModbusRequest:
    """One request, read.

    Parameters
    ----------
    table
        HOLDING, INPUT, COIL or DISCRETE.
    address
        Of the first register or bit.
    kind, divisor
        What lies there, and by what the integer is divided.
    count
        How many numbers are read.
    value
        What is written; None to read.
    """

    table: str
    address: int
    kind: str = "uint16"
    divisor: int = 1
    count: int = 1
    value: float | None = None

    @classmethod
    def parse(cls, message: str) -> ModbusRequest:
        """Read *message*. Raises TransportError for what is no request."""
        match = _MESSAGE.fullmatch(message)
        value = _number(match["value"]) if match is not None else None
        is_question = match is not None and match["question"] == "?"
        if match is None or is_question != (match["value"] is None) or (value is None) != is_question:
            raise _unreadable(message)
        found = cls(
            match["table"],
            int(match["address"]),
            match["kind"] or "uint16",
            int(match["divisor"] or 1),
            int(match["count"] or 1),
            value,
        )
        found.check(message)
        return found

    def check(self, message: str) -> None:
        """Raise TransportError for a table, a kind or an address that cannot be."""
        is_bit = self.table in {"COIL", "DISCRETE"}
        is_written = self.value is not None
        if (
            self.table not in TABLES
            or self.kind not in FORMATS
            or (is_written and (self.table in {"INPUT", "DISCRETE"} or self.count != 1))
            or not 1 <= self.count * self.n_words <= 120
            or self.divisor < 1
            or self.address + self.count * self.n_words > 65_536
            or (is_bit and is_written and self.value not in {0.0, 1.0})
        ):
            raise _unreadable(message)

    @property
    def is_bits(self) -> bool:
        """Whether it is about coils or discrete inputs."""
        return self.table in {"COIL", "DISCRETE"}

    @property
    def n_words(self) -> int:
        """Registers of one number."""
        return struct.calcsize(f">{FORMATS[self.kind]}") // 2

    def words(self, order: WordOrder = "big") -> list[int]:
        """Return the registers to write. Raises DeviceError where the value does not fit into them."""
        assert self.value is not None
        is_real = self.kind.startswith("float")
        scaled = self.value * self.divisor
        try:
            data = struct.pack(f">{FORMATS[self.kind]}", scaled if is_real else round(scaled))
        except (struct.error, OverflowError):
            raise DeviceError(f"{self.value:g} does not fit into {self.kind}/{self.divisor}") from None
        words = list(struct.unpack(f">{len(data) // 2}H", data))
        return words if order == "big" else words[::-1]

    def text(self, words: list[int], order: WordOrder = "big") -> str:
        """Return the numbers in *words*, as the text of an answer."""
        n = self.n_words
        return " ".join(self._one(words[i : i + n], order) for i in range(0, n * self.count, n))

    def _one(self, words: list[int], order: WordOrder) -> str:
        ordered = words if order == "big" else words[::-1]
        (value,) = struct.unpack(f">{FORMATS[self.kind]}", struct.pack(f">{len(ordered)}H", *ordered))
        if self.kind == "float32":
            return f"{value / self.divisor:.7g}"
        return str(value) if self.divisor == 1 else repr(value / self.divisor)


def _number(text: str | None) -> float | None:
    try:
        value = math.nan if text is None else float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _unreadable(message: str) -> TransportError:
    return TransportError(
        f"{message!r} is no Modbus request", hint='it is as in "HOLDING? 1 int16/10" or "HOLDING 24 int16/10 80.5"'
    )


class ModbusTransport(GuardedTransport):
    """Requests over Modbus, by pymodbus (``pip install 'sdl[instruments]'``). No request is repeated.

    Parameters
    ----------
    address
        ``host:port`` for frames over TCP, or a serial port such as ``/dev/ttyUSB0``.
    unit
        The device behind the line: 1 to 247.
    frame
        ``tcp``; ``rtu`` on a serial port; ``rtu-over-tcp`` through a box between Ethernet and a serial line.
    baud, parity
        Of the serial port.
    word_order
        Which register of a number of several comes first: the ``big`` end, as most devices have it, or the ``little``.
    timeout_s
        Longest wait for an answer.
    """

    def __init__(
        self,
        address: str,
        *,
        unit: int = 1,
        frame: Frame = "tcp",
        baud: int = 9600,
        parity: Literal["N", "E", "O"] = "N",
        word_order: WordOrder = "big",
        timeout_s: float = 3.0,
    ) -> None:
        super().__init__(name=f"modbus://{address}/{unit}", timeout_s=timeout_s)
        self._address = address
        self._unit = unit
        self._frame = frame
        self._serial = {"baudrate": baud, "parity": parity}
        self._order: WordOrder = word_order
        self._client: Any = None
        self._library = library("pymodbus.client", "ModbusTransport")
        self._errors = library("pymodbus.exceptions", "ModbusTransport")

    async def _connect(self) -> None:
        client = self._library
        framer = library("pymodbus", "ModbusTransport").FramerType
        # Above the transport's own time limit, so that there is one of them; 0 retries: a request is sent once.
        common = {"timeout": 2 * self._timeout_s, "retries": 0, "reconnect_delay": 0}
        if self._frame == "rtu":
            self._client = client.AsyncModbusSerialClient(self._address, framer=framer.RTU, **self._serial, **common)
        else:
            host, _, port = self._address.rpartition(":")
            kind = framer.SOCKET if self._frame == "tcp" else framer.RTU
            self._client = client.AsyncModbusTcpClient(host, port=int(port), framer=kind, **common)
        if not await self._client.connect():
            raise OSError("nobody listens there")

    async def _disconnect(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    async def _ask(self, message: str) -> str | DeviceError:
        request = ModbusRequest.parse(message)
        try:
            reply = await (self._read(request) if request.value is None else self._write(request))
        except DeviceError as error:
            return error
        except self._errors.ModbusException as error:
            raise OSError(str(error)) from error
        if reply.isError():
            why = EXCEPTIONS.get(reply.exception_code, "for a reason that Modbus does not name")
            return DeviceError(f"{self.name} refused {message!r} with exception {reply.exception_code}: {why}")
        return "OK" if request.value is not None else self._text(request, reply)

    async def _read(self, request: ModbusRequest) -> Any:
        method = getattr(self._client, _READ[request.table])
        n = request.count * (1 if request.is_bits else request.n_words)
        return await method(request.address, count=n, device_id=self._unit)

    async def _write(self, request: ModbusRequest) -> Any:
        if request.is_bits:
            return await self._client.write_coil(request.address, bool(request.value), device_id=self._unit)
        words = request.words(self._order)
        if len(words) == 1:
            return await self._client.write_register(request.address, words[0], device_id=self._unit)
        return await self._client.write_registers(request.address, words, device_id=self._unit)

    def _text(self, request: ModbusRequest, reply: Any) -> str:
        n = request.count * (1 if request.is_bits else request.n_words)
        found = list(reply.bits if request.is_bits else reply.registers)
        if len(found) < n:
            raise OSError(f"{n} registers were asked for, {len(found)} came")
        if request.is_bits:
            return " ".join(str(int(bit)) for bit in found[:n])
        return request.text(found, self._order)
