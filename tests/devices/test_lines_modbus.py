"""Requests over Modbus to pymodbus' own server on loopback."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from sdl.devices import Gauge, Instrument, Knob, Limits, Transport
from sdl.devices.lines import ModbusRequest, ModbusTransport
from sdl.errors import DeviceError, DeviceTimeout, LimitError, TransportError


@contextlib.asynccontextmanager
async def server() -> AsyncGenerator[int]:
    blocks = (
        [SimData(0, values=[False] * 8, datatype=DataType.BITS)],
        [SimData(0, values=[True, False, True] + [False] * 5, datatype=DataType.BITS)],
        [SimData(0, count=50, values=7, datatype=DataType.REGISTERS)],
        [SimData(30, values=[0x4228, 0x0000], datatype=DataType.REGISTERS)],  # 42.0
    )
    made: Any = ModbusTcpServer(SimDevice(1, simdata=blocks), address=("127.0.0.1", 0))
    await made.serve_forever(background=True)
    try:
        yield made.transport.sockets[0].getsockname()[1]
    finally:
        await made.shutdown()


@contextlib.asynccontextmanager
async def line(port: int, **settings: Any) -> AsyncGenerator[ModbusTransport]:
    made = ModbusTransport(f"127.0.0.1:{port}", **settings)
    try:
        yield made
    finally:
        await made.close()


def test_registers_and_bits_are_read_and_written() -> None:
    async def main() -> None:
        async with server() as port, line(port) as transport:
            assert isinstance(transport, Transport)
            said = {
                "HOLDING? 1": "7",
                "HOLDING? 1 uint16*3": "7 7 7",
                "HOLDING? 1 int16/10": "0.7",
                "INPUT? 30 float32": "42",
                "HOLDING 2 int16/10 -12.5": "OK",
                "HOLDING? 2 int16/10": "-12.5",
                "HOLDING? 2": "65411",
                "HOLDING 10 float32 80.5": "OK",
                "HOLDING? 10 float32": "80.5",
                "COIL 3 1": "OK",
                "COIL? 3": "1",
            }
            assert {message: await transport.request(message) for message in said} == said

    asyncio.run(main())


def test_what_the_device_refuses_has_a_reason_and_the_line_stays() -> None:
    async def main() -> None:
        async with server() as port, line(port) as transport:
            with pytest.raises(DeviceError, match="exception 2: there is no such address"):
                await transport.request("HOLDING? 400")
            with pytest.raises(DeviceError, match="does not fit into int16/10"):
                await transport.request("HOLDING 2 int16/10 4000")
            assert await transport.request("HOLDING? 2") == "7"

    asyncio.run(main())


def test_a_device_that_does_not_answer_is_asked_once() -> None:
    heard: list[bytes] = []

    async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read(100))
        await reader.read()
        writer.close()

    async def main() -> None:
        listening = await asyncio.start_server(deaf, "127.0.0.1", 0)
        port = listening.sockets[0].getsockname()[1]
        async with line(port, timeout_s=1.5) as transport:
            with pytest.raises(DeviceTimeout, match="'HOLDING 2 uint16 5'"):
                await transport.request("HOLDING 2 uint16 5")
        listening.close()
        await asyncio.sleep(0.01)

    asyncio.run(main())
    assert len(heard) == 1


def test_nobody_listens() -> None:
    async def main() -> None:
        async with server() as port:
            pass
        async with line(port) as transport:
            with pytest.raises(TransportError, match="nobody listens"):
                await transport.open()

    asyncio.run(main())


def test_a_controller_is_a_knob_without_a_driver() -> None:
    async def main() -> None:
        async with server() as port, line(port) as transport:
            instrument = Instrument("furnace", transport)
            knob = Knob(
                "furnace_temperature",
                instrument=instrument,
                question="HOLDING? 2 int16/10",
                setter="HOLDING 2 int16/10 {:.1f}",
                stopper="HOLDING 2 uint16 0",
                unit="degC",
                limits=Limits(0, 1200),
                tolerance=0.2,
                timeout_s=5,
                poll_s=0.01,
            )
            with pytest.raises(LimitError):
                knob.set(1300)
            status = knob.set(850.5)
            arrived = asyncio.Event()
            status.add_callback(lambda _: arrived.set())
            await arrived.wait()
            assert status.exception() is None
            assert (await knob.read())["furnace_temperature"]["value"] == 850.5
            gauge = Gauge("gas", instrument=instrument, question="INPUT? 30 float32", unit="mL/min")
            assert await gauge.value() == 42.0

    asyncio.run(main())


@settings(max_examples=30)
@given(
    value=st.floats(-1e6, 1e6, allow_nan=False).map(lambda value: round(value, 2)),
    kind=st.sampled_from(["int32/100", "float64"]),
    order=st.sampled_from(["big", "little"]),
)
def test_what_is_written_is_what_is_read(value: float, kind: str, order: Any) -> None:
    words = ModbusRequest.parse(f"HOLDING 0 {kind} {value!r}").words(order)
    assert float(ModbusRequest.parse(f"HOLDING? 0 {kind}").text(words, order)) == pytest.approx(value, abs=1e-9)


@pytest.mark.parametrize(
    "message",
    [
        "HOLDING 1",
        "HOLDING? 1 int16 5",
        "INPUT 1 uint16 5",
        "HOLDING? 65536",
        "HOLDING 1 uint16 nan",
        "HOLDING 1 uint16 five",
        "COIL 1 2",
        "HOLDING? 1 int8",
        "HOLDING? 1 uint16*121",
        "HOLDING? 1 int16/0",
        "READ 1",
        "",
    ],
)
def test_what_is_no_request_is_not_sent(message: str) -> None:
    with pytest.raises(TransportError, match="no Modbus request"):
        ModbusRequest.parse(message)
