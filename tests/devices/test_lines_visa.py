"""Lines over VISA: PyVISA's simulated backend, and an instrument with SCPI at a raw socket of loopback."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from sdl.devices import SendingTransport
from sdl.devices.lines import VisaTransport
from sdl.errors import DeviceTimeout, TransportError

DEVICES = """\
spec: "1.1"
devices:
  supply:
    eom:
      USB INSTR:
        q: "\\n"
        r: "\\n"
    dialogues:
      - q: "*IDN?"
        r: "sdl,simulated supply,0,1"
    properties:
      voltage:
        default: 0
        getter:
          q: "VOLT?"
          r: "{:.3f}"
        setter:
          q: "VOLT {:f}"
        specs:
          min: 0
          max: 30
          type: float
resources:
  USB0::0x1111::0x2222::0x1234::INSTR:
    device: supply
"""


@contextlib.asynccontextmanager
async def visa(address: str, **settings: Any) -> AsyncGenerator[VisaTransport]:
    made = VisaTransport(address, **settings)
    try:
        yield made
    finally:
        await made.close()


def test_a_usb_instrument_is_asked_and_told(tmp_path: Path) -> None:
    path = tmp_path / "devices.yaml"
    path.write_text(DEVICES)

    async def main() -> None:
        async with visa("USB0::0x1111::0x2222::0x1234::INSTR", backend=f"{path}@sim") as line:
            assert isinstance(line, SendingTransport)
            assert await line.request("*IDN?") == "sdl,simulated supply,0,1"
            await line.send("VOLT 12.5")
            assert await line.request("VOLT?") == "12.500"
            await line.close()
            assert await line.request("*IDN?") == "sdl,simulated supply,0,1"

    asyncio.run(main())


async def scpi(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer ``*IDN?``, say too much to ``CURVE?``, and nothing to all else."""
    with contextlib.suppress(ConnectionError):
        while line := await reader.readline():
            if line == b"*IDN?\n":
                writer.write(b"sdl,meter,0,1\n")
            if line == b"CURVE?\n":
                writer.write(b"1," * 2000)
            await writer.drain()
    writer.close()


def test_a_raw_socket_by_pyvisa_py() -> None:
    async def main() -> None:
        listening = await asyncio.start_server(scpi, "127.0.0.1", 0)
        address = f"TCPIP0::127.0.0.1::{listening.sockets[0].getsockname()[1]}::SOCKET"
        async with visa(address, timeout_s=10, largest=1000) as line:
            assert await line.request("*IDN?") == "sdl,meter,0,1"
            with pytest.raises(TransportError, match="no end within 1000 bytes"):
                await line.request("CURVE?")
            assert await line.request("*IDN?") == "sdl,meter,0,1"
        async with visa(address, timeout_s=2) as line:
            with pytest.raises(DeviceTimeout, match=r"'READ\?'"):
                await line.request("READ?")
        listening.close()
        await asyncio.sleep(0.05)

    asyncio.run(main())


def test_an_address_that_is_none() -> None:
    async def main() -> None:
        async with visa("COFFEE::7") as line:
            with pytest.raises(TransportError, match="cannot be opened"):
                await line.request("*IDN?")

    asyncio.run(main())
