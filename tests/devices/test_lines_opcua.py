"""Requests to an OPC UA server of asyncua on loopback."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from importlib import import_module
from typing import Any

import pytest

from sdl.devices import Transport
from sdl.devices.lines import OpcUaTransport
from sdl.errors import DeviceError, TransportError

asyncua: Any = import_module("asyncua")  # whose types are OPC UA's own
ua: Any = asyncua.ua


@contextlib.asynccontextmanager
async def plant() -> AsyncGenerator[tuple[str, Any]]:
    @asyncua.uamethod  # type: ignore[untyped-decorator]
    def start(_: Any, target: float, how: str) -> str:
        return f"{how} to {target:g}"

    server: Any = asyncua.Server()
    await server.init()
    server.set_endpoint("opc.tcp://127.0.0.1:0")
    oven = await server.nodes.objects.add_object(ua.NodeId("Oven", 2), "Oven")
    values = {"Setpoint": 20.0, "Name": "box furnace", "Slots": 8, "On": False, "Zones": [1.5, 2.5]}
    nodes = {name: await oven.add_variable(ua.NodeId(f"Oven.{name}", 2), name, value) for name, value in values.items()}
    for name in ("Setpoint", "Slots", "On"):
        await nodes[name].set_writable()
    texts, numbers = [ua.VariantType.String], [ua.VariantType.Double]
    await oven.add_method(ua.NodeId("Oven.Start", 2), "Start", start, numbers + texts, texts)
    await server.start()
    port = server.bserver._server.sockets[0].getsockname()[1]
    try:
        yield f"opc.tcp://127.0.0.1:{port}", nodes
    finally:
        await server.stop()


async def check_values(line: OpcUaTransport) -> None:
    said = [
        ("READ ns=2;s=Oven.Setpoint", "20.0"),
        ("READ ns=2;s=Oven.Name", "box furnace"),
        ("READ ns=2;s=Oven.Zones#/1", "2.5"),
        ("WRITE ns=2;s=Oven.Setpoint 80", "OK"),
        ("READ ns=2;s=Oven.Setpoint", "80.0"),
        ("WRITE ns=2;s=Oven.Slots 6.0", "OK"),
        ("READ ns=2;s=Oven.Slots", "6"),
        ("WRITE ns=2;s=Oven.On true", "OK"),
        ("READ ns=2;s=Oven.On", "true"),
        ('CALL ns=2;s=Oven ns=2;s=Oven.Start [80.5, "ramp"]', "ramp to 80.5"),
    ]
    assert [(message, await line.request(message)) for message, _ in said] == said


async def check_refusals(line: OpcUaTransport, nodes: Any) -> None:
    wrong = {
        "READ ns=2;s=Oven.Pressure": "has the quality BadNodeIdUnknown",
        "READ nonsense": "names no node",
        "WRITE ns=2;s=Oven.Name 5": "of the type String, got 5",
        "WRITE ns=2;s=Oven.Slots 6.5": "whole number, got 6.5",
        "WRITE ns=2;s=Oven.Setpoint NaN": "no JSON",
        "READ ns=2;s=Oven.Zones#/7": "no '/7'",
    }
    for message, text in wrong.items():
        with pytest.raises(DeviceError, match=text):
            await line.request(message)
    await nodes["Zones"].write_value(ua.DataValue(ua.Variant([0.0]), ua.StatusCode(0x40000000)))
    with pytest.raises(DeviceError, match="has the quality Uncertain"):
        await line.request("READ ns=2;s=Oven.Zones")
    with pytest.raises(TransportError, match="begins with READ"):
        await line.request("BROWSE i=84")


def test_nodes_are_read_written_and_called() -> None:
    async def main() -> None:
        async with plant() as (address, nodes):
            line = OpcUaTransport(address, timeout_s=20)
            assert isinstance(line, Transport)
            await check_values(line)
            await check_refusals(line, nodes)
            await line.close()
            assert await line.request("READ ns=2;s=Oven.Name") == "box furnace"
            await line.close()
        with pytest.raises(TransportError, match="the line broke"):
            await line.open()

    asyncio.run(main())
