"""Instruments and plants with an OPC UA server: nodes that are read, written and called.

=======================================================  =============================================================
``READ ns=2;s=Oven.Temperature``                         its value; texts as they are, all else as JSON
``WRITE ns=2;s=Oven.Setpoint 80.5``                      ``OK``; the value is JSON, and takes the type of the node
``CALL ns=2;s=Oven ns=2;s=Oven.Start [80.5, "ramp"]``    what the method returns, as JSON; ``OK`` where it is nothing
=======================================================  =============================================================

A blank in a node's identifier is written ``%20``. A value whose quality is not good is refused: it is no reading.
"""

from __future__ import annotations

from typing import Any, cast
from urllib.parse import unquote

from sdl.devices.lines.extras import library, pick, read_json, said
from sdl.devices.transport import LARGEST_ANSWER, GuardedTransport, bounded
from sdl.errors import DeviceError, TransportError

REALS = ("Float", "Double")


class OpcUaTransport(GuardedTransport):
    """Requests to an OPC UA server, by asyncua (``pip install 'sdl[instruments]'``).

    Parameters
    ----------
    address
        ``opc.tcp://host:port/path``.
    user, password
        Where the server asks for them. They are in no message and no recording.
    security
        As asyncua's ``set_security_string`` takes it: ``Basic256Sha256,SignAndEncrypt,cert.der,key.pem``. The empty
        string: neither signed nor encrypted.
    timeout_s
        Longest wait for an answer.
    largest
        Bytes that an answer may have.
    """

    def __init__(
        self,
        address: str,
        *,
        user: str = "",
        password: str = "",
        security: str = "",
        timeout_s: float = 5.0,
        largest: int = LARGEST_ANSWER,
    ) -> None:
        super().__init__(name=address, timeout_s=timeout_s)
        self._user = user
        self._password = password
        self._security = security
        self._largest = largest
        self._asyncua = library("asyncua", "OpcUaTransport")
        self._ua: Any = self._asyncua.ua
        self._client: Any = None
        self._types: dict[str, Any] = {}

    async def _connect(self) -> None:
        self._types = {}
        client = self._asyncua.Client(self.name, timeout=2 * self._timeout_s)
        if self._user:
            client.set_user(self._user)
            client.set_password(self._password)
        if self._security:
            await client.set_security_string(self._security)
        self._client = client
        try:
            await client.connect(auto_reconnect=False)
        except self._ua.UaError as error:
            raise TransportError(f"{self.name}: the server does not let us in: {error}") from error

    async def _disconnect(self) -> None:
        if self._client is not None:
            client, self._client = self._client, None
            await client.disconnect()

    async def _ask(self, message: str) -> str | DeviceError:
        verb, _, rest = message.partition(" ")
        work = {"READ": self._read, "WRITE": self._write, "CALL": self._call}.get(verb)
        if work is None or not rest:
            raise TransportError(f"{self.name}: {message!r} is no request", hint="it begins with READ, WRITE or CALL")
        try:
            answer = await work(rest)
        except DeviceError as error:
            return error
        except self._ua.UaStatusCodeError as error:
            return DeviceError(f"{self.name} refused {message!r}: {error}")
        except self._ua.UaError as error:
            raise OSError(str(error)) from error
        bounded(answer.encode(), self._largest)
        return answer

    async def _read(self, rest: str) -> str:
        node, _, pointer = rest.partition("#")
        found = await self._node(node).read_data_value(raise_on_bad_status=False)
        if not found.StatusCode.is_good():
            raise DeviceError(f"{self.name}: {node} has the quality {found.StatusCode.name}", hint="it is no reading")
        return said(pick(_plain(found.Value.Value), pointer))

    async def _write(self, rest: str) -> str:
        name, _, text = rest.partition(" ")
        value = read_json(text, f"what is written to {name}")
        node = self._node(name)
        if name not in self._types:
            self._types[name] = await node.read_data_type_as_variant_type()
        await node.write_value(self._ua.DataValue(self._ua.Variant(self._fit(name, value), self._types[name])))
        return "OK"

    async def _call(self, rest: str) -> str:
        words = rest.split(" ", 2)
        if len(words) < 2:
            raise TransportError(f"{self.name}: CALL takes an object and a method, got {rest!r}")
        arguments: list[Any] = read_json(words[2], "the arguments") if len(words) > 2 else []
        returned = await self._node(words[0]).call_method(self._node_id(words[1]), *arguments)
        return "OK" if returned is None else said(_plain(returned))

    def _fit(self, name: str, value: Any) -> Any:
        """Return *value* as the node takes it. Raises DeviceError where it is of another type."""
        kind = self._types[name].name
        is_whole = "Int" in kind or kind in {"Byte", "SByte"}
        wanted = {"String": str, "Boolean": bool}.get(kind, int | float if is_whole or kind in REALS else object)
        if not isinstance(value, wanted) or (isinstance(value, bool) and (is_whole or kind in REALS)):
            raise DeviceError(f"{self.name}: {name} is of the type {kind}, got {value!r}")
        if is_whole and isinstance(value, float) and not value.is_integer():
            raise DeviceError(f"{self.name}: {name} is a whole number, got {value}")
        convert: Any = int if is_whole else float if kind in REALS else None
        return value if convert is None else convert(value)

    def _node(self, text: str) -> Any:
        return self._client.get_node(self._node_id(text))

    def _node_id(self, text: str) -> Any:
        try:
            return self._ua.NodeId.from_string(unquote(text))
        except (self._ua.UaError, ValueError) as error:
            raise DeviceError(
                f"{text!r} names no node: {error}", hint='it is as in "ns=2;s=Oven.Temperature"'
            ) from None


def _plain(value: Any) -> Any:
    """Return *value* as JSON knows it: enumerations as numbers, structures as text."""
    if isinstance(value, list | tuple):
        return [_plain(item) for item in cast("list[Any]", value)]
    return value if isinstance(value, bool | int | float | str) or value is None else str(value)
