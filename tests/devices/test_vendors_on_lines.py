"""Drivers of real instruments over real lines: the simulated instruments stand behind sockets, ports and servers."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any

import bluesky.protocols as bp
import pytest
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from sdl.devices import RecordingTransport, ReplayTransport, TcpTransport, vendors
from sdl.devices.lines import line_to
from sdl.errors import LabError
from sdl.simulators import vendors as simulated


async def done(status: bp.Status) -> None:
    event = asyncio.Event()
    status.add_callback(lambda _: event.set())
    await event.wait()
    if (error := status.exception()) is not None:
        raise error


@contextlib.asynccontextmanager
async def behind_socket(instrument: Any, ends: bytes, answer_ends: bytes) -> AsyncGenerator[str]:
    """Serve a simulated instrument on loopback; where it answers nothing, nothing is sent."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while line := await reader.readuntil(ends):
                if answer := instrument.answer(line.removesuffix(ends).decode()):
                    writer.write(answer.encode() + answer_ends)
                    await writer.drain()
        writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"tcp://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    finally:
        listening.close()
        await asyncio.sleep(0.01)


async def use_pump(line: Any) -> str:
    pump = vendors.NewEraNE1000(line, diameter_mm=20.0, volume_ml=20.0)
    await done(pump.rate.set(10.0))
    await done(pump.infuse.set(0.002))
    assert await pump.moved("INF") == 0.002
    return await pump.self_test()


async def use_valve(line: Any) -> str:
    valve = vendors.ViciValve(line)
    await done(valve.position.set("2"))
    return await valve.self_test()


async def use_plate(line: Any) -> str:
    plate = vendors.IkaPlate(line)
    await done(plate.speed.set(300))
    assert (await plate.speed.read())["plate_speed"]["value"] == 300
    return (await plate.self_test()).partition(",")[0]


async def use_supply(line: Any) -> str:
    supply = vendors.KeysightE36312A(line)
    await done(supply.output_1.voltage.set(3.3))
    return await supply.self_test()


USES: list[tuple[Any, bytes, bytes, str, Callable[[Any], Any], str]] = [
    (simulated.SimulatedNE1000, b"\r", b"\x03", "terminator=cr&ends=etx", use_pump, "NE1000V3.923, standing still"),
    (simulated.SimulatedViciValve, b"\r", b"\r", "terminator=cr", use_valve, "at 2 of 10"),
    (simulated.SimulatedIkaPlate, b" \r\n", b" \r\n", "terminator=blank-crlf", use_plate, "IKARET"),
    (simulated.SimulatedKeysightE36312A, b"\n", b"\n", "timeout_s=9", use_supply, "Keysight Technologies,E36312A"),
]


@pytest.mark.parametrize(("instrument", "ends", "answer_ends", "options", "use", "expected"), USES)
def test_a_driver_talks_over_its_line_and_again_from_the_recording(
    tmp_path: Path, instrument: Any, ends: bytes, answer_ends: bytes, options: str, use: Any, expected: str
) -> None:
    path = tmp_path / "traffic.jsonl"

    async def main() -> None:
        async with behind_socket(instrument(), ends, answer_ends) as address:
            recording = RecordingTransport(line_to(f"{address}?{options}"), path)
            assert (await use(recording)).startswith(expected)
            await recording.close()
        replay = ReplayTransport(path)
        assert (await use(replay)).startswith(expected)
        assert replay.n_left == 0

    asyncio.run(main())


def test_an_oven_over_modbus() -> None:
    async def main() -> None:
        floats = SimData(32768, count=100, values=0, datatype=DataType.REGISTERS)
        whole = SimData(0, count=200, values=0, datatype=DataType.REGISTERS)
        version = SimData(200, values=1, datatype=DataType.REGISTERS)
        server: Any = ModbusTcpServer(SimDevice(1, simdata=[whole, version, floats]), address=("127.0.0.1", 0))
        await server.serve_forever(background=True)
        line = line_to(f"modbus://127.0.0.1:{server.transport.sockets[0].getsockname()[1]}?unit=1&timeout_s=10")
        oven = vendors.Eurotherm3200(line)
        await line.request("HOLDING 107 uint16 273")
        await done(oven.rate.set(12.5))
        assert await oven.rate.value() == 12.5
        assert await line.request("HOLDING? 32838 uint16*2") == "16712 0"  # 12.5 as IEEE 754 has it: 41480000 hex
        assert await oven.self_test() == "Eurotherm 3200, firmware 111, at 0 degC"
        await line.close()
        await server.shutdown()

    asyncio.run(main())


ADDRESSES = [
    ("tcp://10.0.0.7:5025?terminator=crlf", "tcp://10.0.0.7:5025"),
    ("serial:///dev/ttyUSB0?baud=19200&frame=7E1", "serial:///dev/ttyUSB0"),
    ("serial://COM3", "serial://COM3"),
    ("http://10.0.0.7:8080/api", "http://10.0.0.7:8080/api"),
    ("visa://TCPIP0::10.0.0.7::5025::SOCKET", "visa://TCPIP0::10.0.0.7::5025::SOCKET"),
    ("modbus:///dev/ttyUSB0?frame=rtu&unit=3&parity=E", "modbus:///dev/ttyUSB0/3"),
    ("opc.tcp://10.0.0.7:4840/oven", "opc.tcp://10.0.0.7:4840/oven"),
    ("sila://10.0.0.7:50052?is_encrypted=no", "sila://10.0.0.7:50052"),
]


@pytest.mark.parametrize(("address", "name"), ADDRESSES)
def test_an_address_makes_the_transport_of_its_protocol(address: str, name: str) -> None:
    assert line_to(address).name == name


@pytest.mark.parametrize(
    ("address", "text"),
    [
        ("10.0.0.7:5025", "is no address of an instrument"),
        ("gopher://x", "is no address of an instrument"),
        ("tcp://10.0.0.7", "names no host and port"),
        ("tcp://10.0.0.7:5025?baud=9600", "has the option 'baud'"),
        ("serial:///dev/ttyUSB0?baud=fast", "baud cannot be 'fast'"),
        ("opc.tcp://10.0.0.7:4840?password=secret", "has the option 'password'"),
    ],
)
def test_an_address_that_is_none_says_why(address: str, text: str) -> None:
    with pytest.raises(LabError, match=text):
        line_to(address)


def test_a_missing_library_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "asyncua", None)
    with pytest.raises(LabError, match=r"OpcUaTransport needs asyncua \(pip install 'sdl\[instruments\]'\)"):
        line_to("opc.tcp://10.0.0.7:4840")
    assert isinstance(line_to("tcp://10.0.0.7:5025"), TcpTransport)
