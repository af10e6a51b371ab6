"""Requests to a SiLA 2 server of sila2 on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any, NamedTuple
from unittest.mock import Mock
from uuid import uuid4

import pytest
from sila2.framework import Feature
from sila2.server import FeatureImplementationBase, SilaServer

from sdl.devices import Transport
from sdl.devices.lines import SilaTransport
from sdl.errors import DeviceError, TransportError


def element(kind: str, name: str, type_: str = "", body: str = "", observable: str = "") -> str:
    data = f"<DataType><Basic>{type_}</Basic></DataType>" if type_ else ""
    seen = f"<Observable>{observable}</Observable>" if observable else ""
    return (
        f"<{kind}><Identifier>{name}</Identifier><DisplayName>{name}</DisplayName><Description>{name}</Description>"
        f"{seen}{data}{body}</{kind}>"
    )


SECONDS_TO_MASS = element("Parameter", "Seconds", "Real") + element("Response", "Mass", "Real")
FEATURE = f"""<?xml version="1.0" encoding="utf-8" ?>
<Feature SiLA2Version="1.0" FeatureVersion="1.0" MaturityLevel="Verified" Originator="org.example" Category="tests"
    xmlns="http://www.sila-standard.org" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
    xsi:schemaLocation="http://www.sila-standard.org https://gitlab.com/SiLA2/sila_base/raw/master/schema/FeatureDefinition.xsd">
    <Identifier>Balance</Identifier><DisplayName>Balance</DisplayName><Description>A balance.</Description>
    {element("Command", "Weigh", observable="No", body=SECONDS_TO_MASS)}
    {element("Command", "Settle", observable="Yes", body=SECONDS_TO_MASS)}
    {element("Property", "Model", "String", observable="No")}
    {element("Property", "Tared", "Boolean", observable="No")}
</Feature>"""


class Weighed(NamedTuple):
    Mass: float


class Balance(FeatureImplementationBase):
    weighed = 0

    def get_Model(self, *, metadata: Any) -> str:
        return "XS 205"

    def get_Tared(self, *, metadata: Any) -> bool:
        return True

    def Weigh(self, Seconds: float, *, metadata: Any) -> Weighed:  # noqa: N803 - SiLA's spelling
        Balance.weighed += 1
        if Seconds < 0:
            raise ValueError("time runs forwards")
        return Weighed(12.5)

    def Settle(self, Seconds: float, *, metadata: Any, instance: Any) -> Weighed:  # noqa: N803 - as above
        instance.begin_execution()
        return Weighed(7.25)


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    # The original speaks to the whole network.
    monkeypatch.setattr("sila2.server.sila_server.SilaServiceBroadcaster", lambda: Mock(registered_server_infos={}))
    server: Any = SilaServer("balance", "Balance", "for tests", "0.1", "https://example.org", server_uuid=uuid4())
    server.set_feature_implementation(Feature(FEATURE), Balance(server))
    ports: list[int] = []
    add = server.grpc_server.add_insecure_port

    def add_and_remember(address: str) -> int:
        ports.append(add(address))
        return ports[-1]

    server.grpc_server.add_insecure_port = add_and_remember
    server.start_insecure("127.0.0.1", 0, enable_discovery=False)
    yield ports[0]
    server.stop(0)
    server.grpc_server._state.thread_pool.shutdown()  # which sila2 leaves to the end of the process


def test_properties_and_commands(port: int) -> None:
    async def main() -> None:
        line = SilaTransport("127.0.0.1", port, is_encrypted=False, timeout_s=60)
        assert isinstance(line, Transport)
        assert await line.request("GET Balance.Model") == "XS 205"
        assert await line.request("GET Balance.Tared") == "true"
        assert await line.request('RUN Balance.Weigh {"Seconds": 3}') == "OK"
        assert await line.request('RUN Balance.Weigh#/Mass {"Seconds": 3}') == "12.5"
        number = await line.request('START Balance.Settle {"Seconds": 0}')
        while await line.request(f"STATUS {number}") in {"waiting", "running"}:  # noqa: ASYNC110 - as drivers do it
            await asyncio.sleep(0.01)
        assert await line.request(f"STATUS {number}") == "finishedSuccessfully"
        assert await line.request(f"RESULT {number}#/Mass") == "7.25"
        await line.close()
        assert await line.request("GET Balance.Model") == "XS 205"
        with pytest.raises(DeviceError, match="has begun no command '1' since"):
            await line.request("STATUS 1")
        await line.close()

    asyncio.run(main())


def test_what_is_refused(port: int) -> None:
    wrong = {
        'RUN Balance.Weigh {"Seconds": -1}': "time runs forwards",
        'RUN Balance.Weigh {"Minutes": 1}': "do not fit",
        'RUN Balance.Settle {"Seconds": 1}': "no unobservable command 'Balance.Settle'",
        "GET Balance.Colour": "no property 'Balance.Colour'",
        "GET close": "no property 'close'",
        "RUN Balance.Weigh [3]": "the arguments of Balance.Weigh",
    }

    async def main() -> None:
        line = SilaTransport("127.0.0.1", port, is_encrypted=False, timeout_s=60)
        Balance.weighed = 0
        for message, text in wrong.items():
            with pytest.raises(DeviceError, match=text):
                await line.request(message)
        with pytest.raises(TransportError, match="begins with GET"):
            await line.request("WEIGH")
        await line.close()

    asyncio.run(main())
    assert Balance.weighed == 1


def test_nobody_listens() -> None:
    async def main() -> None:
        listening = await asyncio.start_server(lambda _, __: None, "127.0.0.1", 0)
        free = listening.sockets[0].getsockname()[1]
        listening.close()
        with pytest.raises(TransportError, match="the line broke at opening"):
            await SilaTransport("127.0.0.1", free, is_encrypted=False).open()

    asyncio.run(main())
